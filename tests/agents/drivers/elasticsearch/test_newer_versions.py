"""What newer versions do otherwise, played by the gate in front of an older node."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from tests.agents.drivers.elasticsearch.archives import data_lines, unpack
from tests.agents.drivers.elasticsearch.engine import SearchEngine
from tests.agents.drivers.elasticsearch.gate import change
from tests.agents.drivers.playing import back_up, restore

DATES = {"created_date_millis": 1763769600000, "modified_date_millis": 1763769600001}


async def test_vectors_that_searches_hide_are_in_the_backup(elasticsearch: SearchEngine) -> None:
    """Elasticsearch 9.2 and later leave them out of `_source` unless told otherwise.

    See https://www.elastic.co/docs/reference/elasticsearch/mapping-reference/dense-vector#index-vectors-source
    """

    def named(body: bytes) -> bytes:
        root = json.loads(body)
        root["version"]["number"] = "9.2.1"
        return json.dumps(root).encode()

    async def hiding(request: web.Request, body: bytes, _forward: Any) -> web.Response:
        asked = json.loads(body)
        hides = asked.pop("_source", {}).get("exclude_vectors", True)
        found = elasticsearch.node.ask("POST", request.path_qs, asked)
        for hit in found["hits"]["hits"]:
            hit["_source"].pop("vector", None) if hides else None
        return web.json_response(found)

    elasticsearch.gate.on("GET", r"^/$", change(named))
    elasticsearch.bulk("empty", [({"_id": "1"}, '{"vector": [1, 2, 3]}')])
    elasticsearch.gate.on("POST", r"^/_search\?", hiding)
    backup = await back_up(elasticsearch.driver())
    record = next(record for record in backup.records if record.name == "empty")
    (line,) = data_lines(unpack(backup.data_of(record)))
    assert json.loads(line)["_source"] == {"vector": [1, 2, 3]}


async def test_dates_that_the_cluster_keeps_itself_are_not_told_to_it(elasticsearch: SearchEngine) -> None:
    """It shows when pipelines and templates were made and changed, and refuses those that say so.

    See https://github.com/elastic/elasticsearch/pull/130847
    """
    before = elasticsearch.metadata()

    def dated(body: bytes) -> bytes:
        found = json.loads(body)
        for key, field in (("index_templates", "index_template"), ("component_templates", "component_template")):
            for one in found.get(key, []):
                one[field] |= DATES
        if "index_templates" not in found and "component_templates" not in found:
            found = {name: pipeline | DATES for name, pipeline in found.items()}
        return json.dumps(found).encode()

    for path in (r"^/_ingest/pipeline$", r"^/_index_template$", r"^/_component_template$"):
        elasticsearch.gate.on("GET", path, change(dated))
    backup = await back_up(elasticsearch.driver())
    elasticsearch.empty()
    await restore(elasticsearch.restoring_driver(), backup, elasticsearch.target(), only=["cluster"])
    assert elasticsearch.metadata() == before
    DATES["modified_date_millis"] += 1
    (outcome,) = await restore(elasticsearch.restoring_driver(), backup, elasticsearch.target(), only=["cluster"])
    assert outcome["objects"] == 0
