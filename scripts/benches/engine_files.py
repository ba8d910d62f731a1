"""Directory trees: tar of many small files, and of a few large ones."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

from contracts.services import SharedStorageOptions
from scripts.benches.cost import Cost
from scripts.benches.engine_case import Case, Prepare, target
from scripts.benches.peer_side import Pipeline
from tests.servers.tools import tool

_SMALL_BYTES: Final = 8 * 1024
_LARGE_BYTES: Final = 16 * 1024 * 1024
_MIB: Final = 1024 * 1024
_SAME: Final = ["--numeric-owner", "--xattrs", "--xattrs-include=*", "--acls"]
"""What both sides keep: a peer that leaves attributes out would do less."""


def cases(size_mib: int) -> Iterator[tuple[str, Prepare]]:
    small, large = (size_mib * _MIB // each for each in (_SMALL_BYTES, _LARGE_BYTES))
    yield f"files, {small} of 8 KiB", partial(_tree, small, _SMALL_BYTES)
    yield f"files, {max(large, 1)} of 16 MiB", partial(_tree, max(large, 1), _LARGE_BYTES)


@asynccontextmanager
async def _tree(count: int, file_bytes: int, directory: Path) -> AsyncIterator[Case]:
    root, restores = directory / "tree", directory / "restores"
    restored = restores / "tree"
    restores.mkdir()
    await asyncio.to_thread(_fill, root, count, file_bytes)

    async def make_room() -> None:
        if restored.exists():
            await asyncio.to_thread(shutil.rmtree, restored)

    async def check_restored() -> None:
        found = await asyncio.to_thread(_sizes, restored)
        if found != (count, count * file_bytes):
            raise SystemExit(f"{count} files went in, and {found[0]} with {found[1]} bytes came back")

    async def back_up(peer: Pipeline) -> Cost:
        create = ["--create", "--format=posix", *_SAME, "--sparse", "--sort=name", "--one-file-system"]
        return await asyncio.to_thread(peer.upload, [tool("tar"), *create, "-C", str(root), "."], {}, keep=True)

    async def restore(peer: Pipeline, identity_file: str) -> Cost:
        restored.mkdir()
        extract = ["--extract", *_SAME, "--preserve-permissions", "--delay-directory-restore", "-C", str(restored)]
        cost = await asyncio.to_thread(peer.fetch, [tool("tar"), *extract], {}, identity_file)
        await check_restored()
        return cost

    yield Case(
        connection={"kind": "shared-storage", "root_dir": str(root), "restore_dir": str(restores)},
        options=SharedStorageOptions(),
        target=target(directory=str(restored)),
        peer_name="tar | zstd | age | rclone",
        make_room=make_room,
        check_restored=check_restored,
        peer_backup=back_up,
        peer_restore=restore,
    )


def _fill(root: Path, count: int, file_bytes: int) -> None:
    """Half of each file is random, half compresses well."""
    generator = random.Random(20261122)  # noqa: S311 - the same each time
    text = b"one line of a log, much like the next one\n" * (file_bytes // 80 + 1)
    for number in range(count):
        path = root / f"{number % 50}" / f"{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        half = file_bytes // 2
        path.write_bytes(generator.randbytes(half) + text[: file_bytes - half])


def _sizes(root: Path) -> tuple[int, int]:
    sizes = [entry.stat().st_size for directory in root.iterdir() if directory.is_dir() for entry in os.scandir(directory)]
    return len(sizes), sum(sizes)
