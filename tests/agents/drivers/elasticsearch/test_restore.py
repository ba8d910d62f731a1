"""What a restore of an index does, and what it leaves when it fails."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import pytest

from contracts.errors import Conflict, Corrupt, RunFailed
from contracts.records import RestoreTarget
from tests.agents.drivers.elasticsearch.archives import index_record, pack
from tests.agents.drivers.elasticsearch.engine import SearchEngine
from tests.agents.drivers.elasticsearch.gate import answer, busy, cut
from tests.agents.drivers.playing import RUN_ID, Backup, back_up, feed, restore

BULK = r"/_bulk"


def named(target: RestoreTarget, **rename: str) -> RestoreTarget:
    return msgspec.structs.replace(target, rename=rename)


async def put_in_place(engine: SearchEngine, backup: Backup, *, replace: bool = False, name: str = "orders") -> Any:
    (outcome,) = await restore(engine.restoring_driver(), backup, engine.target(replace=replace), only=[name])
    return outcome


async def made(engine: SearchEngine, lines: list[bytes], definition: Any = None, **more: bytes) -> Any:
    """Restores an artifact made by hand as `made`."""
    described = json.dumps(json.dumps({"made": definition or {}})).encode() + b"\n"
    data = pack({"index.json": described, "data-000001.ndjson": b"".join(lines), **more})
    driver = engine.restoring_driver()
    async with driver.restore(index_record("made", data), engine.target(), RUN_ID) as sink:
        await feed(sink, data)
        return await sink.finish()


def line(number: str, source: bytes = b"{}") -> bytes:
    return b'{"_index":"x","_id":"' + number.encode() + b'","_source":' + source + b"}\n"


async def test_an_index_is_restored_beside_the_original_under_another_name(elasticsearch: SearchEngine) -> None:
    before = elasticsearch.index("orders")
    backup = await back_up(elasticsearch.driver())
    target = named(elasticsearch.target(), orders="orders-copy")
    (outcome,) = await restore(elasticsearch.restoring_driver(), backup, target, only=["orders"])
    assert outcome["index"] == "orders-copy"
    assert elasticsearch.index("orders") == before
    copy = elasticsearch.index("orders-copy")
    assert copy["documents"] == before["documents"]
    assert copy["settings"] == before["settings"]
    # Applications that read the alias must not see every document twice.
    assert copy["aliases"] == {}
    assert "without the aliases 'shop', 'shop-de'" in str(outcome["warnings"])


async def test_an_alias_in_the_way_is_not_replaced(elasticsearch: SearchEngine) -> None:
    backup = await back_up(elasticsearch.driver())
    target = named(elasticsearch.target(replace=True), empty="shop")
    with pytest.raises(Conflict) as caught:
        await restore(elasticsearch.restoring_driver(), backup, target, only=["empty"])
    assert "'shop' is an alias" in caught.value.message
    assert "'orders'" in caught.value.message


async def test_an_alias_that_would_be_called_as_an_index_is_left_out(elasticsearch: SearchEngine) -> None:
    backup = await back_up(elasticsearch.driver())
    elasticsearch.node.ask("DELETE", "/orders")
    elasticsearch.node.ask("PUT", "/shop")
    outcome = await put_in_place(elasticsearch, backup)
    assert "the alias 'shop' was left out" in str(outcome["warnings"])
    assert list(elasticsearch.index("orders")["aliases"]) == ["shop-de"]


async def test_an_alias_goes_on_writing_to_where_it_writes_now(elasticsearch: SearchEngine) -> None:
    backup = await back_up(elasticsearch.driver())
    elasticsearch.node.ask("DELETE", "/orders")
    elasticsearch.node.ask("PUT", "/orders-2", {"aliases": {"shop": {"is_write_index": True}}})
    outcome = await put_in_place(elasticsearch, backup)
    assert "'shop' goes on writing to 'orders-2'" in str(outcome["warnings"])
    assert elasticsearch.index("orders-2")["aliases"] == {"shop": {"is_write_index": True}}
    assert elasticsearch.index("orders")["aliases"]["shop"] == {}


async def test_an_index_that_may_not_be_written_to_comes_back_as_such(elasticsearch: SearchEngine) -> None:
    elasticsearch.node.ask("PUT", "/orders/_settings", {"index.blocks.write": True, "index.priority": 7})
    before = elasticsearch.index("orders")
    backup = await back_up(elasticsearch.driver())
    await put_in_place(elasticsearch, backup, replace=True)
    assert elasticsearch.index("orders") == before


async def test_templates_for_all_indices_do_not_change_what_is_restored(elasticsearch: SearchEngine) -> None:
    before = elasticsearch.index("orders")
    backup = await back_up(elasticsearch.driver())
    elasticsearch.node.ask("DELETE", "/orders")
    body = {"index_patterns": ["ord*"], "settings": {"index.priority": 9}, "mappings": {"properties": {"x": {"type": "ip"}}}}
    elasticsearch.node.ask("PUT", "/_template/ours", body)
    elasticsearch.node.ask("PUT", "/_template/all", {"index_patterns": ["*"], "order": -1, "aliases": {"everything": {}}})
    await put_in_place(elasticsearch, backup)
    assert elasticsearch.index("orders") == before


async def test_documents_that_the_cluster_is_too_busy_for_are_sent_again(elasticsearch: SearchEngine) -> None:
    before = elasticsearch.index("orders")
    backup = await back_up(elasticsearch.driver())
    elasticsearch.gate.on("POST", BULK, busy(), times=2)
    await put_in_place(elasticsearch, backup, replace=True)
    assert elasticsearch.gate.count("POST", BULK) == 3
    assert elasticsearch.index("orders") == before


async def test_only_the_documents_that_met_a_full_queue_are_sent_again(elasticsearch: SearchEngine) -> None:
    before = elasticsearch.index("orders")
    backup = await back_up(elasticsearch.driver())
    gate = elasticsearch.gate
    sent: list[int] = []

    async def every_second(request: Any, body: bytes, forward: Any) -> Any:
        lines = body.splitlines()
        sent.append(len(lines) // 2)
        if len(sent) > 1:
            return await forward()
        kept = [part for start in range(0, len(lines), 4) for part in lines[start : start + 2]]
        elasticsearch.node.ask("POST", request.path_qs.partition("?")[0], b"\n".join([*kept, b""]))
        full = {"type": "es_rejected_execution_exception", "reason": "the queue is full"}
        items = [{"create": {"status": 429, "error": full} if number % 2 else {"status": 201}} for number in range(sent[0])]
        return await answer(200, {"errors": True, "items": items})(request, body, forward)

    gate.on("POST", BULK, every_second)
    await put_in_place(elasticsearch, backup, replace=True)
    assert sent == [400, 200]
    assert elasticsearch.index("orders") == before


async def test_a_document_that_the_cluster_refuses_fails_the_restore(bare: SearchEngine) -> None:
    definition = {"mappings": {"properties": {"n": {"type": "integer"}}}}
    with pytest.raises(RunFailed) as caught:
        await made(bare, [line("1", b'{"n":1}'), line("2", b'{"n":"many"}')], definition)
    assert caught.value.code == "restore.failed"
    assert "refused a document of 'made'" in caught.value.message
    assert "failed to parse field [n]" in caught.value.message
    assert "many" not in f"{caught.value.message} {caught.value.detail}"  # errors are read by more people than documents
    assert '"2"' in str(caught.value.detail)
    assert await bare.leftovers() == []
    assert "made" not in bare.indices()


async def test_two_documents_of_one_id_fail_the_restore(bare: SearchEngine) -> None:
    with pytest.raises(RunFailed) as caught:
        await made(bare, [line("1"), line("1")])
    assert caught.value.code == "restore.failed"
    assert "409" in caught.value.message


@pytest.mark.parametrize(
    ("lines", "more", "words"),
    [
        ([b"no json\n"], {}, "no document"),
        ([b'{"_id":"1"}\n'], {}, "_source"),
        ([line("1")], {"count.json": b'{"documents":2}\n'}, "says that it has 2 documents, and has 1"),
        ([line("1")], {"strange.txt": b""}, "does not belong there"),
    ],
)
async def test_an_artifact_that_makes_no_sense_is_corrupt(
    bare: SearchEngine, lines: list[bytes], more: dict[str, bytes], words: str
) -> None:
    with pytest.raises(Corrupt) as caught:
        await made(bare, lines, **more)
    assert words in caught.value.message
    assert await bare.leftovers() == []


async def test_a_setting_that_this_cluster_does_not_know_is_left_out(bare: SearchEngine) -> None:
    settings = {"index": {"number_of_replicas": "0", "of_another_product": {"x": "1"}}}
    outcome = await made(bare, [line("1")], {"settings": settings})
    assert "does not know the setting index.of_another_product.x" in str(outcome["warnings"])


async def test_an_index_that_cannot_be_made_is_told_with_the_reason(bare: SearchEngine) -> None:
    with pytest.raises(RunFailed) as caught:
        await made(bare, [line("1")], {"mappings": {"properties": {"x": {"type": "of_another_version"}}}})
    assert caught.value.code == "restore.failed"
    assert "of_another_version" in caught.value.message


async def test_an_index_that_was_made_meanwhile_is_left_alone(elasticsearch: SearchEngine) -> None:
    backup = await back_up(elasticsearch.driver())
    elasticsearch.node.ask("DELETE", "/orders")

    async def somebody_was_quicker() -> None:
        elasticsearch.bulk("orders", [({"_id": "theirs"}, "{}")])

    with pytest.raises(Conflict) as caught:
        await restore(
            elasticsearch.restoring_driver(),
            backup,
            elasticsearch.target(),
            only=["orders"],
            confirm=somebody_was_quicker,
        )
    assert caught.value.code == "restore.target_not_empty"
    assert list(elasticsearch.index("orders")["documents"]) == [("theirs", None)]
    assert await elasticsearch.leftovers() == []


async def test_an_index_that_appears_while_the_old_one_goes_is_lost_too(elasticsearch: SearchEngine) -> None:
    """An application that writes at that moment has the cluster make an index; whoever said replace gets the backup's."""
    before = elasticsearch.index("orders")
    backup = await back_up(elasticsearch.driver())

    async def written_to(_request: Any, _body: bytes, forward: Any) -> Any:
        elasticsearch.bulk("orders", [({"_id": "in between"}, "{}")])
        return await forward()

    elasticsearch.gate.on("POST", r"_clone/orders\?", written_to, times=1)
    await put_in_place(elasticsearch, backup, replace=True)
    assert elasticsearch.index("orders") == before


PLACING = [
    ("PUT", r"^/orders/_settings", 1),
    ("POST", r"_clone/strongroom-replaced", 1),
    ("DELETE", r"^/orders", 1),
    ("POST", r"_clone/orders\?", 1),
    ("GET", r"^/orders/_count", 2),
]


@pytest.mark.parametrize(("method", "path", "times"), PLACING)
async def test_whatever_fails_while_an_index_is_replaced_the_old_one_is_there(
    elasticsearch: SearchEngine, method: str, path: str, times: int
) -> None:
    backup = await back_up(elasticsearch.driver())
    await elasticsearch.change()
    before = await elasticsearch.content()
    full = {"error": {"type": "cluster_block_exception", "reason": "disk usage exceeded flood-stage watermark"}}
    elasticsearch.gate.on(method, path, answer(500, full), times=times)
    with pytest.raises(RunFailed) as caught:
        await put_in_place(elasticsearch, backup, replace=True)
    assert caught.value.code in {"restore.failed", "engine.refused"}
    assert await elasticsearch.content() == before
    assert await elasticsearch.leftovers() == []


async def test_a_connection_that_breaks_after_the_work_was_done_is_undone(elasticsearch: SearchEngine) -> None:
    backup = await back_up(elasticsearch.driver())
    await elasticsearch.change()
    before = await elasticsearch.content()

    async def done_and_cut(request: Any, body: bytes, forward: Any) -> Any:
        await forward()
        return await cut(request, body, forward)

    elasticsearch.gate.on("POST", r"_clone/orders\?", done_and_cut, times=1)
    with pytest.raises(RunFailed):
        await put_in_place(elasticsearch, backup, replace=True)
    assert await elasticsearch.content() == before
    assert await elasticsearch.leftovers() == []


async def test_a_restore_that_is_cancelled_while_it_puts_in_place_is_undone(elasticsearch: SearchEngine) -> None:
    backup = await back_up(elasticsearch.driver())
    await elasticsearch.change()
    before = await elasticsearch.content()
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def held(_request: Any, _body: bytes, forward: Any) -> Any:
        reached.set()
        await go_on.wait()
        return await forward()

    elasticsearch.gate.on("POST", r"_clone/orders\?", held, times=1)
    restoring = asyncio.create_task(put_in_place(elasticsearch, backup, replace=True))
    await reached.wait()
    restoring.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await restoring
    assert await elasticsearch.content() == before
    assert await elasticsearch.leftovers() == []


async def test_what_a_killed_agent_left_goes_with_the_next_restore(elasticsearch: SearchEngine) -> None:
    backup = await back_up(elasticsearch.driver())
    elasticsearch.gate.on("DELETE", r"^/strongroom-", cut)  # as if nobody had been there to clean up
    elasticsearch.gate.on("POST", r"_clone/orders\?", cut)
    elasticsearch.gate.on("POST", r"_clone/strongroom-replaced", cut)
    with pytest.raises(RunFailed):
        await put_in_place(elasticsearch, backup, replace=True)
    assert len(await elasticsearch.leftovers()) == 1
    elasticsearch.gate.reset()
    plan = await elasticsearch.driver().plan_backup()
    assert "left by a restore that was cut off" in str(plan.warnings)
    assert not any(each.name.startswith("strongroom-") for each in plan.artifacts)
    await put_in_place(elasticsearch, backup, replace=True)
    assert await elasticsearch.leftovers() == []


async def test_the_only_copy_of_an_index_is_not_thrown_away(elasticsearch: SearchEngine) -> None:
    """An agent that was killed between taking the old index away and putting the new one in its place."""
    before = elasticsearch.index("orders")
    backup = await back_up(elasticsearch.driver())
    gate = elasticsearch.gate
    gate.on("POST", r"_clone/orders", cut)
    gate.on("DELETE", r"^/strongroom-", cut)
    with pytest.raises(RunFailed):
        await put_in_place(elasticsearch, backup, replace=True)
    elasticsearch.gate.reset()
    assert "orders" not in elasticsearch.indices()
    with pytest.raises(Conflict) as caught:
        await put_in_place(elasticsearch, backup)
    assert "a restore of 'orders' was cut off" in caught.value.message
    await put_in_place(elasticsearch, backup, replace=True)
    assert elasticsearch.index("orders") == before
    assert await elasticsearch.leftovers() == []


async def test_an_index_without_its_shards_can_be_replaced(elasticsearch: SearchEngine) -> None:
    """The night on which a backup is needed: the old index cannot be read, and so not be kept either."""
    before = elasticsearch.index("orders")
    backup = await back_up(elasticsearch.driver())
    elasticsearch.node.ask("DELETE", "/orders")
    nowhere = {"index.routing.allocation.require.box": "lost", "number_of_replicas": 0}
    elasticsearch.node.ask("PUT", "/orders?timeout=1ms&wait_for_active_shards=0", {"settings": nowhere})
    outcome = await put_in_place(elasticsearch, backup, replace=True)
    assert "lacked shards" in str(outcome["warnings"])
    assert elasticsearch.index("orders") == before


async def test_a_missing_right_is_named(elasticsearch: SearchEngine) -> None:
    backup = await back_up(elasticsearch.driver())
    driver = elasticsearch.driver()  # that of backups
    with pytest.raises(RunFailed) as caught:
        await restore(driver, backup, elasticsearch.target(replace=True), only=["orders"])
    assert caught.value.code == "engine.permission"
    assert "does not allow PUT /strongroom-restoring-" in caught.value.message


async def test_a_closed_index_is_not_replaced(elasticsearch: SearchEngine) -> None:
    backup = await back_up(elasticsearch.driver())
    elasticsearch.node.ask("POST", "/orders/_close")
    with pytest.raises(Conflict) as caught:
        await put_in_place(elasticsearch, backup, replace=True)
    assert "'orders' is closed: open or delete it" in caught.value.message
