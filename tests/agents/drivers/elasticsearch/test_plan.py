"""What is chosen, what cannot be backed up, and what health says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from contracts.errors import RunFailed
from contracts.services import ElasticsearchOptions
from tests.agents.drivers.elasticsearch.engine import ODD, SearchEngine
from tests.agents.drivers.elasticsearch.gate import answer
from tests.agents.drivers.playing import back_up


async def chosen(engine: SearchEngine, **options: Any) -> list[str]:
    plan = await engine.driver(ElasticsearchOptions(cluster_metadata=False, **options)).plan_backup()
    return [artifact.name for artifact in plan.artifacts]


async def refused(engine: SearchEngine, **options: Any) -> RunFailed:
    with pytest.raises(RunFailed) as caught:
        await chosen(engine, **options)
    return caught.value


def make(engine: SearchEngine, name: str, **body: Any) -> None:
    engine.node.ask("PUT", f"/{name}", {"settings": {"number_of_replicas": 0}, **body})


async def test_indices_are_chosen_by_pattern(elasticsearch: SearchEngine) -> None:
    make(elasticsearch, ".hidden")
    assert await chosen(elasticsearch) == sorted(["empty", ODD, "orders"])
    assert await chosen(elasticsearch, include=["o*", "e*"]) == ["empty", "orders"]
    assert await chosen(elasticsearch, include=["*"], exclude=["*e*"]) == []
    assert await chosen(elasticsearch, include=["orders", ".hid*"]) == [".hidden", "orders"]
    assert await chosen(elasticsearch, include=[".hidden"]) == [".hidden"]


async def test_an_index_that_is_named_and_missing_fails_the_plan(elasticsearch: SearchEngine) -> None:
    error = await refused(elasticsearch, include=["ordres"])
    assert error.code == "engine.database_not_found"
    assert "'ordres'" in error.message


async def test_a_closed_index_fails_the_plan_unless_it_is_excluded(elasticsearch: SearchEngine) -> None:
    elasticsearch.node.ask("POST", "/orders/_close")
    error = await refused(elasticsearch)
    assert error.code == "engine.unsupported"
    assert "'orders': closed" in error.message
    assert "orders" not in await chosen(elasticsearch, exclude=["orders"])


async def test_an_index_without_its_documents_fails_the_plan_unless_it_is_excluded(elasticsearch: SearchEngine) -> None:
    make(elasticsearch, "numbers", mappings={"_source": {"enabled": False}})
    error = await refused(elasticsearch)
    assert error.code == "engine.unsupported"
    assert "'numbers': its mapping has _source disabled" in error.message
    assert "numbers" not in await chosen(elasticsearch, exclude=["numbers"])


async def test_an_index_that_keeps_some_fields_only_is_a_warning(elasticsearch: SearchEngine) -> None:
    make(elasticsearch, "parts", mappings={"_source": {"excludes": ["secret"]}})
    plan = await elasticsearch.driver().plan_backup()
    assert "'parts': includes or excludes of _source" in str(plan.warnings)


async def test_shards_that_are_nowhere_fail_the_plan_and_show_in_health(elasticsearch: SearchEngine) -> None:
    nowhere = {"number_of_replicas": 0, "index.routing.allocation.require.box": "lost"}
    elasticsearch.node.ask("PUT", "/lost?timeout=1ms&wait_for_active_shards=0", {"settings": nowhere})
    # That did not wait for anything: this does, for all that the cluster has yet to do.
    elasticsearch.node.ask("GET", "/_cluster/health?wait_for_events=languid&timeout=60s")
    error = await refused(elasticsearch)
    assert error.code == "engine.degraded"
    assert "'lost'" in error.message
    health = await elasticsearch.driver().health()
    assert health.missing_shards == ["lost"]
    assert health.error is None
    without = ElasticsearchOptions(exclude=["lost"])
    assert (await elasticsearch.driver(without).health()).missing_shards == []
    assert (await elasticsearch.driver(ElasticsearchOptions(include=["orders"])).health()).missing_shards == []
    plan = await elasticsearch.driver(without).plan_backup()
    assert "the cluster is red because of 'lost'" in str(plan.warnings)


async def test_replicas_that_are_nowhere_do_no_harm(elasticsearch: SearchEngine) -> None:
    elasticsearch.node.ask("PUT", "/orders/_settings", {"number_of_replicas": 1})
    assert (await elasticsearch.driver().health()).missing_shards == []
    assert "orders" in await chosen(elasticsearch)


async def test_many_indices_with_long_names_fit_into_the_requests(elasticsearch: SearchEngine) -> None:
    """Their names together are longer than a cluster takes in one line."""
    names = [f"{number:02}-{'ß' * 110}" for number in range(8)]
    for name in names:
        elasticsearch.bulk(name, [({"_id": "1"}, "{}")])
    plan = await elasticsearch.driver(ElasticsearchOptions(include=["0*"])).plan_backup()
    assert plan.inventory["counts"] == dict.fromkeys(names, 1)


async def test_what_documents_say_of_their_number_is_not_believed(elasticsearch: SearchEngine) -> None:
    """Buckets of aggregations count a document with `_doc_count` as so many."""
    elasticsearch.bulk("empty", [({"_id": "1"}, '{"_doc_count": 10}'), ({"_id": "2"}, "{}")])
    plan = await elasticsearch.driver().plan_backup()
    assert plan.inventory["counts"]["empty"] == 2


async def test_an_index_that_is_made_during_the_backup_is_a_warning(elasticsearch: SearchEngine) -> None:
    driver = elasticsearch.driver()
    plan = await driver.plan_backup()
    make(elasticsearch, "fresh")
    make(elasticsearch, ".cache")
    assert await driver.finish_backup(plan) == [
        "'fresh': made while the backup ran, so not in it; the next one will have it"
    ]


async def test_metadata_that_may_not_be_read_is_a_warning(elasticsearch: SearchEngine) -> None:
    elasticsearch.gate.users["backup"] = elasticsearch.gate.users["backup"].without("cluster:manage_index_templates")
    backup = await back_up(elasticsearch.driver())
    assert [warning for warning in backup.warnings if "/_index_template" in warning]
    assert "--no-cluster-metadata" in str(backup.warnings)


@pytest.mark.parametrize("right", ["index:read", "index:monitor", "index:view_index_metadata", "cluster:monitor"])
async def test_a_right_that_is_missing_fails_the_plan_and_is_named(elasticsearch: SearchEngine, right: str) -> None:
    elasticsearch.gate.users["backup"] = elasticsearch.gate.users["backup"].without(right)
    error = await refused(elasticsearch)
    assert error.code == "engine.permission"
    assert "does not allow" in error.message


@pytest.mark.parametrize(
    ("root", "code"),
    [
        ({"version": {"number": "6.8.23"}}, "engine.version_skew"),
        ({"version": {"number": "7.3.2"}}, "engine.version_skew"),
        ({"version": {"number": "1.0", "distribution": "manticore"}}, "engine.unsupported"),
        ({"hello": "world"}, "engine.refused"),
    ],
)
async def test_what_is_no_cluster_of_ours_is_told(bare: SearchEngine, root: Any, code: str) -> None:
    bare.gate.on("GET", r"^/$", answer(200, root))
    assert (await refused(bare)).code == code
    health = await bare.driver().health()
    assert health.error is not None
    assert health.error.code == code


async def test_the_inventory_names_what_is_there(elasticsearch: SearchEngine) -> None:
    plan = await elasticsearch.driver().plan_backup()
    inventory = plan.inventory
    assert inventory["metadata"]["ingest pipeline"] == ["none", "tag"]
    assert inventory["metadata"]["stored script"] == ["find"]
    (orders,) = [index for index in inventory["indices"] if index["name"] == "orders"]
    assert orders["documents"] == 400
    assert orders["aliases"] == ["shop", "shop-de"]
    assert orders["shards"] == 2
    assert json.dumps(inventory)
