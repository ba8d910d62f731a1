"""Elasticsearch: one index of many small documents, beside `elasticdump` as it comes, and with larger batches."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from agents.drivers.elasticsearch.connection import ElasticsearchConnection
from agents.drivers.elasticsearch.driver import ElasticsearchDriver
from contracts.services import ElasticsearchOptions
from scripts.benches.cost import Cost
from scripts.benches.engine_case import Case, Prepare, target
from scripts.benches.peer_side import Pipeline
from tests.agents.drivers.elasticsearch.elasticdump_program import elasticdump, run_elasticdump
from tests.agents.drivers.playing import back_up, restore
from tests.servers.elasticsearch import ELASTICSEARCH, SearchNode, jars

_INDEX: Final = "bench"
_MIB: Final = 1024 * 1024
_DOCUMENT_BYTES: Final = 520
_BATCH: Final = 5000
_PEERS: Final = (("elasticdump", ()), ("elasticdump --limit=1000", ("--limit=1000",)))
"""As everybody has it who does not look into its options (100 documents a request), and as those who do."""
_WARM: Final = "warm"
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
    'program="$1" definition="$2" url="$3"; shift 3; '
    '"$program" --quiet --type=index --input="$definition" --output="$url" && '
    'exec "$program" --quiet --type=data "$@" --input="$" --output="$url"'
)


def cases(size_mib: int) -> Iterator[tuple[str, Prepare]]:
    count = size_mib * _MIB // _DOCUMENT_BYTES
    for peer, options in _PEERS:
        yield f"elasticsearch, {size_mib} MiB in {count} documents, beside {peer}", partial(_index, count, peer, options)


@asynccontextmanager
async def _index(count: int, peer: str, peer_options: tuple[str, ...], directory: Path) -> AsyncIterator[Case]:
    server = SearchNode(directory, ELASTICSEARCH, await asyncio.to_thread(jars, ELASTICSEARCH), short_lived=False)
    program = str(await asyncio.to_thread(elasticdump))
    url = f"{server.url}/{_INDEX}"
    definition = directory / "index.json"

    async def back_up(pipeline: Pipeline) -> Cost:
        argv = [program, "--quiet", "--type=data", *peer_options, f"--input={url}", "--output=$"]
        return await asyncio.to_thread(pipeline.upload, argv, {}, keep=True)

    async def restore(pipeline: Pipeline, identity_file: str) -> Cost:
        argv = ["sh", "-c", _RESTORE, "sh", program, str(definition), url, *peer_options]
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
        await _warm(server, program, directory, peer_options)
        yield Case(
            connection={"kind": "elasticsearch", "url": server.url},
            options=ElasticsearchOptions(include=[_INDEX], cluster_metadata=False),
            target=target(),
            peer_name=f"{peer} | zstd | age | rclone",
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


async def _warm(server: SearchNode, program: str, directory: Path, peer_options: tuple[str, ...]) -> None:
    """A server that has just started is slow at what it has never done: so it does it once for either side, unmeasured."""
    options = ElasticsearchOptions(include=[_INDEX], cluster_metadata=False)
    connection = ElasticsearchConnection(url=server.url)
    driver = ElasticsearchDriver(connection, options, runtime_dir=directory, work_dir=directory)
    await restore(driver, await back_up(driver), target(rename={_INDEX: _WARM}))
    server.ask("DELETE", f"/{_WARM}")
    dumped = directory / "warm.json"
    data = ["--quiet", "--type=data", *peer_options]
    await asyncio.to_thread(run_elasticdump, Path(program), *data, f"--input={server.url}/{_INDEX}", f"--output={dumped}")
    server.ask("PUT", f"/{_WARM}", _MAPPING)
    await asyncio.to_thread(run_elasticdump, Path(program), *data, f"--input={dumped}", f"--output={server.url}/{_WARM}")
    server.ask("DELETE", f"/{_WARM}")
    dumped.unlink()


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
