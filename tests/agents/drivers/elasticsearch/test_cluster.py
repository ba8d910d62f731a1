"""What belongs to no index."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp import web

from contracts.errors import Conflict, RunFailed
from tests.agents.drivers.elasticsearch.archives import unpack
from tests.agents.drivers.elasticsearch.engine import SearchEngine
from tests.agents.drivers.elasticsearch.gate import answer
from tests.agents.drivers.playing import Backup, back_up, restore

ONLY = ["cluster"]


async def put_back(engine: SearchEngine, backup: Backup, *, replace: bool = False) -> Any:
    (outcome,) = await restore(engine.restoring_driver(), backup, engine.target(replace=replace), only=ONLY)
    return outcome


def of(backup: Backup) -> dict[str, bytes]:
    return unpack(next(data for record, data in backup.artifacts if record.kind == "cluster"))


class Policies:
    """Lifecycle policies as Elasticsearch's licensed part keeps them; this node lacks it.

    Shapes: https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-ilm-get-lifecycle
    """

    def __init__(self, engine: SearchEngine) -> None:
        self.kept: dict[str, Any] = {}
        for method in ("GET", "PUT", "DELETE"):
            engine.gate.on(method, r"^/_ilm/policy", self._answer)

    async def _answer(self, request: web.Request, body: bytes, _forward: Any) -> web.Response:
        name = request.path.removeprefix("/_ilm/policy").strip("/")
        if request.method == "PUT":
            policy = json.loads(body)
            assert policy.keys() == {"policy"}
            self.kept[name] = policy["policy"]
        elif request.method == "DELETE":
            del self.kept[name]
        else:
            shown = {"version": 1, "modified_date": "2026-11-22T00:00:00.000Z", "in_use_by": {"indices": []}}
            return web.json_response({name: {**shown, "policy": policy} for name, policy in self.kept.items()})
        return web.json_response({"acknowledged": True})


async def test_lifecycle_policies_come_back(elasticsearch: SearchEngine) -> None:
    policies = Policies(elasticsearch)
    policies.kept["thirty days"] = before = {"phases": {"delete": {"min_age": "30d", "actions": {"delete": {}}}}}
    backup = await back_up(elasticsearch.driver())
    policies.kept.clear()
    await put_back(elasticsearch, backup)
    assert policies.kept == {"thirty days": before}


async def test_policies_that_this_cluster_cannot_have_are_left_out_with_a_warning(elasticsearch: SearchEngine) -> None:
    policies = Policies(elasticsearch)
    policies.kept["thirty days"] = {"phases": {}}
    backup = await back_up(elasticsearch.driver())
    elasticsearch.gate.reset()
    outcome = await put_back(elasticsearch, backup)
    assert "this cluster knows no lifecycle policy (/_ilm/policy); left out: 'thirty days'" in str(outcome["warnings"])


async def test_policies_of_opensearch_are_replaced_as_its_plugin_asks_for_it(opensearch: SearchEngine) -> None:
    """Shapes: https://docs.opensearch.org/latest/im-plugin/ism/api/"""
    kept: dict[str, Any] = {"a": {"description": "old", "states": []}}
    asked: list[str] = []

    async def policies(request: web.Request, body: bytes, _forward: Any) -> web.Response:
        name = request.path.removeprefix("/_plugins/_ism/policies").strip("/")
        asked.append(f"{request.method} {request.path_qs}")
        if request.method == "PUT":
            if name in kept and request.query.get("if_seq_no") != "7":
                return web.json_response({"error": {"type": "version_conflict", "reason": "exists"}}, status=409)
            kept[name] = json.loads(body)["policy"]
            return web.json_response({"_id": name})
        if not name:
            own = {"policy_id": "a", "last_updated_time": 1, "schema_version": 2}
            found = [
                {"_id": each, "_seq_no": 7, "_primary_term": 1, "policy": {**policy, **own}} for each, policy in kept.items()
            ]
            assert request.query["size"] == "10000"
            return web.json_response({"policies": found, "total_policies": len(found)})
        if name not in kept:
            return web.json_response({"error": {"type": "status_exception", "reason": "no policy"}}, status=404)
        return web.json_response({"_id": name, "_seq_no": 7, "_primary_term": 1, "policy": kept[name]})

    for method in ("GET", "PUT"):
        opensearch.gate.on(method, r"^/_plugins/_ism", policies)
    backup = await back_up(opensearch.driver())
    kept["a"] = {"description": "new", "states": []}
    await put_back(opensearch, backup, replace=True)
    assert kept == {"a": {"description": "old", "states": []}}
    assert "PUT /_plugins/_ism/policies/a?if_seq_no=7&if_primary_term=1" in asked


async def test_what_is_there_in_other_words_is_left_alone(elasticsearch: SearchEngine) -> None:
    backup = await back_up(elasticsearch.driver())
    elasticsearch.node.ask("PUT", "/_ingest/pipeline/none", {"description": "changed", "processors": []})
    elasticsearch.node.ask("DELETE", "/_scripts/find")
    before = elasticsearch.metadata()
    with pytest.raises(Conflict) as caught:
        await put_back(elasticsearch, backup)
    assert caught.value.code == "restore.target_not_empty"
    assert "ingest pipeline 'none'" in caught.value.message
    assert elasticsearch.metadata() == before


async def test_what_is_there_in_the_same_words_is_no_hindrance(elasticsearch: SearchEngine) -> None:
    before = elasticsearch.metadata()
    backup = await back_up(elasticsearch.driver())
    elasticsearch.node.ask("DELETE", "/_scripts/find")
    outcome = await put_back(elasticsearch, backup)
    assert outcome["objects"] == 1
    assert elasticsearch.metadata() == before


async def test_what_fails_in_the_middle_is_undone(elasticsearch: SearchEngine) -> None:
    backup = await back_up(elasticsearch.driver())
    elasticsearch.node.ask("PUT", "/_ingest/pipeline/none", {"description": "changed", "processors": []})
    elasticsearch.node.ask("DELETE", "/_scripts/find")
    elasticsearch.node.ask("DELETE", "/_template/legacy")
    before = elasticsearch.metadata()
    elasticsearch.gate.on("PUT", r"^/_template", answer(400, {"error": {"type": "x", "reason": "not like that"}}))
    with pytest.raises(RunFailed) as caught:
        await put_back(elasticsearch, backup, replace=True)
    assert caught.value.code == "restore.failed"
    assert "refused the legacy index template 'legacy': not like that" in caught.value.message
    assert elasticsearch.metadata() == before


async def test_persistent_settings_are_kept_and_not_applied(elasticsearch: SearchEngine) -> None:
    setting = {"action.destructive_requires_name": "true"}
    elasticsearch.node.ask("PUT", "/_cluster/settings", {"persistent": setting})
    backup = await back_up(elasticsearch.driver())
    assert json.loads(of(backup)["cluster_settings.json"])["persistent"] == setting
    elasticsearch.empty()
    outcome = await put_back(elasticsearch, backup)
    assert "never applied" in str(outcome["warnings"])
    assert elasticsearch.node.ask("GET", "/_cluster/settings")["persistent"] == {}


async def test_what_the_cluster_does_not_know_is_written_down(elasticsearch: SearchEngine) -> None:
    backup = await back_up(elasticsearch.driver())
    assert "/_ilm/policy" in json.loads(of(backup)["absent.json"])["unknown"]
    assert backup.warnings == []
