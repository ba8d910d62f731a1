"""A filled Elasticsearch or OpenSearch for the driver's tests, looked at past the gate and with nothing of the driver's."""

from __future__ import annotations

import asyncio
import base64
import json
import random
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from agents.drivers.base import DumpSource, PlannedArtifact
from agents.drivers.elasticsearch.connection import ElasticsearchConnection
from agents.drivers.elasticsearch.driver import ElasticsearchDriver
from contracts.records import RestoreTarget
from contracts.services import ElasticsearchOptions
from tests.agents.drivers.contract import EngineUnderTest
from tests.agents.drivers.elasticsearch.gate import API_KEY, PASSWORD, Gate, cut
from tests.servers.elasticsearch import SearchNode
from tests.servers.waiting import eventually

ODD: Final = "größe'n&50%=[ä]+$~!@{}();^`"
"""All kinds of characters that an index may be called by."""
LARGE: Final = "large"
_LARGE_BYTES: Final = 9 * 512 * 1024
_ORDERS: Final = 400
_WRITTEN: Final = "written-"
_IDENTITY: Final = ("uuid", "creation_date", "provided_name", "version", "resize", "routing_partition_size")

Content = dict[str, Any]


class SearchEngine(EngineUnderTest):
    """One node behind its gate."""

    secrets = (PASSWORD, API_KEY)

    def __init__(self, node: SearchNode, gate: Gate, directory: Path) -> None:
        self.node = node
        self.gate = gate
        self._directory = directory

    def driver(self, options: ElasticsearchOptions | None = None, *, user: str = "backup") -> ElasticsearchDriver:
        return self._driver(user, PASSWORD, options)

    def restoring_driver(self) -> ElasticsearchDriver:
        return self._driver("restore", PASSWORD, None)

    def driver_with_wrong_credentials(self) -> ElasticsearchDriver:
        return self._driver("backup", "guessed", None)

    def driver_with_api_key(self) -> ElasticsearchDriver:
        key = self._directory / "api-key"
        key.write_text(f"{API_KEY}\n")
        return self._made(ElasticsearchConnection(url=self.gate.url, api_key_file=str(key)), None)

    def _driver(self, user: str, password: str, options: ElasticsearchOptions | None) -> ElasticsearchDriver:
        file = self._directory / f"password-{user}"
        file.write_text(f"{password}\n")
        return self._made(ElasticsearchConnection(url=self.gate.url, user=user, password_file=str(file)), options)

    def _made(self, connection: ElasticsearchConnection, options: ElasticsearchOptions | None) -> ElasticsearchDriver:
        return ElasticsearchDriver(connection, options, runtime_dir=self._directory, work_dir=self._directory)

    def target(self, *, replace: bool = False) -> RestoreTarget:
        return RestoreTarget(project="acme", service="search", node="node-1", replace=replace)

    def fill(self) -> None:
        """One of everything that this kind of node has, and little of each."""
        ask = self.node.ask
        ask("PUT", "/_component_template/common", {"template": {"settings": {"number_of_replicas": 0}}, "version": 3})
        ask(
            "PUT",
            "/_index_template/per-t%C3%A4g%26",
            {"index_patterns": ["day-*"], "composed_of": ["common"], "priority": 7, "_meta": {"owner": "größe"}},
        )
        ask("PUT", "/_template/legacy", {"index_patterns": ["old-*"], "order": 2, "settings": {"number_of_shards": 1}})
        ask("PUT", "/_ingest/pipeline/none", {"description": "does nothing", "processors": []})
        ask("PUT", "/_ingest/pipeline/tag", {"version": 9007199, "processors": []})
        ask("PUT", "/_scripts/find", {"script": {"lang": "mustache", "source": {"query": {"term": {"n": "{{n}}"}}}}})
        ask("PUT", "/orders", ORDERS)
        ask("PUT", f"/{quote(ODD)}", {"settings": {"number_of_shards": 1, "number_of_replicas": 0}})
        ask("PUT", "/empty", {"settings": {"number_of_shards": 1, "number_of_replicas": 0, "refresh_interval": "-1"}})
        self.bulk("orders", _orders())
        self.bulk(ODD, [({"_id": f"{number}/ü ?#%"}, json.dumps({"n": number})) for number in range(30)])

    def fill_large(self) -> None:
        """One more index, which can be caught in the middle."""
        body = {"settings": {"number_of_shards": 2, "number_of_replicas": 0}, "mappings": UNINDEXED}
        self.node.ask("PUT", f"/{LARGE}", body)
        assert not self.node.ask("POST", f"/{LARGE}/_bulk?refresh=true", _large())["errors"]

    def bulk(self, index: str, documents: list[tuple[dict[str, Any], str]], operation: str = "index") -> None:
        """(action, source as it is sent)."""
        lines = [line for action, source in documents for line in (json.dumps({operation: action}), source)]
        found = self.node.ask("POST", f"/{quote(index)}/_bulk?refresh=true", "\n".join([*lines, ""]).encode())
        assert not found["errors"], str(found)[:2000]

    def empty(self) -> None:
        """Nothing is left."""
        ask = self.node.ask
        if settings := ask("GET", "/_cluster/settings?flat_settings=true")["persistent"]:
            ask("PUT", "/_cluster/settings", {"persistent": dict.fromkeys(settings)})
        if self.node.is_opensearch:
            for stream in ask("GET", "/_data_stream")["data_streams"]:
                ask("DELETE", f"/_data_stream/{quote(stream['name'])}")
        if self.indices():
            ask("DELETE", "/*?expand_wildcards=all")
        for kind, names in self.metadata().items():
            for name in names:
                ask("DELETE", f"/{kind}/{quote(name)}")

    def indices(self) -> list[str]:
        return sorted(row["index"] for row in self.node.ask("GET", "/_cat/indices?format=json&expand_wildcards=all"))

    def metadata(self) -> dict[str, dict[str, Any]]:
        """By path and name."""
        ask = self.node.ask
        templates = ask("GET", "/_index_template")["index_templates"]
        components = ask("GET", "/_component_template")["component_templates"]
        state = ask("GET", "/_cluster/state/metadata?filter_path=metadata.stored_scripts")
        return {
            "_index_template": {each["name"]: each["index_template"] for each in templates},
            "_component_template": {each["name"]: each["component_template"] for each in components},
            "_template": ask("GET", "/_template"),
            "_ingest/pipeline": ask("GET", "/_ingest/pipeline") if self.node.has("/_ingest/pipeline") else {},
            "_scripts": state.get("metadata", {}).get("stored_scripts", {}),
        }

    def index(self, name: str) -> Any:
        """Definition and documents."""
        found = self.node.ask("GET", f"/{quote(name)}")[name]
        self.node.ask("POST", f"/{quote(name)}/_refresh")
        hits = self.node.ask("POST", f"/{quote(name)}/_search", {"size": 10_000, "track_total_hits": True})["hits"]
        assert hits["total"]["value"] == len(hits["hits"])
        return {
            "aliases": found["aliases"],
            "mappings": found["mappings"],
            "settings": tidy(found["settings"]["index"]),
            "documents": {(hit["_id"], hit.get("_routing")): hit["_source"] for hit in hits["hits"]},
        }

    def everything(self) -> Content:
        return {"metadata": self.metadata(), "indices": {name: self.index(name) for name in self.indices()}}

    async def content(self) -> Content:
        return await asyncio.to_thread(self.everything)

    async def content_of_target(self) -> Content:
        return await self.content()

    async def wipe(self) -> None:
        await asyncio.to_thread(self.empty)

    async def change(self) -> None:
        await asyncio.to_thread(self._change)

    def _change(self) -> None:
        self.bulk("orders", [({"_id": "new"}, '{"n": 1}'), ({"_id": "7", "routing": "a"}, '{"n": "changed"}')])
        self.node.ask("DELETE", "/orders/_doc/1?refresh=true&routing=b")
        self.node.ask("PUT", "/empty/_settings", {"index": {"refresh_interval": "5s"}})
        self.node.ask("PUT", "/_ingest/pipeline/none", {"description": "changed", "processors": []})
        self.node.ask("DELETE", f"/{quote(ODD)}")

    async def occupy_target(self) -> None:
        """Restores go to where the data came from."""

    def writing(self) -> AbstractAsyncContextManager[None]:
        return self._writing()

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[None]:
        written = 0

        async def write() -> None:
            nonlocal written
            while True:
                action = {"_id": f"{_WRITTEN}{written}"}
                await asyncio.to_thread(self.bulk, "orders", [(action, json.dumps({"n": written}))])
                if written % 10 == 0:
                    await asyncio.to_thread(self.bulk, f"{_WRITTEN}{written}", [({"_id": "1"}, '{"n": 1}')])
                written += 1

        writer = asyncio.create_task(write(), name="writer")
        try:
            await eventually(lambda: written > 3 or writer.done())
            yield
        finally:
            writer.cancel()
            await asyncio.wait([writer])
        assert writer.cancelled(), writer.exception()

    def check_written_meanwhile(self, before: Content, restored: Content) -> None:
        assert before["metadata"] == restored["metadata"]
        for name, index in before["indices"].items():
            found = restored["indices"][name]
            documents = found["documents"]
            assert index["settings"] == found["settings"]
            assert {key: documents[key] for key in index["documents"]} == index["documents"]
            for (number, routing), source in documents.items():
                if (number, routing) not in index["documents"]:
                    assert source == {"n": int(number.removeprefix(_WRITTEN))}
        assert {name for name in restored["indices"] if not name.startswith(_WRITTEN)} == set(before["indices"])

    def large_artifact(self, planned: list[PlannedArtifact]) -> PlannedArtifact:
        return next(each for each in planned if each.name == LARGE)

    async def break_dump(self, source: DumpSource) -> None:
        del source
        self.gate.on("POST", r"/_search", cut)

    async def kill(self) -> None:
        await asyncio.to_thread(self.node.kill)

    async def revive(self) -> None:
        if not self.node.process.running:
            self.node.start()  # by the main thread: the node dies with the thread that started it

    async def leftovers(self) -> list[str]:
        """Indices of restores, and views of indices that the node still holds."""
        await self.revive()
        indices = [name for name in await asyncio.to_thread(self.indices) if name.startswith("strongroom-")]
        return indices + [f"{await asyncio.to_thread(self.open_contexts)} open searches"] * (self.open_contexts() > 0)

    def open_contexts(self) -> int:
        path = "/_nodes/stats/indices/search?filter_path=nodes.*.indices.search.open_contexts"
        (node,) = self.node.ask("GET", path)["nodes"].values()
        return int(node["indices"]["search"]["open_contexts"])

    async def expected_counts(self) -> dict[str, int]:
        return {
            name: int(self.node.ask("GET", f"/{quote(name)}/_count")["count"])
            for name in self.indices()
            if not name.startswith(".") or name.startswith(".ds-")
        }


ORDERS: Final = {
    "settings": {
        "number_of_shards": 2,
        "number_of_replicas": 0,
        "default_pipeline": "tag",
        "refresh_interval": "250ms",
        "analysis": {"analyzer": {"shop": {"type": "custom", "tokenizer": "standard", "filter": ["lowercase"]}}},
    },
    "mappings": {
        "dynamic": "true",
        "_meta": {"limit": 9007199254740993},
        "properties": {
            "n": {"type": "keyword"},
            "title": {"type": "text", "analyzer": "shop"},
            "lines": {"type": "nested", "properties": {"sku": {"type": "keyword"}}},
            "raw": {"type": "object", "enabled": False},
        },
    },
    "aliases": {
        "shop": {"is_write_index": True},
        "shop-de": {"filter": {"term": {"n": "1"}}, "index_routing": "a", "search_routing": "a"},
    },
}
UNINDEXED: Final = {"properties": {"blob": {"type": "keyword", "index": False, "doc_values": False}}}


def tidy(settings: dict[str, Any]) -> dict[str, Any]:
    """Without what says which index it is."""
    kept = {name: value for name, value in settings.items() if name not in _IDENTITY}
    routing = kept.pop("routing", {})
    routing.get("allocation", {}).pop("initial_recovery", None)
    return kept | ({"routing": routing} if routing.get("allocation") else {})


def _orders() -> list[tuple[dict[str, Any], str]]:
    documents: list[tuple[dict[str, Any], str]] = []
    for number in range(_ORDERS):
        raw = {"big": 9007199254740993 + number, "text": "Größe\u2028\n\"'\\\t\U0001f40d" * (number % 7), "nothing": None}
        source = json.dumps(
            {"n": str(number), "title": f"Order {number}", "lines": [{"sku": "a"}, {"sku": "b"}], "raw": raw}
        )
        source = source.replace('"nothing": null', f'"nothing": null, "price": {number}.10, "small": 1E-{number % 9}')
        documents.append(({"_id": str(number), "routing": "ab"[number % 2]}, source))
    return documents


@cache
def _large() -> bytes:
    drawn = random.Random(5)  # noqa: S311
    each = 24 * 1024
    lines: list[str] = []
    for number in range(_LARGE_BYTES // each):
        lines += [
            f'{{"index":{{"_id":"{number}"}}}}',
            json.dumps({"blob": base64.b64encode(drawn.randbytes(each)).decode()}),
        ]
    return "\n".join([*lines, ""]).encode()
