"""The demo with a Qdrant of its own: the `qdrant` program on the PATH, on a free loopback port, with a key of its own."""

from __future__ import annotations

import hashlib
import json
import random
import secrets
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp

from contracts.errors import RunFailed, Unavailable
from contracts.records import ArtifactRecord
from contracts.services import QdrantOptions, ServiceOptions
from daemon.demo.engines.base import Opener, Room, Tell
from daemon.demo.snapshot import DatabaseSnapshot, TableContent
from daemon.embedded.children import Child, ChildSpec
from daemon.embedded.ports import LOOPBACK, start_with_free_ports
from daemon.embedded.private_files import make_private_dir, write_private

_PROGRAM: Final = "qdrant"
_PRODUCTS: Final = "products"
_REVIEWS: Final = "reviews"
_ALIAS: Final = "shop search"
_DIMENSIONS: Final = 64
_TEXT_BYTES: Final = 1024
_POINT_BYTES: Final = 2 * (_TEXT_BYTES + 4 * _DIMENSIONS)
"""In a snapshot: in a segment, and once more in the write-ahead log."""
_AT_ONCE: Final = 200
_TIMEOUT: Final = aiohttp.ClientTimeout(total=120)


class QdrantEngine:
    """See `daemon.demo.engines.base.DemoEngine`."""

    kind = "qdrant"
    title = "a Qdrant server"
    data_title = "the vectors of a small shop's products and reviews"

    def check(self) -> None:
        """Raises: RunFailed `engine.tool_missing`."""
        if shutil.which(_PROGRAM) is None:
            raise RunFailed(
                "engine.tool_missing",
                "the demo needs the program qdrant, which no Debian package has: take it from the releases of Qdrant "
                "(github.com/qdrant/qdrant/releases), put it on the PATH and try again",
            )

    @asynccontextmanager
    async def running(self, folder: Path) -> AsyncIterator[QdrantServer]:
        """Raises: Unavailable `engine.unreachable` with the server's own words."""
        make_private_dir(folder)
        key = secrets.token_urlsafe(24)
        write_private(folder / "api-key", key)

        async def start(ports: Sequence[int]) -> tuple[int, Child]:
            child = Child(_server(folder, ports[0], key))
            await child.start()
            return ports[0], child

        port, child = await start_with_free_ports(1, start)
        try:
            async with aiohttp.ClientSession(headers={"api-key": key}, timeout=_TIMEOUT, trust_env=False) as session:
                yield QdrantServer(session, folder, f"{LOOPBACK}:{port}")
        finally:
            await child.stop()


class QdrantServer:
    """See `daemon.demo.engines.base.DemoServer`."""

    def __init__(self, session: aiohttp.ClientSession, folder: Path, place: str) -> None:
        self.place = place
        self.options: ServiceOptions = QdrantOptions()
        self.connection: Mapping[str, Any] = {
            "kind": "qdrant",
            "url": [f"http://{place}"],
            "api_key_file": str(folder / "api-key"),
        }
        self._session = session
        self._folder = folder

    async def fill(self, size_bytes: int, tell: Tell) -> int:
        generator = random.Random(20261122)  # noqa: S311 - the same each time
        points = max(size_bytes // _POINT_BYTES, 20)
        reviews = points // 10
        done = 0
        for name, distance, count in ((_PRODUCTS, "Cosine", points - reviews), (_REVIEWS, "Dot", reviews)):
            await self._ask("PUT", f"/collections/{name}", {"vectors": {"size": _DIMENSIONS, "distance": distance}})
            index = {"field_name": "category", "field_schema": "keyword"}
            await self._ask("PUT", f"/collections/{name}/index?wait=true", index)
            for first in range(0, count, _AT_ONCE):
                batch = [_point(generator, number) for number in range(first, min(first + _AT_ONCE, count))]
                await self._ask("PUT", f"/collections/{name}/points?wait=true", {"points": batch})
                done += len(batch)
                tell(done * _POINT_BYTES)
        alias = {"create_alias": {"alias_name": _ALIAS, "collection_name": _PRODUCTS}}
        await self._ask("POST", "/collections/aliases", {"actions": [alias]})
        return _on_disk(self._folder / "storage")

    async def snapshot(self) -> DatabaseSnapshot:
        listed = await self._ask("GET", "/collections")
        names = sorted(each["name"] for each in listed["collections"])
        aliases = (await self._ask("GET", "/aliases"))["aliases"]
        configurations = {}
        for name in names:
            info = await self._ask("GET", f"/collections/{name}")
            schema = {field: index["data_type"] for field, index in info["payload_schema"].items()}
            configurations[name] = _canonical({"config": info["config"], "payload_schema": schema})
        return DatabaseSnapshot(
            tables={name: await self._content(name) for name in names},
            objects={
                "alias": {each["alias_name"]: each["collection_name"] for each in aliases},
                "configuration": configurations,
            },
        )

    async def make_room(self) -> Room:
        for name in (_PRODUCTS, _REVIEWS):
            await self._ask("DELETE", f"/collections/{name}")
        return Room(words="after both collections were removed, and their alias with them")

    async def snapshot_restored(self) -> DatabaseSnapshot:
        return await self.snapshot()

    def choose(self, artifacts: Sequence[ArtifactRecord]) -> ArtifactRecord:
        return next(artifact for artifact in artifacts if artifact.name == _PRODUCTS)

    def opener(self, artifact: ArtifactRecord) -> Opener:
        del artifact
        return Opener(argv=["tar", "-t"], command="tar -t", magic=b"", describe=_describe)

    async def _content(self, name: str) -> TableContent:
        """Points come sorted by id, so that equal ones give an equal sum."""
        digest, rows, offset = hashlib.sha256(), 0, None
        while True:
            wanted = {"limit": 1000, "with_payload": True, "with_vector": True, "offset": offset}
            page = await self._ask("POST", f"/collections/{name}/points/scroll", wanted)
            for point in page["points"]:
                content = {field: point[field] for field in ("id", "vector", "payload")}
                digest.update(_canonical(content).encode())
                rows += 1
            offset = page["next_page_offset"]
            if offset is None:
                return TableContent(rows=rows, content_sum=digest.hexdigest())

    async def _ask(self, method: str, path: str, body: object = None) -> Any:
        """Raises: Unavailable `engine.unreachable` for anything but success."""
        try:
            async with self._session.request(method, f"http://{self.place}{path}", json=body) as answer:
                text = await answer.text()
        except (aiohttp.ClientError, TimeoutError) as exc:
            raise Unavailable("engine.unreachable", f"Qdrant at {self.place} does not answer: {exc!r}") from exc
        if answer.status != 200:
            what = f"Qdrant at {self.place} answered {method} {path} with status {answer.status}"
            raise Unavailable("engine.unreachable", what, detail=text[:2000])
        return json.loads(text)["result"]


def _server(folder: Path, port: int, key: str) -> ChildSpec:
    config = {
        "telemetry_disabled": True,
        "log_level": "INFO",
        "service": {"host": LOOPBACK, "http_port": port, "grpc_port": None, "api_key": key},
        "storage": {
            "storage_path": str(folder / "storage"),
            "snapshots_path": str(folder / "snapshots"),
            "temp_path": str(folder / "temp"),
        },
        "cluster": {"enabled": False},
    }
    path = folder / "config.yaml"  # JSON is YAML as well; the key stands here and not in the environment
    path.unlink(missing_ok=True)
    write_private(path, json.dumps(config))

    async def ready() -> bool:
        # With the key, which somebody else's server on that port would not take.
        try:
            async with (
                aiohttp.ClientSession(headers={"api-key": key}, timeout=aiohttp.ClientTimeout(total=2)) as session,
                session.get(f"http://{LOOPBACK}:{port}/collections") as answer,
            ):
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    return ChildSpec(
        name=_PROGRAM,
        argv=[shutil.which(_PROGRAM) or _PROGRAM, "--config-path", str(path)],
        directory=folder,
        ready=ready,
        error_code="engine.unreachable",
    )


def _point(generator: random.Random, number: int) -> dict[str, Any]:
    text = generator.randbytes(_TEXT_BYTES // 2).hex()
    return {
        "id": number,
        "vector": [round(generator.uniform(-1, 1), 4) for _ in range(_DIMENSIONS)],
        "payload": {"category": f"category {number % 17}", "price_cents": generator.randrange(100, 100_000), "text": text},
    }


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _on_disk(directory: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in directory.rglob("*") if path.is_file())


def _describe(output: bytes) -> str:
    names = output.decode(errors="replace").splitlines()
    segments = sum("/segments/" in name and not name.endswith("/") for name in names)
    return f"{len(names)} entries, {segments} segments of vectors and payload among them"
