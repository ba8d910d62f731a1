"""A restore: the dump, authentic and whole, in a directory of its own, from where a Meilisearch is launched.

Meilisearch takes a dump in only when it starts with an empty database, and what starts it is the host's: so the restore
ends with the file and with the command.
"""

from __future__ import annotations

import asyncio
import getpass
import os
import re
import shlex
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aiofiles

from agents.drivers.base import Confirm
from agents.drivers.directories import choose_directory, free_bytes, require_free, staged_tree
from agents.drivers.meilisearch.archive import BrokenDump, DumpContents, DumpWalk
from agents.drivers.pipes import PipedRestore, PipeReader, piped_restore
from contracts.errors import Corrupt, InvalidInput, RunFailed
from contracts.records import ArtifactRecord, Attributes, RestoreTarget

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]")


def check_restore(artifacts: list[ArtifactRecord], target: RestoreTarget, restore_dir: str) -> Path:
    """The directory that the dump goes to.  Raises: InvalidInput `input.invalid`, Conflict, RunFailed `restore.failed`."""
    if target.rename:
        what = "a Meilisearch dump is taken in as a whole: indexes cannot be renamed by a restore"
        raise InvalidInput("input.invalid", what, field="rename")
    directory = choose_directory(target.directory, restore_dir=restore_dir)
    require_free(directory, replace=target.replace)
    _require_room(directory, sum(artifact.plain_bytes for artifact in artifacts))
    return directory


def _require_room(directory: Path, size_bytes: int) -> None:
    free = free_bytes(directory)
    if free < size_bytes:
        what = f"the dump has {size_bytes:,} bytes, but the file system of {directory} has only {free:,} free"
        raise RunFailed("restore.failed", what)


@asynccontextmanager
async def start_restore(
    artifact: ArtifactRecord, target: RestoreTarget, run_id: str, *, restore_dir: str, confirm: Confirm
) -> AsyncIterator[PipedRestore]:
    """The restore under way."""
    directory = check_restore([artifact], target, restore_dir)
    name = f"{_UNSAFE.sub('-', target.service)}-{_UNSAFE.sub('-', run_id)}.dump"
    taken_in: list[DumpContents] = []
    async with staged_tree(directory, run_id) as tree:

        async def consume(pipe: PipeReader) -> None:
            taken_in.append(await _take_in(pipe, tree.path / name))

        async def place() -> Attributes:
            require_free(directory, replace=target.replace)  # somebody may have filled it meanwhile
            await tree.place()
            return _outcome(directory / name, taken_in[0])

        async with piped_restore(consume, place, name=f"meilisearch:{directory}", confirm=confirm) as sink:
            yield sink


async def _take_in(pipe: PipeReader, path: Path) -> DumpContents:
    """Raises: Corrupt `artifact.corrupt` for what is no whole dump, RunFailed `restore.failed`."""
    walk = DumpWalk()

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | os.O_EXCL | os.O_NOFOLLOW, 0o600)

    try:
        async with aiofiles.open(path, "wb", opener=opener) as file:
            while data := await pipe.read():
                await asyncio.to_thread(walk.feed, data)
                await file.write(data)
            contents = walk.finish()
            await file.flush()
            await asyncio.to_thread(os.fsync, file.fileno())
    except BrokenDump as exc:
        raise Corrupt("artifact.corrupt", f"the artifact is no whole Meilisearch dump: {exc}") from exc
    except OSError as exc:
        raise RunFailed("restore.failed", f"the dump cannot be written to {path.parent}: {exc.strerror}") from exc
    return contents


def _outcome(path: Path, contents: DumpContents) -> Attributes:
    version = contents.metadata.db_version
    command = f"meilisearch --import-dump {shlex.quote(str(path))} --db-path EMPTY_DIRECTORY"
    launch = (
        f"nothing runs yet: launch Meilisearch {version} or newer as: {command} (with the master key of the instance that "
        f"was backed up, in MEILI_MASTER_KEY, or its API keys change; the file is readable by {getpass.getuser()} only, so "
        "let the user that Meilisearch runs as read it); it takes the dump in before it answers, and needs --import-dump "
        "only once"
    )
    warnings = [launch]
    if contents.pending_updates:
        what = f"the dump holds {contents.pending_updates} writes that Meilisearch had accepted but not done: it does them "
        warnings.append(f"{what}after the launch, so it counts other documents then than the backup's inventory")
    return {
        "in_place": str(path),
        "server_version": version,
        "dump_version": contents.metadata.dump_version,
        "indexes": len(contents.documents),
        "documents": sum(contents.documents.values()),
        "launch": command,
        "warnings": warnings,
    }
