"""The demo with a real Elasticsearch of its own: a node of jars from Maven Central, on a free loopback port."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import aiohttp

from contracts.errors import Unavailable
from contracts.records import ArtifactRecord
from contracts.services import ElasticsearchOptions, ServiceOptions
from daemon.demo.engines.base import Opener, Room, Tell
from daemon.demo.engines.elasticsearch_jars import NODE, fetch, launch_command, require_tools
from daemon.demo.processes import tool_environment
from daemon.demo.snapshot import DatabaseSnapshot, TableContent
from daemon.embedded.children import Child, ChildSpec
from daemon.embedded.ports import LOOPBACK, start_with_free_ports
from daemon.embedded.private_files import make_private_dir

_ORDERS: Final = "orders"
_REVIEWS: Final = "größe-reviews"
_INDICES: Final = (_ORDERS, _REVIEWS)
_AT_ONCE: Final = 2000
_PAGE: Final = 2000
_TEXT_BYTES: Final = 800
_LINE_BYTES: Final = 400
"""What else a document takes in the dump, roughly."""
_SUM_BYTES: Final = 16
_TIMEOUT: Final = aiohttp.ClientTimeout(total=180)
_START_TIMEOUT_S: Final = 120.0
_DEFINITIONS: Final[Mapping[str, Any]] = {
    _ORDERS: {
        "settings": {"number_of_shards": 2, "number_of_replicas": 0},
        "mappings": {
            "properties": {
                "at": {"type": "date"},
                "customer": {"type": "keyword"},
                "total": {"type": "double"},
                "note": {"type": "text"},
                "blob": {"type": "keyword", "index": False, "doc_values": False},
            }
        },
        "aliases": {"shop": {"is_write_index": True}, "shop-de": {"filter": {"term": {"country": "de"}}}},
    },
    _REVIEWS: {
        "settings": {"number_of_shards": 1, "number_of_replicas": 0, "refresh_interval": "5s"},
        "mappings": {"properties": {"blob": {"type": "keyword", "index": False, "doc_values": False}}},
    },
}
_TEMPLATE: Final = {"index_patterns": ["orders-*"], "template": {"settings": {"number_of_shards": 2}}, "priority": 5}
_PIPELINE: Final = {"description": "what comes in stays as it is", "processors": []}
_OF_ITS_OWN: Final = ("uuid", "creation_date", "provided_name", "version", "resize", "routing", "routing_partition_size")
"""Settings that say which index it is, not how it is."""


class ElasticsearchEngine:
    """See `daemon.demo.engines.base.DemoEngine`."""

    kind = "elasticsearch"
    title = "an Elasticsearch node"
    data_title = "the indices of a small shop"

    def check(self) -> None:
        """Raises: RunFailed `engine.tool_missing`."""
        require_tools()

    @asynccontextmanager
    async def running(self, folder: Path) -> AsyncIterator[ElasticsearchServer]:
        """Raises: Unavailable `engine.unreachable` with the server's own words; RunFailed `engine.tool_missing`."""
        make_private_dir(folder)
        jars = await asyncio.to_thread(fetch)

        async def start(ports: Sequence[int]) -> tuple[int, Child]:
            child = Child(_server(folder, ports[0], jars))
            await child.start()
            return ports[0], child

        port, child = await start_with_free_ports(1, start)
        try:
            async with aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=False) as session:
                yield ElasticsearchServer(session, folder, f"{LOOPBACK}:{port}")
        finally:
            await child.stop()


class ElasticsearchServer:
    """See `daemon.demo.engines.base.DemoServer`."""

    def __init__(self, session: aiohttp.ClientSession, folder: Path, place: str) -> None:
        self.place = place
        self.options: ServiceOptions = ElasticsearchOptions()
        self.connection: Mapping[str, Any] = {"kind": "elasticsearch", "url": f"http://{place}"}
        self._session = session
        self._folder = folder

    async def fill(self, size_bytes: int, tell: Tell) -> int:
        await self._ask("PUT", "/_index_template/orders", _TEMPLATE)
        await self._ask("PUT", "/_ingest/pipeline/plain", _PIPELINE)
        drawn = random.Random(20261122)  # noqa: S311 - the same each time
        count = max(size_bytes // (_TEXT_BYTES + _LINE_BYTES), 20)
        done = 0
        for index, share in ((_ORDERS, count - count // 10), (_REVIEWS, count // 10)):
            await self._ask("PUT", f"/{index}", _DEFINITIONS[index])
            for batch in _batches(drawn, share):
                answer = await self._send("POST", f"/{index}/_bulk", batch, "application/x-ndjson")
                if json.loads(answer)["errors"]:
                    what = f"Elasticsearch at {self.place} refused a document"
                    raise Unavailable("engine.unreachable", what, detail=answer[:2000].decode(errors="replace"))
                done += batch.count(b"\n") // 2
                tell(done * (_TEXT_BYTES + _LINE_BYTES))
            await self._ask("POST", f"/{index}/_flush")
            await self._ask("POST", f"/{index}/_refresh")
        return await asyncio.to_thread(_on_disk, self._folder)

    async def snapshot(self) -> DatabaseSnapshot:
        rows = await self._ask("GET", "/_cat/indices?format=json")
        names = sorted(row["index"] for row in rows)
        definitions = {name: (await self._ask("GET", f"/{name}"))[name] for name in names}
        templates = (await self._ask("GET", "/_index_template"))["index_templates"]
        state = await self._ask("GET", "/_cluster/state/metadata?filter_path=metadata.ingest")
        pipelines = state.get("metadata", {}).get("ingest", {}).get("pipeline", [])
        return DatabaseSnapshot(
            tables={name: await self._content(name) for name in names},
            objects={
                "mapping": {name: _canonical(definition["mappings"]) for name, definition in definitions.items()},
                "alias": {name: _canonical(definition["aliases"]) for name, definition in definitions.items()},
                "settings": {name: _settings(definition) for name, definition in definitions.items()},
                "template": {each["name"]: _canonical(each["index_template"]) for each in templates},
                "pipeline": {each["id"]: _canonical(each["config"]) for each in pipelines},
            },
        )

    async def make_room(self) -> Room:
        for index in _INDICES:
            await self._ask("DELETE", f"/{index}")
        await self._ask("DELETE", "/_index_template/orders")
        await self._ask("DELETE", "/_ingest/pipeline/plain")
        return Room(words="after indices, template and pipeline were removed")

    async def snapshot_restored(self) -> DatabaseSnapshot:
        return await self.snapshot()

    def choose(self, artifacts: Sequence[ArtifactRecord]) -> ArtifactRecord:
        return next(artifact for artifact in artifacts if artifact.name == _ORDERS)

    def opener(self, artifact: ArtifactRecord) -> Opener:
        del artifact
        return Opener(argv=["tar", "-t"], command="tar -t", magic=b"index.json", describe=_describe)

    async def _content(self, index: str) -> TableContent:
        """Sums of documents are added up: equal ones give an equal sum in whatever order they come."""
        total, rows = 0, 0
        body = {"size": _PAGE, "sort": ["_doc"]}
        page = await self._ask("POST", f"/{index}/_search?scroll=5m", body)
        while page["hits"]["hits"]:
            for hit in page["hits"]["hits"]:
                content = _canonical([hit["_id"], hit.get("_routing"), hit["_source"]])
                total += int.from_bytes(hashlib.sha256(content.encode()).digest()[:_SUM_BYTES])
                rows += 1
            page = await self._ask("POST", "/_search/scroll", {"scroll": "5m", "scroll_id": page["_scroll_id"]})
        await self._ask("DELETE", "/_search/scroll", {"scroll_id": page["_scroll_id"]})
        return TableContent(rows=rows, content_sum=f"{total % 256**_SUM_BYTES:032x}")

    async def _ask(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        # Numbers with a fraction stay as they were written: they have to come back digit by digit.
        return json.loads(await self._send(method, path, data, "application/json"), parse_float=str)

    async def _send(self, method: str, path: str, data: bytes | None, kind: str) -> bytes:
        """Raises: Unavailable `engine.unreachable` for anything but success."""
        url, headers = f"http://{self.place}{path}", {"Content-Type": kind}
        body = None if data is None else BytesIO(data)
        try:
            async with self._session.request(method, url, data=body, headers=headers) as answer:
                text = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as exc:
            raise Unavailable("engine.unreachable", f"Elasticsearch at {self.place} does not answer: {exc!r}") from exc
        if answer.status >= 300:
            what = f"Elasticsearch at {self.place} answered {method} {path} with status {answer.status}"
            raise Unavailable("engine.unreachable", what, detail=text[:2000].decode(errors="replace"))
        return text


def _server(folder: Path, port: int, jars: Path) -> ChildSpec:
    async def ready() -> bool:
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2), trust_env=False) as session,
                session.get(f"http://{LOOPBACK}:{port}/_cluster/health?wait_for_status=yellow&timeout=1s") as answer,
            ):
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    return ChildSpec(
        name="elasticsearch",
        argv=launch_command(NODE, jars, folder, port),
        directory=folder,
        ready=ready,
        error_code="engine.unreachable",
        environment=tool_environment(),
        ready_timeout_s=_START_TIMEOUT_S,
    )


def _batches(drawn: random.Random, count: int) -> Iterator[bytes]:
    for first in range(0, count, _AT_ONCE):
        lines: list[bytes] = []
        for number in range(first, min(first + _AT_ONCE, count)):
            lines += [b'{"create":{"_id":"%d","routing":"%d"}}' % (number, number % 7), _document(drawn, number)]
        yield b"\n".join([*lines, b""])


def _document(drawn: random.Random, number: int) -> bytes:
    """Half of the text is random; a number in it is larger than what most languages' numbers hold exactly."""
    half = _TEXT_BYTES // 2
    return json.dumps(
        {
            "at": f"2026-11-{number % 28 + 1:02}T12:00:00Z",
            "customer": f"customer {number % 1000}",
            "country": ("de", "fr", "it")[number % 3],
            "total": number / 100,
            "exact": 9007199254740993 + number,
            "note": "zwölf Größen " * 3,
            "blob": drawn.randbytes(half // 2).hex() + "x" * half,
        }
    ).encode()


def _settings(definition: Mapping[str, Any]) -> str:
    settings = definition["settings"]["index"]
    return _canonical({name: value for name, value in settings.items() if name not in _OF_ITS_OWN})


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _describe(listing: bytes) -> str:
    files = sum(1 for line in listing.splitlines() if line.startswith(b"data-"))
    return f"the index's definition and {files} files of its documents, in the lines that elasticdump reads and writes"


def _on_disk(folder: Path) -> int:
    sizes = 0
    for path in (folder / "data").rglob("*"):
        try:
            sizes += path.stat().st_size
        except FileNotFoundError:  # merged away meanwhile
            continue
    return sizes
