"""Restores that are cut off at a bad moment, with applications beside them that go on, and the attempts after them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from contracts.errors import Conflict, RunFailed
from contracts.records import ArtifactRecord
from tests.agents.drivers.elasticsearch.archives import index_record, pack
from tests.agents.drivers.elasticsearch.engine import SearchEngine
from tests.agents.drivers.elasticsearch.gate import answer, cut
from tests.agents.drivers.playing import RUN_ID, Backup, back_up, feed, restore

KEPT = "strongroom-replaced-"
SCRATCH = "strongroom-restoring-"
REFUSED = answer(400, {"error": {"type": "io", "reason": "disk is gone"}})


async def put_in_place(engine: SearchEngine, backup: Backup) -> None:
    await restore(engine.restoring_driver(), backup, engine.target(replace=True), only=["orders"])


def orders(backup: Backup) -> tuple[ArtifactRecord, bytes]:
    return next((record, data) for record, data in backup.artifacts if record.name == "orders")


def ours(engine: SearchEngine, prefix: str) -> list[str]:
    return [name for name in engine.indices() if name.startswith(prefix)]


async def cut_off_without_the_old_one(engine: SearchEngine, backup: Backup) -> None:
    """As an agent leaves it that is killed between taking the old index away and putting the new one in its place."""
    engine.gate.on("POST", r"_clone/orders", cut)
    engine.gate.on("DELETE", r"^/strongroom-", cut)
    with pytest.raises(RunFailed):
        await put_in_place(engine, backup)
    engine.gate.reset()
    assert "orders" not in engine.indices()
    assert len(ours(engine, KEPT)) == 1


async def test_an_attempt_that_fails_leaves_the_former_index_that_an_earlier_one_has_kept(
    elasticsearch: SearchEngine,
) -> None:
    backup = await back_up(elasticsearch.driver())
    await elasticsearch.change()
    changed = elasticsearch.index("orders")["documents"]
    await cut_off_without_the_old_one(elasticsearch, backup)

    record, data = orders(backup)
    async with elasticsearch.restoring_driver().restore(record, elasticsearch.target(replace=True), RUN_ID) as sink:
        await feed(sink, data[: len(data) // 2])
    elasticsearch.gate.on("POST", r"_clone/orders", REFUSED)
    with pytest.raises(RunFailed):
        await put_in_place(elasticsearch, backup)
    elasticsearch.gate.reset()

    (kept,) = ours(elasticsearch, KEPT)
    assert ours(elasticsearch, SCRATCH) == []
    assert elasticsearch.index(kept)["documents"] == changed


async def test_the_former_index_can_be_had_back_as_it_is_said(elasticsearch: SearchEngine) -> None:
    backup = await back_up(elasticsearch.driver())
    before = elasticsearch.index("orders")["documents"]
    await cut_off_without_the_old_one(elasticsearch, backup)
    assert "perhaps all that is left of that index" in str((await elasticsearch.driver().plan_backup()).warnings)
    with pytest.raises(Conflict) as caught:
        await elasticsearch.restoring_driver().check_restore([orders(backup)[0]], elasticsearch.target())
    method, path, body = caught.value.message.partition("have it back: ")[2].split(" ", 2)
    elasticsearch.node.ask(method, path, json.loads(body))
    elasticsearch.bulk("orders", [({"_id": "new"}, '{"n": 1}')])
    after = elasticsearch.index("orders")["documents"]
    assert {key: after[key] for key in before} == before


async def test_the_next_attempt_of_a_run_replaces_what_the_first_had_put_in_place(elasticsearch: SearchEngine) -> None:
    """The first was killed when all was done but the clean-up."""
    before = elasticsearch.index("orders")
    backup = await back_up(elasticsearch.driver())
    elasticsearch.gate.on("DELETE", r"^/strongroom-", cut)
    await put_in_place(elasticsearch, backup)
    elasticsearch.gate.reset()
    assert len(ours(elasticsearch, KEPT)) == 1
    await put_in_place(elasticsearch, backup)
    assert elasticsearch.index("orders") == before
    assert await elasticsearch.leftovers() == []


async def test_an_application_that_writes_while_the_old_index_is_put_back_does_not_keep_it_away(
    elasticsearch: SearchEngine,
) -> None:
    backup = await back_up(elasticsearch.driver())
    await elasticsearch.change()
    before = elasticsearch.index("orders")

    async def written_before(_request: Any, _body: bytes, forward: Any) -> Any:
        elasticsearch.bulk("orders", [({"_id": "x"}, "{}")])
        return await forward()

    elasticsearch.gate.on("POST", r"strongroom-restoring.*_clone/orders", REFUSED)
    elasticsearch.gate.on("POST", r"strongroom-replaced.*_clone/orders", written_before, times=1)
    with pytest.raises(RunFailed):
        await put_in_place(elasticsearch, backup)
    assert elasticsearch.index("orders") == before
    assert await elasticsearch.leftovers() == []


async def test_a_request_that_is_still_on_its_way_does_not_make_the_index_anew(elasticsearch: SearchEngine) -> None:
    """Clusters make an index for whatever is written to a name that has none."""
    backup = await back_up(elasticsearch.driver())
    reached, go_on, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def late(_request: Any, _body: bytes, forward: Any) -> Any:
        reached.set()
        await go_on.wait()
        answered = await forward()
        done.set()
        return answered

    elasticsearch.gate.on("POST", r"_bulk", late)
    restoring = asyncio.create_task(put_in_place(elasticsearch, backup))
    await reached.wait()
    restoring.cancel()
    await asyncio.wait([restoring], timeout=0.3)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await restoring
    await done.wait()
    assert await elasticsearch.leftovers() == []


async def test_an_index_that_somebody_deleted_while_it_was_loaded_is_not_put_in_place(elasticsearch: SearchEngine) -> None:
    """As another restore to the same target does; the next request would make it anew, without mapping and settings."""
    before = elasticsearch.index("orders")
    backup = await back_up(elasticsearch.driver())

    async def deleted_before(_request: Any, _body: bytes, forward: Any) -> Any:
        for name in ours(elasticsearch, SCRATCH):
            elasticsearch.node.ask("DELETE", f"/{name}")
        return await forward()

    elasticsearch.gate.on("POST", r"_bulk", deleted_before, times=1)
    with pytest.raises(RunFailed) as caught:
        await put_in_place(elasticsearch, backup)
    assert "is another restore of it under way?" in caught.value.message
    assert elasticsearch.index("orders") == before
    assert await elasticsearch.leftovers() == []


async def test_applications_do_not_find_what_is_unfinished(elasticsearch: SearchEngine) -> None:
    backup = await back_up(elasticsearch.driver())
    found: list[list[str]] = []

    async def looked_at(_request: Any, _body: bytes, forward: Any) -> Any:
        answered = await forward()
        body = {"size": 0, "aggs": {"i": {"terms": {"field": "_index", "size": 50}}}}
        buckets = elasticsearch.node.ask("POST", "/_all/_search", body)["aggregations"]["i"]["buckets"]
        found.append([bucket["key"] for bucket in buckets])
        return answered

    elasticsearch.gate.on("POST", r"strongroom-replaced|^/strongroom-restoring-.*(_refresh|_clone)", looked_at)
    await put_in_place(elasticsearch, backup)
    assert len(found) >= 2
    assert [name for names in found for name in names if name.startswith("strongroom-")] == []


async def test_a_read_only_index_is_not_replaced(elasticsearch: SearchEngine) -> None:
    backup = await back_up(elasticsearch.driver())
    elasticsearch.node.ask("PUT", "/orders/_settings", {"index.blocks.read_only": True})
    try:
        with pytest.raises(Conflict) as caught:
            await put_in_place(elasticsearch, backup)
        assert "'orders' is read-only" in caught.value.message
    finally:
        elasticsearch.node.ask("PUT", "/orders/_settings", {"index.blocks.read_only": None})


async def test_lifecycle_settings_that_this_cluster_does_not_know_are_left_out(elasticsearch: SearchEngine) -> None:
    settings = {"index": {"number_of_replicas": "0", "lifecycle": {"name": "thirty", "rollover_alias": "logs"}}}
    described = json.dumps(json.dumps({"made": {"settings": settings}})).encode() + b"\n"
    data = pack({"index.json": described, "data-000001.ndjson": b'{"_id":"1","_source":{}}\n'})
    async with elasticsearch.restoring_driver().restore(index_record("made", data), elasticsearch.target(), RUN_ID) as sink:
        await feed(sink, data)
        outcome = await sink.finish()
    assert "does not know the setting index.lifecycle.name" in str(outcome["warnings"])
    assert len(elasticsearch.index("made")["documents"]) == 1
