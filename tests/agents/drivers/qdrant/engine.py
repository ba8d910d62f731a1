"""A filled Qdrant under test: the tests' own server, or a real one that the environment names.

`STRONGROOM_TEST_QDRANT_URL` and `STRONGROOM_TEST_QDRANT_API_KEY` name a real server of which everything is removed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import subprocess
import sys
import warnings
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from qdrant_client import AsyncQdrantClient, models

from agents.drivers.base import DumpSource, PlannedArtifact
from agents.drivers.qdrant.connection import QdrantConnection
from agents.drivers.qdrant.driver import QdrantDriver
from contracts.records import RestoreTarget
from contracts.services import QdrantOptions
from contracts.tasks import cancel_surely
from tests.agents.drivers.contract import EngineUnderTest
from tests.servers.qdrant.proxy import Proxy
from tests.servers.qdrant.server import QdrantServer
from tests.servers.waiting import eventually

MAKE_TOKEN: Final = Path(__file__).parents[4] / "deploy" / "qdrant" / "make-token.py"
REAL_URL: Final = os.environ.get("STRONGROOM_TEST_QDRANT_URL", "").rstrip("/")
REAL_KEY: Final = os.environ.get("STRONGROOM_TEST_QDRANT_API_KEY", "")

LARGE: Final = "large"
ODD_NAMES: Final = ("Größe & Maß", "it's 100%25 #odd; $(x)", "aliases", "日本 語")
_LARGE_POINTS: Final = 120
_LARGE_PAYLOAD_BYTES: Final = 32 * 1024


@asynccontextmanager
async def client_of(url: str, api_key: str) -> AsyncIterator[AsyncQdrantClient]:
    """The official client."""
    with warnings.catch_warnings():  # it warns of keys over plain HTTP, which here is a loopback
        warnings.simplefilter("ignore")
        client = AsyncQdrantClient(url=url, api_key=api_key or None, check_compatibility=False, timeout=60)
    try:
        yield client
    finally:
        await client.close()


async def fill(client: AsyncQdrantClient, *, names: Sequence[str] = ODD_NAMES, large: bool = True) -> None:
    """Collections with odd names, one that is large, and aliases."""
    generator = random.Random(7)  # noqa: S311 - the same each time
    for number, name in enumerate(names):
        distance = models.Distance.COSINE if number % 2 else models.Distance.DOT
        await client.create_collection(
            name,
            vectors_config=models.VectorParams(size=4, distance=distance),
            hnsw_config=models.HnswConfigDiff(m=8 + number),
        )
        await client.create_payload_index(name, "city", models.PayloadSchemaType.KEYWORD)
        points = [
            models.PointStruct(
                id=point, vector=[generator.random() for _ in range(4)], payload={"city": f"Zürich {point}", "n": point}
            )
            for point in range(20 * number)  # the first is empty
        ]
        if points:
            await client.upsert(name, points, wait=True)
    if large:
        await client.create_collection(LARGE, vectors_config=models.VectorParams(size=4, distance=models.Distance.DOT))
        for start in range(0, _LARGE_POINTS, 20):
            points = [
                models.PointStruct(
                    id=point, vector=[1.0, 2.0, 3.0, 4.0], payload={"x": generator.randbytes(_LARGE_PAYLOAD_BYTES).hex()}
                )
                for point in range(start, start + 20)
            ]
            await client.upsert(LARGE, points, wait=True)
    for alias, name in (("current", ODD_NAMES[0]), ("alias mit Umlaut ß", ODD_NAMES[1]), ("other", ODD_NAMES[1])):
        await client.update_collection_aliases(
            [models.CreateAliasOperation(create_alias=models.CreateAlias(collection_name=name, alias_name=alias))]
        )


async def content_of(client: AsyncQdrantClient) -> dict[str, Any]:
    """Everything, by the official client."""
    found: dict[str, Any] = {}
    for each in (await client.get_collections()).collections:
        info = await client.get_collection(each.name)
        points, _ = await client.scroll(each.name, limit=100_000, with_payload=True, with_vectors=True)
        found[each.name] = {
            "config": info.config.model_dump(mode="json", exclude_none=True),
            "schema": {field: index.data_type.value for field, index in info.payload_schema.items()},
            "points": {str(point.id): (point.vector, point.payload) for point in points},
        }
    aliases = (await client.get_aliases()).aliases
    return {"collections": found, "aliases": {each.alias_name: each.collection_name for each in aliases}}


async def wipe(client: AsyncQdrantClient) -> None:
    for each in (await client.get_collections()).collections:
        await client.delete_collection(each.name)


def make_token(api_key: str, directory: Path, *arguments: str) -> str:
    """As an administrator makes one, by the script in `deploy/`."""
    key_file = directory / "administrators-key"
    key_file.write_text(api_key + "\n")
    command = [sys.executable, str(MAKE_TOKEN), "--api-key-file", str(key_file), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


class QdrantEngine(EngineUnderTest):
    """One server behind a proxy."""

    def __init__(self, server: QdrantServer | None, proxy: Proxy, directory: Path) -> None:
        self.server = server
        self.proxy = proxy
        self.directory = directory
        self.work_dir = directory / "work"
        self.work_dir.mkdir(exist_ok=True)
        self.url = server.url if server is not None else REAL_URL
        self.api_key = server.api_key if server is not None else REAL_KEY
        self.token = self.api_key if server is None else make_token(self.api_key, directory, "--manage")
        self.secrets = tuple(secret for secret in {self.api_key, self.token} if secret)
        self.proxy_url = f"http://127.0.0.1:{proxy.port}"

    def connection(self, key: str) -> QdrantConnection:
        path = self.directory / "agents-key"
        path.write_text(key + "\n")
        return QdrantConnection(url=[self.proxy_url], api_key_file=str(path) if key else "")

    def driver(self, options: QdrantOptions | None = None, *, key: str | None = None) -> QdrantDriver:
        connection = self.connection(self.token if key is None else key)
        return QdrantDriver(connection, options, runtime_dir=self.directory, work_dir=self.work_dir)

    def driver_with_wrong_credentials(self) -> QdrantDriver:
        path = self.directory / "wrong-key"
        path.write_text("wrong\n")
        connection = QdrantConnection(url=[self.proxy_url], api_key_file=str(path))
        return QdrantDriver(connection, runtime_dir=self.directory, work_dir=self.work_dir)

    def target(self, *, replace: bool = False, **more: Any) -> RestoreTarget:
        return RestoreTarget(project="acme", service="vectors", node="db-1", replace=replace, **more)

    def client(self) -> contextlib.AbstractAsyncContextManager[AsyncQdrantClient]:
        return client_of(self.url, self.api_key)

    async def content(self) -> Any:
        async with self.client() as client:
            return await content_of(client)

    async def content_of_target(self) -> Any:
        return await self.content()

    async def wipe(self) -> None:
        async with self.client() as client:
            await wipe(client)

    async def change(self) -> None:
        name = ODD_NAMES[1]
        async with self.client() as client:
            vector = [9.0, 9.0, 9.0, 9.0]
            await client.upsert(name, [models.PointStruct(id=3, vector=vector, payload={"changed": True})], wait=True)
            await client.upsert(name, [models.PointStruct(id=999, vector=vector, payload={})], wait=True)
            await client.delete(name, models.PointIdsList(points=[5]), wait=True)
            await client.delete_collection(ODD_NAMES[3])
            await client.update_collection_aliases(
                [
                    models.CreateAliasOperation(
                        create_alias=models.CreateAlias(collection_name=ODD_NAMES[2], alias_name="current")
                    )
                ]
            )

    async def occupy_target(self) -> None:
        """It is the service itself."""

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        written = asyncio.Event()

        async def write() -> None:
            async with self.client() as client:
                for number in range(1_000_000):
                    vector = [float(number), 1.0, 2.0, 3.0]
                    point = models.PointStruct(id=10_000 + number, vector=vector, payload={"n": number})
                    await client.upsert(ODD_NAMES[1], [point], wait=True)
                    if number % 10 == 0 and number < 50:
                        await client.create_collection(
                            f"new {number}", vectors_config=models.VectorParams(size=2, distance=models.Distance.DOT)
                        )
                    if number == 3:
                        written.set()

        task = asyncio.create_task(write())
        try:
            await asyncio.wait([task, asyncio.create_task(written.wait())], return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
            yield
        finally:
            await cancel_surely(task)
        assert task.cancelled(), task.exception()

    def check_written_meanwhile(self, before: Any, restored: Any) -> None:
        for name, known in before["collections"].items():
            found = restored["collections"][name]
            assert found["config"] == known["config"]
            assert {**found["points"], **known["points"]} == found["points"]
            added = set(found["points"]) - set(known["points"])
            assert all(int(point) >= 10_000 for point in added)
            # What was there is there up to a moment: points were written one after the other.
            assert sorted(int(point) - 10_000 for point in added) == list(range(len(added)))
        assert restored["aliases"] == before["aliases"]

    def large_artifact(self, planned: list[PlannedArtifact]) -> PlannedArtifact:
        return next(each for each in planned if each.name == LARGE)

    async def break_dump(self, source: DumpSource) -> None:
        del source
        self.proxy.cut()

    async def kill(self) -> None:
        await self.proxy.close()
        if self.server is not None:
            self.server.kill()

    async def revive(self) -> None:
        if self.server is not None:
            self.server.start()  # not in a thread: it would die with that
        await self.proxy.open()

    async def leftovers(self) -> list[str]:
        found = sorted(path.name for path in self.work_dir.iterdir())
        async with self.client() as client:
            for each in (await client.get_collections()).collections:
                found += [f"{each.name}/{snapshot.name}" for snapshot in await client.list_snapshots(each.name)]
                if each.name.startswith("strongroom"):
                    found.append(each.name)
        if self.server is not None:
            server = self.server
            await eventually(lambda: not any("snapshots_temp" in name for name in server.files()))
            found += server.files()
        return found

    async def expected_counts(self) -> dict[str, int]:
        async with self.client() as client:
            names = [each.name for each in (await client.get_collections()).collections]
            return {name: (await client.count(name, exact=True)).count for name in names}


def split_url(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    return parts.hostname, parts.port or 6333
