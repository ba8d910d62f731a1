"""The directory in which Meilisearch leaves its dumps, as this host sees it."""

from __future__ import annotations

import getpass
import os
import re
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from contracts.errors import InvalidInput, RunFailed

_DUMP_UID: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,63}")
_DUMP_FILE: Final = re.compile(r"([0-9]{8}-[0-9]{9})\.dump")
"""The start of the dump, as `YYYYMMDD-HHMMSSmmm` in UTC."""


def require_usable(directory: Path) -> None:
    """Changes nothing.  Raises: InvalidInput `config.invalid`, RunFailed `engine.permission`."""
    try:
        mode = directory.stat().st_mode
    except FileNotFoundError:
        what = "does not exist on this host: give the directory that Meilisearch was started with (--dump-dir, "
        what += "MEILI_DUMP_DIR; for a container, where that is mounted here)"
        raise _invalid(directory, what) from None
    except OSError as exc:
        raise _denied(directory, exc.strerror or "out of reach") from exc
    if not stat.S_ISDIR(mode):
        raise _invalid(directory, "is no directory")
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
        raise _denied(directory, "Permission denied")


def dump_path(directory: Path, dump_uid: str) -> Path:
    """Raises: RunFailed `engine.refused` for a name that would lead elsewhere."""
    if not _DUMP_UID.fullmatch(dump_uid):
        raise RunFailed("engine.refused", f"Meilisearch names its dump {dump_uid[:100]!r}, which is no name of a dump")
    return directory / f"{dump_uid}.dump"


def open_dump(path: Path, flags: int = os.O_RDONLY) -> int:
    """A descriptor of the dump.

    A link is not followed: the directory is Meilisearch's, and what it points to would be uploaded with the agent's rights.
    Raises: RunFailed `dump.failed`, `engine.permission`.
    """
    try:
        fd = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        what = f"Meilisearch says that its dump is done, but {path} is not there: set dump_dir in the service's file to the "
        what += "directory that Meilisearch was started with (--dump-dir, MEILI_DUMP_DIR; for a container, where that is "
        what += f"mounted on this host), and remove {path.name} there"
        raise RunFailed("dump.failed", what) from None
    except PermissionError as exc:
        what = f"the agent may not read the dump {path}: let its user read what Meilisearch writes there (umask, ACL, group)"
        raise RunFailed("engine.permission", what) from exc
    except OSError as exc:
        raise RunFailed("dump.failed", f"the dump {path} cannot be opened: {exc.strerror}") from exc
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise RunFailed("dump.failed", f"the dump {path} is not a file")
    return fd


def dumps_begun_between(directory: Path, since: datetime, until: datetime) -> list[Path]:
    """Dump files by the time in their names, both ends included."""
    return sorted(path for path in directory.glob("*.dump") if (at := _begun_at(path)) and since <= at <= until)


def _begun_at(path: Path) -> datetime | None:
    match = _DUMP_FILE.fullmatch(path.name)
    if match is None:
        return None
    try:
        return datetime.strptime(match[1] + "000", "%Y%m%d-%H%M%S%f").replace(tzinfo=UTC)
    except ValueError:
        return None


def _invalid(directory: Path, what: str) -> InvalidInput:
    return InvalidInput("config.invalid", f"connection.dump_dir: {directory} {what}", field="connection.dump_dir")


def _denied(directory: Path, why: str) -> RunFailed:
    user = getpass.getuser()
    what = f"the agent may not read and remove dumps in {directory} ({why}): let its user do that, such as by "
    return RunFailed("engine.permission", what + f"setfacl -m u:{user}:rwx,d:u:{user}:rw {directory}")
