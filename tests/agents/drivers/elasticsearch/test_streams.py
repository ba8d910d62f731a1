"""Data streams, on the OpenSearch that has them without a licence."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from contracts.errors import Conflict, RunFailed
from contracts.services import ElasticsearchOptions
from tests.agents.drivers.elasticsearch.engine import SearchEngine
from tests.agents.drivers.elasticsearch.gate import answer
from tests.agents.drivers.playing import back_up, restore

LOGS = "logs-größe"
TEMPLATE = {
    "index_patterns": ["logs-*"],
    "data_stream": {},
    "template": {
        "settings": {"number_of_shards": 1, "number_of_replicas": 0, "default_pipeline": "stamp", "final_pipeline": "stamp"},
        "mappings": {"properties": {"n": {"type": "long"}}},
    },
}


def write(engine: SearchEngine, first: int, count: int) -> None:
    documents = [
        ({"_id": f"d{number}"}, json.dumps({"@timestamp": f"2026-11-22T00:00:{number:02}Z", "n": number}))
        for number in range(first, first + count)
    ]
    engine.bulk(LOGS, documents, "create")


@pytest.fixture
def streaming(opensearch: SearchEngine) -> SearchEngine:
    """A stream of two generations beside the rest, whose pipeline changes what it is sent."""
    ask = opensearch.node.ask
    ask("PUT", "/_ingest/pipeline/stamp", {"processors": [{"set": {"field": "stamped", "value": "{{_ingest.timestamp}}"}}]})
    ask("PUT", "/_index_template/logs", TEMPLATE)
    write(opensearch, 0, 20)
    ask("POST", f"/{quoted(LOGS)}/_rollover")
    write(opensearch, 20, 5)
    return opensearch


def quoted(name: str) -> str:
    return name.replace("ö", "%C3%B6").replace("ß", "%C3%9F")


def generations(engine: SearchEngine) -> list[str]:
    streams = engine.node.ask("GET", "/_data_stream")["data_streams"]
    return [index["index_name"] for stream in streams if stream["name"] == LOGS for index in stream["indices"]]


def documents(engine: SearchEngine) -> dict[str, Any]:
    engine.node.ask("POST", f"/{quoted(LOGS)}/_refresh")
    hits = engine.node.ask("POST", f"/{quoted(LOGS)}/_search", {"size": 1000})["hits"]["hits"]
    assert len({hit["_id"] for hit in hits}) == len(hits)
    return {hit["_id"]: hit["_source"] for hit in hits}


def options() -> ElasticsearchOptions:
    return ElasticsearchOptions(include=["logs-*"])


async def test_a_data_stream_comes_back_with_all_its_generations(streaming: SearchEngine) -> None:
    before, metadata = documents(streaming), streaming.metadata()
    backup = await back_up(streaming.driver(options()))
    assert [record.name for record in backup.records] == ["cluster", *generations(streaming)]
    assert backup.plan.summary["data_streams"] == 1
    streaming.empty()
    outcomes = await restore(streaming.restoring_driver(), backup, streaming.target())
    assert documents(streaming) == before
    assert streaming.metadata() == metadata
    assert [outcome["documents"] for outcome in outcomes[1:]] == [20, 5]
    assert len(generations(streaming)) == 2
    newest = streaming.index(generations(streaming)[-1])
    assert newest["settings"]["default_pipeline"] == newest["settings"]["final_pipeline"] == "stamp"
    assert "refresh_interval" not in newest["settings"]
    assert await streaming.leftovers() == []


async def test_a_data_stream_is_replaced_when_that_was_said(streaming: SearchEngine) -> None:
    before = documents(streaming)
    backup = await back_up(streaming.driver(options()))
    write(streaming, 30, 4)
    streaming.node.ask("POST", f"/{quoted(LOGS)}/_rollover")
    old = generations(streaming)
    await restore(streaming.restoring_driver(), backup, streaming.target(replace=True))
    assert documents(streaming) == before
    assert not set(old) & set(generations(streaming))
    assert await streaming.leftovers() == []


async def test_a_data_stream_that_is_there_is_left_alone(streaming: SearchEngine) -> None:
    backup = await back_up(streaming.driver(options()))
    before = documents(streaming)
    with pytest.raises(Conflict) as caught:
        await restore(streaming.restoring_driver(), backup, streaming.target())
    assert "there is a data stream 'logs-größe' with 25 documents" in caught.value.message
    assert documents(streaming) == before


async def test_a_generation_is_restored_as_an_index_under_a_new_name(streaming: SearchEngine) -> None:
    backup = await back_up(streaming.driver(options()))
    first = generations(streaming)[0]
    target = msgspec.structs.replace(streaming.target(), rename={first: "looked-at"})
    await restore(streaming.restoring_driver(), backup, target, only=[first])
    assert len(streaming.index("looked-at")["documents"]) == 20


@pytest.mark.parametrize(
    ("method", "path"), [("POST", r"_rollover"), ("POST", r"^/logs-.*_bulk"), ("GET", r"^/\.ds-.*_count")]
)
async def test_whatever_fails_the_stream_has_what_it_had(streaming: SearchEngine, method: str, path: str) -> None:
    before = documents(streaming)
    backup = await back_up(streaming.driver(options()))
    streaming.gate.on(method, path, answer(500, {"error": {"type": "io", "reason": "disk is gone"}}), times=1)
    with pytest.raises(RunFailed):
        await restore(streaming.restoring_driver(), backup, streaming.target(replace=True), only=generations(streaming)[:1])
    assert documents(streaming) == before
    assert await streaming.leftovers() == []


def written_meanwhile(engine: SearchEngine) -> None:
    """An application writes while documents are copied into the stream."""

    async def beside(_request: Any, _body: bytes, forward: Any) -> Any:
        write(engine, 40, 3)
        return await forward()

    engine.gate.on("POST", r"^/logs-.*_bulk", beside, times=1)


async def test_what_applications_write_meanwhile_stays_beside_what_is_restored(streaming: SearchEngine) -> None:
    before = documents(streaming)
    backup = await back_up(streaming.driver(options()))
    written_meanwhile(streaming)
    outcomes = await restore(streaming.restoring_driver(), backup, streaming.target(replace=True))
    after = documents(streaming)
    assert {key: after[key] for key in before} == before
    assert after.keys() - before.keys() == {"d40", "d41", "d42"}
    assert "stamped" in after["d40"]
    assert "was written to meanwhile: 3 documents more" in str(outcomes[1]["warnings"])
    assert await streaming.leftovers() == []


@pytest.mark.parametrize("is_there", [True, False])
async def test_what_applications_write_meanwhile_stays_when_the_restore_fails(
    streaming: SearchEngine, is_there: bool
) -> None:
    first = generations(streaming)[0]
    backup = await back_up(streaming.driver(options()))
    if not is_there:
        streaming.node.ask("DELETE", f"/_data_stream/{quoted(LOGS)}")
    before = documents(streaming) if is_there else {}
    written_meanwhile(streaming)
    refused = answer(500, {"error": {"type": "io", "reason": "disk is gone"}})
    streaming.gate.on("POST", r"^/\.ds-.*_refresh", refused, times=1)
    with pytest.raises(RunFailed):
        await restore(streaming.restoring_driver(), backup, streaming.target(replace=True), only=[first])
    after = documents(streaming)
    assert after.keys() - before.keys() == {"d40", "d41", "d42"}
    assert before.keys() <= after.keys()
    assert await streaming.leftovers() == []


async def test_a_stream_that_was_not_there_is_gone_again_after_a_failure(streaming: SearchEngine) -> None:
    first = generations(streaming)[0]
    backup = await back_up(streaming.driver(options()))
    streaming.node.ask("DELETE", f"/_data_stream/{quoted(LOGS)}")
    streaming.gate.on("GET", r"^/\.ds-.*_count", answer(500, {"error": "no"}), times=1)
    with pytest.raises(RunFailed):
        await restore(streaming.restoring_driver(), backup, streaming.target(), only=[first])
    assert generations(streaming) == []
    assert await streaming.leftovers() == []


async def test_without_its_template_a_stream_cannot_be_restored(
    streaming: SearchEngine,
) -> None:
    first = generations(streaming)[0]
    backup = await back_up(streaming.driver(options()))
    streaming.empty()
    with pytest.raises(RunFailed) as caught:
        await restore(streaming.restoring_driver(), backup, streaming.target(), only=[first])
    assert caught.value.code == "restore.failed"
    assert "Restore the artifact `cluster`" in caught.value.message
    assert await streaming.leftovers() == []
