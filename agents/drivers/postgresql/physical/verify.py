"""Whether an unpacked backup is what the server sent: every file is there, with the size and checksum of the manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from agents.drivers.postgresql.server_user import ServerUser
from agents.drivers.postgresql.tools import find_tool
from agents.processes import Command, start
from contracts.errors import Corrupt, RunFailed

_ESSENTIAL: Final = ("PG_VERSION", "backup_label", "global/pg_control", "backup_manifest")


def require_parts(directory: Path, name: str) -> None:
    """Raises: Corrupt `artifact.corrupt` when something is missing without which nothing can be made of it."""
    for part in _ESSENTIAL:
        if not (directory / part).is_file():
            raise Corrupt("artifact.corrupt", f"artifact {name!r} is not a whole backup of pg_basebackup: {part} is missing")


async def verify_backup(
    directory: str, directory_fd: int, *, name: str, bin_dir: str, server_major: int, user: ServerUser
) -> list[str]:
    """Runs pg_verifybackup; what it could not look at, in sentences.

    The WAL is read by the server package's pg_waldump, which hosts that only have the client's do without.
    Raises: Corrupt `artifact.corrupt` with the tool's words.
    """
    warnings: list[str] = []
    try:
        tool = await find_tool("pg_verifybackup", bin_dir, at_least=server_major)
    except RunFailed as exc:
        return [f"the files were not verified against the backup's manifest: {exc.message}"]
    argv = [tool.path, "--exit-on-error", "--quiet"]
    if tool.major != server_major or not (Path(tool.path).parent / "pg_waldump").exists():
        argv.append("--no-parse-wal")
        warnings.append(
            f"the backup's WAL was not read through, only its files verified: that takes pg_waldump {server_major} on this "
            f"host (apt-get install postgresql-{server_major})"
        )
    command = Command(
        argv=user.argv([*argv, directory]),
        package="postgresql-client",
        pass_fds=(directory_fd,),
    )
    async with start(command) as child:
        status = await child.wait()
        words = child.stderr
    if not status.ok:
        raise Corrupt(
            "artifact.corrupt",
            f"the unpacked backup {name!r} is not what the server sent: pg_verifybackup {status}",
            detail=words or None,
        )
    return warnings
