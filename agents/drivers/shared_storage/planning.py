"""What a backup of a tree is going to have: one archive, and what its operator should know beforehand."""

from __future__ import annotations

import asyncio
import threading
from typing import Final

from agents.drivers.base import BackupPlan, PlannedArtifact
from agents.drivers.shared_storage.connection import SharedStorageConnection
from agents.drivers.shared_storage.exclusion import Exclusion
from agents.drivers.shared_storage.root import look_at_root
from agents.drivers.shared_storage.survey import Survey, survey
from agents.drivers.shared_storage.tar import find_tar
from contracts.errors import RunFailed
from contracts.services import SharedStorageOptions

ARTIFACT: Final = "tree"
KIND: Final = "tree"
FORMAT: Final = "tar-posix"
HOLES: Final = "holes"
"""Attribute: whether holes in files were looked for."""
_LEAST_BYTES: Final = 10240
"""Of an archive, which is padded to a whole record."""
SUFFIX: Final = "tar.zst.age"


async def plan_backup(connection: SharedStorageConnection, options: SharedStorageOptions) -> BackupPlan:
    """Raises: RunFailed `engine.*`, `dump.failed`."""
    root = connection.root_dir
    await look_at_root(root)
    tar = await find_tar(connection.bin_dir)
    exclusion = Exclusion(options.exclude)
    found = await take_survey(root, exclusion, one_file_system=options.one_file_system)
    inventory = {
        **found.as_inventory(),
        "root_dir": root,
        "exclude": options.exclude,
        "one_file_system": options.one_file_system,
    }
    return BackupPlan(
        artifacts=[
            PlannedArtifact(
                name=ARTIFACT,
                kind=KIND,
                format=FORMAT,
                suffix=SUFFIX,
                estimate_bytes=max(_LEAST_BYTES, int(found.archive_bytes)),
                attributes={HOLES: not found.without_blocks},
            )
        ],
        inventory=inventory,
        summary={
            "files": found.files,
            "directories": found.directories,
            "symbolic_links": found.symbolic_links,
            "bytes": found.size_bytes,
            "mounts_left_out": found.mount_count,
        },
        tools={"tar": tar.version},
        warnings=list(_warnings(found)),
    )


async def take_survey(root: str, exclusion: Exclusion, *, one_file_system: bool) -> Survey:
    """As `survey`, in a thread that ends early when this is cancelled.

    Raises: RunFailed; `engine.unreachable` when the root goes away meanwhile.
    """
    cancelled = threading.Event()
    try:
        return await asyncio.to_thread(survey, root, exclusion, one_file_system=one_file_system, stopped=cancelled.is_set)
    except OSError as exc:
        raise RunFailed("engine.unreachable", f"{root} cannot be read any more: {exc.strerror}") from exc
    finally:
        cancelled.set()


def _warnings(found: Survey) -> list[str]:
    warnings = []
    if found.is_empty:
        warnings.append("the tree is empty: if it should not be, its file system may not be mounted")
    if found.mount_count:
        more = found.mount_count - len(found.mounts)
        names = ", ".join(found.mounts) + (f" and {more} more" if more else "")
        warnings.append(
            f"file systems that are mounted below are left out: {names}; set one_file_system to false to back them up, too"
        )
    if found.without_blocks:
        warnings.append(
            f"the file system says of {found.without_blocks} files with data that they take no room, so holes in files "
            "cannot be told from data there: they are backed up as zeros"
        )
    if found.too_deep:
        warnings.append(f"{found.too_deep} directories lie too deep to be counted; they are backed up all the same")
    return warnings
