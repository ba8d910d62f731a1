"""The demo with a directory tree: the files of a small shop, with all that makes files more than their content."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import re
import shutil
import stat
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

from contracts.errors import RunFailed
from contracts.records import ArtifactRecord
from contracts.services import ServiceOptions, SharedStorageOptions
from daemon.demo.engines.base import Opener, Room, Tell
from daemon.demo.processes import tool_environment
from daemon.demo.snapshot import DatabaseSnapshot, TableContent
from daemon.embedded.private_files import make_private_dir

_PROGRAM: Final = "tar"
_ENTRY_BYTES: Final = 2048
"""Of a small file in an archive, besides its content."""
_INVOICE_BYTES: Final = 6 * 1024
_PHOTO_BYTES: Final = 256 * 1024
_SPARSE_BYTES: Final = 512 * 1024 * 1024
_BEGAN_NS: Final = 1_700_000_000_123_456_789


class SharedStorageEngine:
    """See `daemon.demo.engines.base.DemoEngine`."""

    kind = "shared-storage"
    title = "a directory tree"
    data_title = "the files of a small shop"

    def check(self) -> None:
        """Raises: RunFailed `engine.tool_missing`."""
        program = shutil.which(_PROGRAM)
        if program is None:
            raise RunFailed("engine.tool_missing", "the demo needs GNU tar, which is not installed: apt-get install tar")
        asked = subprocess.run(
            [program, "--version"], env=tool_environment(), stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
        if b"(GNU tar)" not in asked.stdout:
            raise RunFailed(
                "engine.tool_missing", f"the demo needs GNU tar, and {program} is another one: apt-get install tar"
            )

    @asynccontextmanager
    async def running(self, folder: Path) -> AsyncIterator[SharedStorageTree]:
        """There is no server to start."""
        make_private_dir(folder)
        yield SharedStorageTree(folder)


class SharedStorageTree:
    """See `daemon.demo.engines.base.DemoServer`."""

    def __init__(self, folder: Path) -> None:
        self._root = folder / "shop"
        self._restored = folder / "restores" / "shop"
        self._restored.parent.mkdir()
        self._root.mkdir(mode=0o755)
        self.place = str(self._root)
        self.options: ServiceOptions = SharedStorageOptions(exclude=["cache"])
        self.connection: Mapping[str, Any] = {
            "kind": "shared-storage",
            "root_dir": str(self._root),
            "restore_dir": str(self._restored.parent),
        }

    async def fill(self, size_bytes: int, tell: Tell) -> int:
        loop = asyncio.get_running_loop()

        def tell_from_there(made: int) -> None:
            loop.call_soon_threadsafe(tell, made)

        return await asyncio.to_thread(_fill, self._root, size_bytes, tell_from_there)

    async def snapshot(self) -> DatabaseSnapshot:
        return await asyncio.to_thread(_snapshot, self._root)

    async def make_room(self) -> Room:
        return Room(words="into a directory beside the original", directory=str(self._restored))

    async def snapshot_restored(self) -> DatabaseSnapshot:
        return await asyncio.to_thread(_snapshot, self._restored)

    def choose(self, artifacts: Sequence[ArtifactRecord]) -> ArtifactRecord:
        return artifacts[0]

    def opener(self, artifact: ArtifactRecord) -> Opener:
        del artifact
        return Opener(argv=[_PROGRAM, "-tv"], command="tar -tv", magic=b"", describe=_describe)


def _fill(root: Path, size_bytes: int, tell: Tell) -> int:
    generator = random.Random(20261122)  # noqa: S311 - the same each time
    made = 0
    for number, path, content in _files(root, size_bytes, generator):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        made += len(content) + _ENTRY_BYTES
        if number % 20 == 0:
            tell(made)
    _add_the_rest(root)
    for number, path in enumerate(sorted(root.rglob("*"))):
        os.utime(path, ns=(_BEGAN_NS, _BEGAN_NS + number * 1_000_000_007), follow_symlinks=False)
    tell(made)
    return sum(path.lstat().st_blocks * 512 for path in root.rglob("*"))


def _files(root: Path, size_bytes: int, generator: random.Random) -> Iterator[tuple[int, Path, bytes]]:
    """Photos that do not get smaller, and invoices that do: half of the bytes each."""
    photos = max(1, size_bytes // 2 // (_PHOTO_BYTES + _ENTRY_BYTES))
    invoices = max(1, (size_bytes - photos * (_PHOTO_BYTES + _ENTRY_BYTES)) // (_INVOICE_BYTES + _ENTRY_BYTES))
    for number in range(photos):
        yield number, root / "photos" / f"{number % 7}" / f"product {number:05}.jpg", generator.randbytes(_PHOTO_BYTES)
    for number in range(invoices):
        lines = "".join(f"{generator.randrange(10**6):>8} item {generator.randrange(100)}\n" for _ in range(400))
        path = root / "invoices" / f"{2020 + number % 6}" / f"invoice-{number:06}.txt"
        yield number, path, lines.encode()[:_INVOICE_BYTES]


def _add_the_rest(root: Path) -> None:
    """What a plain copy would lose."""
    photos = sorted((root / "photos").rglob("*.jpg"))
    (root / "photos" / "best.jpg").hardlink_to(photos[0])
    (root / "current invoices").symlink_to("invoices/2025")
    (root / "Umsätze\n2025.csv").write_text("a name with an umlaut and a line break\n")
    with (root / "disk.img").open("wb") as image:
        image.truncate(_SPARSE_BYTES)
    private = root / "payroll.txt"
    private.write_text("for few\n")
    private.chmod(0o640)
    with suppress(OSError):  # not every file system has them
        os.setxattr(private, "user.origin", b"accounting")
    if shutil.which("setfacl"):
        argv = ["setfacl", "-m", "u:1:r", str(private)]
        subprocess.run(argv, env=tool_environment(), stderr=subprocess.DEVNULL, check=False)
    (root / "cache").mkdir()


def _snapshot(root: Path) -> DatabaseSnapshot:
    """Directories of the root by content, and every entry by all that is not content."""
    tables: dict[str, TableContent] = {}
    links: dict[tuple[int, int], str] = {}
    entries: dict[str, str] = {}
    for top in sorted(root.iterdir()):
        if top.name == "cache":  # which the service leaves out
            continue
        below = sorted(top.rglob("*")) if top.is_dir() and not top.is_symlink() else []
        digest = hashlib.sha256()
        for path in [top, *below]:
            name = _readable(path.relative_to(root))
            status = path.lstat()
            kind = stat.filemode(status.st_mode)
            first = links.setdefault((status.st_dev, status.st_ino), name)
            what = str(path.readlink()) if path.is_symlink() else first if first != name else ""
            attributes = {each: os.getxattr(path, each, follow_symlinks=False) for each in _attributes(path)}
            entries[name] = f"{kind} {status.st_uid}:{status.st_gid} {status.st_mtime_ns} {attributes} {what}"
            if stat.S_ISREG(status.st_mode):
                digest.update(f"{name}\0{status.st_size}\0".encode())
                if status.st_blocks:
                    with path.open("rb") as file:
                        digest.update(hashlib.file_digest(file, "sha256").digest())
        if below:
            tables[top.name] = TableContent(rows=len(below), content_sum=digest.hexdigest())
        else:
            entries[_readable(top.relative_to(root))] += f" {digest.hexdigest()[:16]}"
    return DatabaseSnapshot(tables=tables, objects={"entry": entries})


def _attributes(path: Path) -> list[str]:
    return sorted(os.listxattr(path, follow_symlinks=False))


def _readable(path: Path) -> str:
    return str(path).encode("unicode_escape").decode("ascii")


def _describe(output: bytes) -> str:
    lines = output.decode(errors="replace").splitlines()
    files = sum(re.match(r"[-h]", line) is not None for line in lines)
    links = sum(" link to " in line or " -> " in line for line in lines)
    return f"{len(lines)} entries, {files} files and {links} links among them"
