"""Meilisearch in the demo: an instance of its own, and a second one that is launched from the restored dump."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import random
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp

from contracts.errors import RunFailed, Unavailable
from contracts.records import ArtifactRecord
from contracts.services import MeilisearchOptions, ServiceOptions
from daemon.demo.engines.base import Opener, Room, Tell
from daemon.demo.processes import tool_environment
from daemon.demo.snapshot import DatabaseSnapshot, TableContent
from daemon.embedded.children import Child, ChildSpec
from daemon.embedded.ports import LOOPBACK, start_with_free_ports
from daemon.embedded.private_files import make_private_dir, write_private

_SEED: Final = 20261122
_NOISE_BYTES: Final = 1500
"""Of one document's share in a dump: it does not get smaller by compression, and is not searched."""
_OTHER_BYTES: Final = 90
"""Of one document, the rest, compressed."""
_BATCH: Final = 1000
_PAGE: Final = 1000
_TIMEOUT_S: Final = 300.0
_POLL_S: Final = 0.02
_FIRST_LETTERS: Final = ("Amber", "Birch", "Cedar", "Dune", "Ember", "Fjord", "Grove", "Heath")
_THINGS: Final = ("lamp", "chair", "kettle", "blanket", "desk", "shelf", "bowl", "clock")
_INDEXES: Final = {"products": 9, "reviews": 1}
"""And their parts of the documents."""
_BACKUP_ACTIONS: Final = ["dumps.create", "tasks.get", "tasks.cancel", "stats.get", "version"]


class MeilisearchEngine:
    """See `daemon.demo.engines.base.DemoEngine`."""

    kind = "meilisearch"
    title = "a Meilisearch instance"
    data_title = "the search indexes of a small shop"

    def check(self) -> None:
        missing = [program for program in ("meilisearch", "tar") if shutil.which(program) is None]
        if missing:
            how = {
                "meilisearch": "meilisearch from https://www.meilisearch.com/docs (one program: put it on the PATH)",
                "tar": "tar by apt-get install tar",
            }
            what = f"the demo of Meilisearch needs programs that are not installed: {', '.join(missing)}"
            raise RunFailed("engine.tool_missing", f"{what}; get {', and '.join(how[each] for each in missing)}")

    @asynccontextmanager
    async def running(self, folder: Path) -> AsyncIterator[MeilisearchDemo]:
        master_key = secrets.token_urlsafe(24)
        async with _instance(folder, master_key) as client:
            demo = MeilisearchDemo(folder, client, master_key)
            await demo.make_key()
            yield demo


class MeilisearchDemo:
    """See `daemon.demo.engines.base.DemoServer`."""

    options: ServiceOptions = MeilisearchOptions()

    def __init__(self, folder: Path, client: _Client, master_key: str) -> None:
        self.place = client.url.removeprefix("http://")
        self._folder = folder
        self._client = client
        self._master_key = master_key
        self._key_file = folder / "backup-key"
        self._restore_dir = make_private_dir(folder / "restores")
        self.connection: Mapping[str, Any] = {
            "kind": self.kind,
            "url": client.url,
            "dump_dir": str(folder / "dumps"),
            "api_key_file": str(self._key_file),
            "restore_dir": str(self._restore_dir),
        }

    kind: Final = MeilisearchEngine.kind

    async def make_key(self) -> None:
        """The key for backups, as `deploy/meilisearch` makes it."""
        body = {"name": "strongroom-backup", "actions": _BACKUP_ACTIONS, "indexes": ["*"], "expiresAt": None}
        made = await self._client.ask("POST", "/keys", body)
        write_private(self._key_file, str(made["key"]))

    async def fill(self, size_bytes: int, tell: Tell) -> int:
        count = max(len(_INDEXES), size_bytes // (_NOISE_BYTES + _OTHER_BYTES))
        shares = sum(_INDEXES.values())
        made = 0
        for uid, share in _INDEXES.items():
            await self._client.do("POST", "/indexes", {"uid": uid, "primaryKey": "id"})
            settings = {
                "searchableAttributes": ["title"],
                "filterableAttributes": ["price"],
                "synonyms": {"lamp": ["light"]},
                "stopWords": ["the", "a"],
            }
            await self._client.do("PATCH", f"/indexes/{uid}/settings", settings)
            for batch in _batches(uid, max(1, count * share // shares)):
                await self._client.do("POST", f"/indexes/{uid}/documents", batch)
                made += len(batch) * (_NOISE_BYTES + _OTHER_BYTES)
                tell(made)
        return await asyncio.to_thread(_bytes_in, self._folder / "data.ms")

    async def snapshot(self) -> DatabaseSnapshot:
        return await _snapshot(self._client)

    async def make_room(self) -> Room:
        return Room(
            words="into an empty directory, from which a second instance is launched",
            directory=str(self._restore_dir / "dump"),
        )

    async def snapshot_restored(self) -> DatabaseSnapshot:
        (dump,) = (self._restore_dir / "dump").glob("*.dump")
        with tempfile.TemporaryDirectory(dir=self._folder, prefix="second-") as name:
            async with _instance(Path(name), self._master_key, import_dump=dump) as client:
                return await _snapshot(client)

    def choose(self, artifacts: Sequence[ArtifactRecord]) -> ArtifactRecord:
        return artifacts[0]

    def opener(self, artifact: ArtifactRecord) -> Opener:
        del artifact
        return Opener(argv=["tar", "-tzf", "-"], command="tar -tz", magic=b"\x1f\x8b", describe=_describe)


class _Client:
    """What the demo asks of an instance, with its master key."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self._session = session

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Raises: Unavailable `engine.unreachable` with the instance's words."""
        data = io.BytesIO(json.dumps(body).encode()) if body is not None else None
        kind = {"Content-Type": "application/json"} if body is not None else {}
        try:
            async with self._session.request(method, self.url + path, data=data, headers=kind) as answer:
                text = await answer.text()
        except (aiohttp.ClientError, TimeoutError) as exc:
            raise Unavailable("engine.unreachable", f"Meilisearch at {self.url} does not answer: {exc}") from exc
        if answer.status >= 300:
            raise Unavailable("engine.unreachable", f"Meilisearch refused {method} {path}", detail=text[:4000])
        return json.loads(text)

    async def do(self, method: str, path: str, body: Any) -> None:
        """A write, to its end."""
        task = await self.ask(method, path, body)
        while True:
            seen = await self.ask("GET", f"/tasks/{task['taskUid']}")
            if seen["status"] not in {"enqueued", "processing"}:
                break
            await asyncio.sleep(_POLL_S)
        if seen["status"] != "succeeded":
            raise Unavailable("engine.unreachable", f"Meilisearch could not do {method} {path}", detail=json.dumps(seen))

    async def pages(self, path: str) -> AsyncIterator[dict[str, Any]]:
        offset = 0
        while True:
            page = await self.ask("GET", f"{path}?limit={_PAGE}&offset={offset}")
            for each in page["results"]:
                yield each
            offset += _PAGE
            if offset >= page["total"]:
                return


@asynccontextmanager
async def _instance(folder: Path, master_key: str, *, import_dump: Path | None = None) -> AsyncIterator[_Client]:
    """A running instance with its data in `folder`, stopped on leaving; it dies with this process."""
    make_private_dir(folder)
    make_private_dir(folder / "tmp")
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    headers = {"Authorization": f"Bearer {master_key}"}
    async with aiohttp.ClientSession(timeout=timeout, headers=headers, trust_env=False) as session:

        async def start(ports: Sequence[int]) -> tuple[int, Child]:
            child = Child(_spec(folder, ports[0], session, master_key, import_dump))
            await child.start()
            return ports[0], child

        port, child = await start_with_free_ports(1, start)
        try:
            yield _Client(f"http://{LOOPBACK}:{port}", session)
        finally:
            await child.stop()


def _spec(folder: Path, port: int, session: aiohttp.ClientSession, master_key: str, import_dump: Path | None) -> ChildSpec:
    async def ready() -> bool:
        try:  # the key is our own: an instance of somebody else on this port would not know it
            async with session.get(f"http://{LOOPBACK}:{port}/version") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    argv = ["meilisearch", "--db-path", str(folder / "data.ms"), "--http-addr", f"{LOOPBACK}:{port}", "--no-analytics"]
    argv += ["--env", "development", "--dump-dir", str(folder / "dumps"), "--snapshot-dir", str(folder / "snapshots")]
    if import_dump is not None:
        argv += ["--import-dump", str(import_dump)]
    return ChildSpec(
        name="meilisearch",
        argv=argv,
        directory=folder,
        ready=ready,
        error_code="engine.unreachable",
        environment=tool_environment(MEILI_MASTER_KEY=master_key, TMPDIR=str(folder / "tmp"), HOME=str(folder)),
        ready_timeout_s=_TIMEOUT_S,
    )


async def _snapshot(client: _Client) -> DatabaseSnapshot:
    tables: dict[str, TableContent] = {}
    objects: dict[str, dict[str, str]] = {"index": {}, "settings": {}, "key": {}}
    async for index in client.pages("/indexes"):
        uid = index["uid"]
        rows = total = 0
        async for document in client.pages(f"/indexes/{uid}/documents"):
            rows += 1
            total += int.from_bytes(hashlib.sha256(_canonical(document)).digest()[:16])
        tables[uid] = TableContent(rows=rows, content_sum=f"{total % 2**128:032x}")
        objects["index"][uid] = _canonical([index["primaryKey"], index["createdAt"]]).decode()
        objects["settings"][uid] = _canonical(await client.ask("GET", f"/indexes/{uid}/settings")).decode()
    async for key in client.pages("/keys"):
        # Its text depends on the master key: by its sum, since what the demo holds may be printed.
        text = hashlib.sha256(key["key"].encode()).hexdigest()
        objects["key"][key["uid"]] = _canonical(
            [key["name"], key["actions"], key["indexes"], key["expiresAt"], text]
        ).decode()
    return DatabaseSnapshot(tables=tables, objects=objects)


def _batches(uid: str, count: int) -> Iterator[list[dict[str, Any]]]:
    """The same documents each time."""
    chance = random.Random(f"{_SEED}:{uid}")  # noqa: S311  # made-up data
    for start in range(0, count, _BATCH):
        yield [_document(number, chance) for number in range(start, min(start + _BATCH, count))]


def _document(number: int, chance: random.Random) -> dict[str, Any]:
    return {
        "id": number,
        "title": f"{chance.choice(_FIRST_LETTERS)} {chance.choice(_THINGS)} No. {number}, «été»",
        "price": chance.randrange(100, 100_000) / 100,
        "tags": [chance.choice(_THINGS), None, {"nested": [number, True]}],
        "picture": base64.b64encode(chance.randbytes(_NOISE_BYTES)).decode(),
    }


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def _describe(listing: bytes) -> str:
    names = listing.decode(errors="replace").splitlines()
    indexes = sum(name.endswith("/documents.jsonl") for name in names)
    return f"{len(names)} entries, the documents of {indexes} indexes among them"


def _bytes_in(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
