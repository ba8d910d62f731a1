"""What a backup of an index has in it, and what makes it fail."""

from __future__ import annotations

import asyncio
import json
import os

import msgspec
import pytest

from agents.drivers import http_engine
from agents.drivers.base import PlannedArtifact
from agents.drivers.elasticsearch import page_size
from agents.drivers.elasticsearch.driver import ElasticsearchDriver
from agents.drivers.elasticsearch.reading import Reading
from contracts.errors import RunFailed
from contracts.services import ElasticsearchOptions
from tests.agents.drivers.elasticsearch.archives import Members, data_lines, unpack
from tests.agents.drivers.elasticsearch.engine import LARGE, ODD, SearchEngine
from tests.agents.drivers.elasticsearch.gate import answer, busy, change, cut
from tests.agents.drivers.playing import Backup, back_up, finish_dump, read_all, restore
from tests.servers.waiting import eventually

PIT = r"^/_search\?"


async def planned(driver: ElasticsearchDriver, name: str) -> PlannedArtifact:
    plan = await driver.plan_backup()
    return next(each for each in plan.artifacts if each.name == name)


async def dump(driver: ElasticsearchDriver, name: str) -> tuple[Members, list[str]]:
    async with driver.dump(await planned(driver, name)) as source:
        data = await asyncio.to_thread(read_all, source.fd)
        warnings = await finish_dump(source, data)
    return unpack(data), warnings


async def read(driver: ElasticsearchDriver, artifact: PlannedArtifact) -> bytes:
    async with driver.dump(artifact) as source:
        data = await asyncio.to_thread(read_all, source.fd)
        await finish_dump(source, data)
        return data


async def fails(driver: ElasticsearchDriver, name: str = "orders") -> RunFailed:
    artifact = await planned(driver, name)
    with pytest.raises(RunFailed) as caught:
        await read(driver, artifact)
    return caught.value


def of(backup: Backup, name: str) -> Members:
    return unpack(next(data for record, data in backup.artifacts if record.name == name))


async def test_an_artifact_is_a_plain_archive_of_the_definition_the_documents_and_their_number(
    elasticsearch: SearchEngine,
) -> None:
    members, warnings = await dump(elasticsearch.driver(), "orders")
    assert warnings == []
    names = list(members)
    assert names[0] == "index.json"
    assert names[-1] == "count.json"
    assert names[1:-1] == [f"data-{number:06}.ndjson" for number in range(1, len(names) - 1)]
    definition = json.loads(json.loads(members["index.json"]))
    assert definition["orders"].keys() == {"aliases", "mappings", "settings"}
    lines = data_lines(members)
    assert json.loads(members["count.json"]) == {"documents": len(lines)}
    assert {json.loads(line)["_id"] for line in lines} == {key[0] for key in elasticsearch.index("orders")["documents"]}


async def test_numbers_come_back_digit_by_digit(elasticsearch: SearchEngine) -> None:
    members, _ = await dump(elasticsearch.driver(), "orders")
    (line,) = [line for line in data_lines(members) if b'"_id":"17"' in line]
    assert b"9007199254741010" in line
    assert b'"price": 17.10' in line
    assert b"1E-8" in line


async def test_a_document_that_was_sent_in_several_lines_is_one_line(elasticsearch: SearchEngine) -> None:
    pretty = b'{\n  "n": "p",\r\n  "text": "a\\nb"\n}'
    elasticsearch.node.send("PUT", "/empty/_doc/p?refresh=true", pretty)
    members, _ = await dump(elasticsearch.driver(), "empty")
    (line,) = data_lines(members)
    assert json.loads(line)["_source"] == {"n": "p", "text": "a\nb"}


async def test_documents_that_nobody_has_refreshed_are_in_the_backup(elasticsearch: SearchEngine) -> None:
    elasticsearch.node.ask("PUT", "/empty/_doc/late", {"n": "1"})  # its refresh_interval is -1
    driver = elasticsearch.driver()
    plan = await driver.plan_backup()
    assert plan.inventory["counts"]["empty"] == 1
    members, _ = await dump(driver, "empty")
    assert len(data_lines(members)) == 1


async def test_without_the_right_to_refresh_the_backup_says_what_may_be_missing(elasticsearch: SearchEngine) -> None:
    elasticsearch.gate.users["backup"] = elasticsearch.gate.users["backup"].without("index:maintenance")
    _, warnings = await dump(elasticsearch.driver(), "empty")
    assert len(warnings) == 1
    assert "refresh_interval is -1" in warnings[0]
    assert "maintenance" in warnings[0]


@pytest.mark.parametrize("slices", [1, 2, 5])
async def test_slices_share_the_documents_among_them(elasticsearch: SearchEngine, slices: int) -> None:
    driver = elasticsearch.driver(ElasticsearchOptions(slices=slices))
    for name in ("orders", ODD):
        members, _ = await dump(driver, name)
        found = sorted(json.loads(line)["_id"] for line in data_lines(members))
        assert found == sorted(key[0] for key in elasticsearch.index(name)["documents"])


async def test_a_scroll_reads_the_same_as_a_point_in_time(elasticsearch: SearchEngine) -> None:
    driver = elasticsearch.driver()
    by_pit = sorted(_without_place(line) for line in data_lines((await dump(driver, "orders"))[0]))
    driver.reading = Reading(by_pit=False)
    by_scroll = sorted(_without_place(line) for line in data_lines((await dump(driver, "orders"))[0]))
    assert by_scroll == by_pit
    assert elasticsearch.gate.count("POST", r"scroll=") == 2
    assert elasticsearch.open_contexts() == 0


async def test_a_scroll_has_no_more_slices_than_the_index_has_shards(elasticsearch: SearchEngine) -> None:
    driver = elasticsearch.driver(ElasticsearchOptions(slices=5))
    driver.reading = Reading(by_pit=False)
    await dump(driver, "orders")
    assert elasticsearch.gate.count("POST", r"^/orders/_search.*scroll=") == 2


async def test_a_point_in_time_of_opensearch_is_read_and_given_back(opensearch: SearchEngine) -> None:
    """In the order of a field, since this version has no `_shard_doc` yet; the requests are the same."""
    driver = opensearch.driver()
    driver.reading = Reading(by_pit=True, order="n")
    members, _ = await dump(driver, "orders")
    assert len(data_lines(members)) == len(opensearch.index("orders")["documents"])
    assert opensearch.gate.count("POST", r"point_in_time") == 1
    assert opensearch.gate.count("DELETE", r"point_in_time") == 1
    assert opensearch.open_contexts() == 0


def _without_place(line: bytes) -> str:
    return json.dumps(
        {key: value for key, value in json.loads(line).items() if key not in ("sort", "_score")}, sort_keys=True
    )


async def test_a_slow_store_holds_up_the_reader_and_does_not_lose_its_place(elasticsearch: SearchEngine) -> None:
    """Nobody reads for much longer than the point in time lives without a sign; what waits in memory is a page a slice."""
    elasticsearch.fill_large()
    driver = elasticsearch.driver(ElasticsearchOptions(slices=2))
    driver.reading = Reading(by_pit=True, keep_alive_s=1)
    gate = elasticsearch.gate
    artifact = await planned(driver, LARGE)
    gate.pages = 0
    async with driver.dump(artifact) as source:
        data = await asyncio.to_thread(os.read, source.fd, 65536)
        signs = gate.count("POST", PIT)
        # A sign every quarter of a second; the node looks for what is over its time five times a second.
        await eventually(lambda: gate.count("POST", PIT) >= signs + 12, timeout_s=30)
        assert gate.pages <= 4
        data += await asyncio.to_thread(read_all, source.fd)
        await finish_dump(source, data)
    assert gate.pages > 4
    assert len(data_lines(unpack(data))) == len(elasticsearch.index(LARGE)["documents"])


async def test_a_shard_that_fails_fails_the_dump(elasticsearch: SearchEngine) -> None:
    def failed(body: bytes) -> bytes:
        found = json.loads(body)
        found["_shards"] |= {"failed": 1, "failures": [{"shard": 1, "reason": {"type": "io", "reason": "disk is gone"}}]}
        return json.dumps(found).encode()

    elasticsearch.gate.on("POST", PIT, change(failed))
    error = await fails(elasticsearch.driver())
    assert error.code == "dump.incomplete"
    assert "1 of 2 shards" in error.message
    assert "disk is gone" in str(error.detail)
    assert elasticsearch.open_contexts() == 0


async def test_a_search_that_timed_out_fails_the_dump(elasticsearch: SearchEngine) -> None:
    elasticsearch.gate.on("POST", PIT, change(lambda body: body.replace(b'"timed_out":false', b'"timed_out":true')))
    error = await fails(elasticsearch.driver())
    assert error.code == "dump.incomplete"
    assert "timed out" in error.message


@pytest.mark.parametrize("by_pit", [True, False])
async def test_a_page_that_is_short_fails_the_dump(elasticsearch: SearchEngine, by_pit: bool) -> None:
    def shortened(body: bytes) -> bytes:
        found = json.loads(body)
        del found["hits"]["hits"][-2:-1]
        return json.dumps(found).encode()

    driver = elasticsearch.driver()
    driver.reading = Reading(by_pit=by_pit)
    artifact = await planned(driver, "orders")
    elasticsearch.gate.on("POST", r"_search", change(shortened))
    with pytest.raises(RunFailed) as caught:
        await read(driver, artifact)
    assert caught.value.code == "dump.incomplete"
    assert "400 documents" in caught.value.message
    assert elasticsearch.open_contexts() == 0


@pytest.mark.parametrize("by_pit", [True, False])
async def test_a_page_that_is_too_large_to_hold_is_asked_for_in_smaller_ones(
    elasticsearch: SearchEngine, monkeypatch: pytest.MonkeyPatch, by_pit: bool
) -> None:
    """As happens where large documents come after small ones."""
    elasticsearch.fill_large()
    monkeypatch.setattr(http_engine, "_LARGEST_ANSWER", 512 * 1024)
    monkeypatch.setattr(page_size, "TARGET_BYTES", 256 * 1024)
    driver = elasticsearch.driver()
    driver.reading = Reading(by_pit=by_pit)
    artifact = msgspec.structs.replace(await planned(driver, LARGE), estimate_bytes=1)  # small, it was thought
    members = unpack(await read(driver, artifact))
    assert len(data_lines(members)) == len(elasticsearch.index(LARGE)["documents"])


async def test_a_document_that_is_too_large_to_hold_fails_the_dump_and_is_told(
    elasticsearch: SearchEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    elasticsearch.fill_large()
    monkeypatch.setattr(http_engine, "_LARGEST_ANSWER", 16 * 1024)
    error = await fails(elasticsearch.driver(), LARGE)
    assert error.code == "dump.failed"
    assert "'large' could not be read" in error.message
    assert "too large to hold" in error.message


async def test_an_index_that_is_deleted_meanwhile_fails_its_dump(elasticsearch: SearchEngine) -> None:
    driver = elasticsearch.driver()
    artifact = await planned(driver, "orders")
    elasticsearch.node.ask("DELETE", "/orders")
    with pytest.raises(RunFailed) as caught:
        await read(driver, artifact)
    assert caught.value.code == "dump.failed"
    assert "deleted while it was backed up" in caught.value.message


async def test_a_point_in_time_that_the_cluster_lost_fails_the_dump(elasticsearch: SearchEngine) -> None:
    lost = {"error": {"type": "search_phase_execution_exception", "reason": "all shards failed"}, "status": 404}
    elasticsearch.gate.on("POST", PIT, answer(404, lost))
    error = await fails(elasticsearch.driver())
    assert error.code == "dump.failed"
    assert "lost its place" in error.message


async def test_a_cluster_that_is_too_busy_to_search_fails_the_dump_with_its_words(elasticsearch: SearchEngine) -> None:
    elasticsearch.gate.on("POST", PIT, busy())
    error = await fails(elasticsearch.driver())
    assert error.code == "dump.failed"
    assert "the queue is full" in error.message


async def test_a_connection_that_breaks_fails_the_dump_and_frees_the_scroll(elasticsearch: SearchEngine) -> None:
    driver = elasticsearch.driver()
    driver.reading = Reading(by_pit=False)
    elasticsearch.gate.on("POST", r"^/_search/scroll", cut)
    error = await fails(driver)
    assert error.code == "engine.unreachable"
    assert elasticsearch.open_contexts() == 0


async def test_an_index_with_documents_of_its_own_name_for_the_cluster_comes_back(elasticsearch: SearchEngine) -> None:
    elasticsearch.node.ask("PUT", "/cluster", {"settings": {"number_of_replicas": 0}})
    elasticsearch.bulk("cluster", [({"_id": "1"}, '{"n": 1}')])
    before = await elasticsearch.content()
    backup = await back_up(elasticsearch.driver())
    assert {record.name: record.kind for record in backup.records}["cluster"] == "index"
    assert {record.name: record.kind for record in backup.records}["(cluster)"] == "cluster"
    elasticsearch.empty()
    await restore(elasticsearch.restoring_driver(), backup, elasticsearch.target())
    assert await elasticsearch.content() == before


async def test_an_api_key_does_as_well_as_a_password(elasticsearch: SearchEngine) -> None:
    backup = await back_up(elasticsearch.driver_with_api_key())
    assert "count.json" in of(backup, "orders")
