"""GNU tar: which one this host has, and the two ways in which it is called."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agents.drivers.shared_storage.exclusion import Exclusion
from agents.processes import Command, run
from contracts.errors import RunFailed

_OLDEST: Final = (1, 28)
"""The first that sorts names."""
_VERSION: Final = re.compile(r"tar \(GNU tar\) (\d+)\.(\d+)\S*")
_VERSION_TIMEOUT_S: Final = 10.0
# Its messages are read by us: in English, and each file's name on one line, whatever characters it has.
_MESSAGES: Final = {"LC_ALL": "C", "LANG": "C"}
_QUOTING: Final = "--quoting-style=escape"

Hear = Callable[[bytes], None]


@dataclass(frozen=True)
class Tar:
    """The program on this host."""

    program: str
    version: str
    """Such as `GNU tar 1.34`."""

    def create(
        self, root: str, exclusion: Exclusion, *, one_file_system: bool, holes: bool = True, list_fd: int = -1, hear: Hear
    ) -> Command:
        """Writes the tree to standard output, its root as `./`.

        `holes` leaves those of sparse files out, and what has no blocks on the disk is one to tar.  The names of what it
        takes are written to `list_fd`, if there is one.
        """
        return self._command(
            [
                "--create",
                "--file=-",
                "--format=posix",
                "--numeric-owner",
                "--xattrs",
                "--xattrs-include=*",
                "--acls",
                *(["--sparse"] if holes else []),
                "--sort=name",
                *(["--one-file-system"] if one_file_system else []),
                *(["--verbose", f"--index-file=/proc/self/fd/{list_fd}"] if list_fd >= 0 else []),
                f"--directory={root}",
                *exclusion.arguments,
                ".",
            ],
            pass_fds=[list_fd] if list_fd >= 0 else [],
            hear=hear,
        )

    def extract(
        self, directory_fd: int, *, owners: bool, only: Sequence[str] = (), pass_fds: Sequence[int] = (), hear: Hear
    ) -> Command:
        """Reads standard input and makes the tree in the directory.

        `owners` needs the right to give files away.  `only` are further arguments that say what is wanted.
        """
        return self._command(
            [
                "--extract",
                "--file=-",
                "--numeric-owner",
                "--xattrs",
                f"--xattrs-include={'*' if owners else 'user.*'}",
                "--acls",
                "--preserve-permissions",
                "--same-owner" if owners else "--no-same-owner",
                "--delay-directory-restore",
                # By descriptor: whoever can write beside the target cannot lead it elsewhere.
                f"--directory=/proc/self/fd/{directory_fd}",
                *only,
            ],
            pass_fds=[directory_fd, *pass_fds],
            hear=hear,
        )

    def _command(self, arguments: list[str], *, pass_fds: Sequence[int] = (), hear: Hear) -> Command:
        argv = [self.program, _QUOTING, *arguments]
        return Command(argv=argv, package="tar", env=_MESSAGES, pass_fds=pass_fds, hear=hear)


async def find_tar(bin_dir: str) -> Tar:
    """Raises: RunFailed `engine.tool_missing` when there is none or another tar, `engine.version_skew` for an old one."""
    program = str(Path(bin_dir) / "tar") if bin_dir else "tar"
    try:
        ended = await run(Command(argv=[program, "--version"], package="tar", env=_MESSAGES), timeout_s=_VERSION_TIMEOUT_S)
    except TimeoutError as exc:
        raise RunFailed("engine.tool_missing", f"{program} --version does not come to its end") from exc
    first_line = ended.stdout.decode(errors="replace").partition("\n")[0][:100]
    match = _VERSION.fullmatch(first_line)
    if match is None:
        raise RunFailed(
            "engine.tool_missing",
            f"{program} is not GNU tar ({first_line or f'it {ended.status}'}): install that with apt-get install tar, and "
            "set bin_dir in the service's file to its directory if another one is first on the PATH",
            detail=ended.stderr or None,
        )
    version = f"GNU tar {first_line.rpartition(' ')[2]}"
    if (int(match[1]), int(match[2])) < _OLDEST:
        raise RunFailed(
            "engine.version_skew",
            f"{program} is {version}, and {'.'.join(map(str, _OLDEST))} or a newer one is needed: upgrade it",
        )
    return Tar(program, version)
