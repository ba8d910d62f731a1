"""Trees that have all that a file system can hold, and what is compared of them, read by the kernel's own calls."""

from __future__ import annotations

import hashlib
import os
import socket
import stat
import subprocess
from pathlib import Path
from typing import Any, Final

from tests.servers.tools import tool

LARGE_BYTES: Final = 8 * 1024 * 1024
SPARSE_BYTES: Final = 64 * 1024 * 1024
ODD_NAMES: Final = (
    b"with space",
    b"quote'\"`$x",
    b"new\nline",
    "größe-漢字".encode(),
    b"latin-1 \xff\xfe",
    b"-rf",
    b"--checkpoint-action=exec=x",
    b"back\\slash",
    b"back\\101",
    b"star*and?[a]",
    b"#~",
    b"a: file changed as we read it",
    b"x" * 255,
)


def fill(root: Path) -> None:
    """Everything that root may make: see the names."""
    for directory in (b"odd", *(b"odd/" + each for each in ODD_NAMES)):
        os.mkdir(os.fsencode(root) + b"/" + directory)  # noqa: PTH102 - names are bytes
    for odd in ODD_NAMES:
        for place in (b"/", b"/odd/" + odd + b"/"):
            path = os.fsencode(root) + place + odd
            if not os.path.lexists(path):
                with open(path, "wb") as file:  # noqa: PTH123
                    file.write(odd)
    (root / "large").write_bytes(os.urandom(LARGE_BYTES))
    links = root / "links"
    links.mkdir()
    (links / "first").write_text("one content")
    (links / "second").hardlink_to(links / "first")
    (links / "relative").symlink_to("first")
    (links / "dangling").symlink_to("nowhere")
    (links / "absolute").symlink_to("/etc/hostname")
    (links / "outside").symlink_to("../..")
    special = root / "special"
    special.mkdir()
    with (special / "sparse").open("wb") as file:
        file.seek(SPARSE_BYTES // 2)
        file.write(b"in the middle")
        file.truncate(SPARSE_BYTES)
    (special / "empty").touch()
    os.mkfifo(special / "pipe")
    rights = root / "rights"
    rights.mkdir()
    for name, mode in (("setuid", 0o4755), ("nothing", 0o000), ("private", 0o600)):
        (rights / name).write_text(name)
        os.chown(rights / name, 12345, 54321)
        (rights / name).chmod(mode)
    (rights / "closed").mkdir(mode=0o500)
    (rights / "closed" / "inside").touch()
    (rights / "sticky").mkdir()
    (rights / "sticky").chmod(0o3777)
    os.setxattr(rights / "private", "user.origin", b"scanner \0 7")
    os.setxattr(rights / "private", "trusted.note", b"for root")
    os.setxattr(rights, "user.kind", b"directory")
    _acl("-m", "u:12345:rw,g:54321:r", rights / "private")
    _acl("-d", "-m", "u:12345:rwx", rights / "sticky")
    for number, each in enumerate(sorted(root.rglob("*"))):
        os.utime(each, ns=(1, 1_600_000_000_000_000_001 + number * 1_000_000_007), follow_symlinks=False)
    os.utime(root, ns=(1, 1_500_000_000_123_456_789))


def _acl(*arguments: str | Path) -> None:
    subprocess.run([tool("setfacl"), *map(str, arguments)], check=True)


def add_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))


def content(root: Path, *, times: bool = True) -> dict[bytes, Any] | None:
    """By path: everything that a restore has to bring back.  None when there is no such directory."""
    if not root.is_dir():
        return None
    found: dict[bytes, Any] = {b".": _entry(os.fsencode(root), times=times)}
    names_of: dict[tuple[int, int], list[bytes]] = {}
    for directory, directories, files in os.walk(os.fsencode(root)):
        for name in directories + files:
            path = os.path.join(directory, name)  # noqa: PTH118
            relative = os.path.relpath(path, os.fsencode(root))
            found[relative] = _entry(path, times=times)
            status = os.lstat(path)
            if status.st_nlink > 1 and stat.S_ISREG(status.st_mode):
                names_of.setdefault((status.st_dev, status.st_ino), []).append(relative)
    found[b"links of one file"] = sorted(sorted(names) for names in names_of.values())
    return found


def _entry(path: bytes, *, times: bool) -> dict[str, Any]:
    status = os.lstat(path)
    entry: dict[str, Any] = {
        "mode": status.st_mode,
        "owner": (status.st_uid, status.st_gid),
        "xattrs": {
            name: os.getxattr(path, name, follow_symlinks=False) for name in os.listxattr(path, follow_symlinks=False)
        },
    }
    if times:
        entry["mtime_ns"] = status.st_mtime_ns
    if stat.S_ISLNK(status.st_mode):
        entry["link"] = os.readlink(path)  # noqa: PTH115
    elif stat.S_ISREG(status.st_mode):
        with open(path, "rb") as file:  # noqa: PTH123
            entry["sha256"] = hashlib.file_digest(file, "sha256").hexdigest()
        entry["has_holes"] = status.st_blocks * 512 < status.st_size
    elif not stat.S_ISDIR(status.st_mode):
        entry["device"] = status.st_rdev
    return entry


def file_count(directory: Path) -> int:
    return sum(len(files) for _, _, files in os.walk(directory)) + sum(
        path.is_symlink() for path in directory.rglob("*") if path.is_dir()
    )


def leftovers(*directories: Path) -> list[str]:
    """What a restore has not cleared away."""
    return [str(path) for directory in directories for path in directory.rglob(".strongroom*")]
