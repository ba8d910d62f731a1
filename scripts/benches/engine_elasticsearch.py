"""Elasticsearch: one index of many small documents, beside `elasticdump` with larger batches than it takes by itself."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from contracts.services import ElasticsearchOptions
from scripts.benches.cost import Cost
from scripts.benches.engine_case import Case, Prepare, target
from scripts.benches.peer_side import Pipeline
from tests.agents.drivers.elasticsearch.elasticdump_program import elasticdump
from tests.servers.elasticsearch import ELASTICSEARCH, SearchNode, jars

_INDEX: Final = "bench"
_MIB: Final = 1024 * 1024
_DOCUMENT_BYTES: Final = 520
_BATCH: Final = 5000
_LIMIT: Final = "--limit=1000"
"""Ten times its default, with which it is slower still."""
_MAPPING: Final = {
    "settings": {"number_of_shards": 1, "number_of_replicas": 0},
    "mappings": {
        "properties": {
            "@timestamp": {"type": "date"},
            "level": {"type": "keyword"},
            "service": {"type": "keyword"},
            "host": {"type": "keyword"},
            "trace": {"type": "keyword"},
            "client": {"type": "ip"},
            "status": {"type": "short"},
            "duration_ms": {"type": "double"},
            "bytes": {"type": "long"},
            "path": {"type": "keyword"},
            "message": {"type": "text"},
        },
    },
}
_RESTORE: Final = (
    '"$1" --quiet --type=index --input="$2" --output="$3" && exec "$1" --quiet --type=data "$4" --input="$" --output="$3"'
)


def cases(size_mib: int) -> Iterator[tuple[str, Prepare]]:
    count = size_mib * _MIB // _DOCUMENT_BYTES
    yield f"elasticsearch, {size_mib} MiB in {count} documents", partial(_index, count)


@asynccontextmanager
async def _index(count: int, directory: Path) -> AsyncIterator[Case]:
    server = SearchNode(directory, ELASTICSEARCH, await asyncio.to_thread(jars, ELASTICSEARCH), short_lived=False)
    program = str(await asyncio.to_thread(elasticdump))
    url = f"{server.url}/{_INDEX}"
    definition = directory / "index.json"

    async def back_up(pipeline: Pipeline) -> Cost:
        argv = [program, "--quiet", "--type=data", _LIMIT, f"--input={url}", "--output=$"]
        return await asyncio.to_thread(pipeline.upload, argv, {}, keep=True)

    async def restore(pipeline: Pipeline, identity_file: str) -> Cost:
        argv = ["sh", "-c", _RESTORE, "sh", program, str(definition), url, _LIMIT]
        cost = await asyncio.to_thread(pipeline.fetch, argv, {}, identity_file)
        await check_restored()
        return cost

    async def make_room() -> None:
        server.ask("DELETE", f"/{_INDEX}")

    async def check_restored() -> None:
        server.ask("POST", f"/{_INDEX}/_refresh")
        found = server.ask("GET", f"/{_INDEX}/_count")["count"]
        if found != count:
            raise SystemExit(f"{count} documents went in, and {found} came back")

    try:
        server.start()
        server.ask("PUT", f"/{_INDEX}", _MAPPING)
        await asyncio.to_thread(_fill, server, count)
        definition.write_text(json.dumps(json.dumps({_INDEX: _MAPPING})) + "\n")
        yield Case(
            connection={"kind": "elasticsearch", "url": server.url},
            options=ElasticsearchOptions(include=[_INDEX], cluster_metadata=False),
            target=target(),
            peer_name="elasticdump --limit=1000 | zstd | age | rclone",
            make_room=make_room,
            check_restored=check_restored,
            peer_backup=back_up,
            peer_restore=restore,
        )
    finally:
        server.kill()


def _fill(server: SearchNode, count: int) -> None:
    drawn = random.Random(20261122)  # noqa: S311 - the same each time
    words = ["".join(drawn.choices("abcdefghijklmnopqrstuvwxyz", k=drawn.randint(3, 9))) for _ in range(5000)]
    for start in range(0, count, _BATCH):
        lines: list[str] = []
        for number in range(start, min(start + _BATCH, count)):
            lines += [f'{{"index":{{"_id":"{number}"}}}}', json.dumps(_document(drawn, words, number))]
        answer = server.ask("POST", f"/{_INDEX}/_bulk", "\n".join([*lines, ""]).encode())
        assert not answer["errors"]
    server.ask("POST", f"/{_INDEX}/_forcemerge?max_num_segments=5")
    server.ask("POST", f"/{_INDEX}/_refresh")
    for page in range(40):  # a server that has just started is still slow at what it has never done
        server.ask("POST", f"/{_INDEX}/_search", {"size": 1000, "sort": [{"duration_ms": "asc"}], "from": page})


def _document(drawn: random.Random, words: list[str], number: int) -> dict[str, Any]:
    """As a service's log has them."""
    return {
        "@timestamp": f"2026-11-{number % 28 + 1:02}T12:{number // 60 % 60:02}:{number % 60:02}.{number % 1000:03}Z",
        "level": drawn.choice(("info", "info", "info", "warning", "error")),
        "service": drawn.choice(words[:12]),
        "host": f"node-{drawn.randrange(40)}.example.net",
        "trace": f"{drawn.getrandbits(128):032x}",
        "client": f"10.{drawn.randrange(256)}.{drawn.randrange(256)}.{drawn.randrange(256)}",
        "status": drawn.choice((200, 200, 200, 304, 404, 500)),
        "duration_ms": drawn.randrange(10**6) / 1000,
        "bytes": drawn.randrange(10**6),
        "path": "/" + "/".join(drawn.choices(words[:200], k=4)),
        "message": " ".join(drawn.choices(words, k=25)),
    }
