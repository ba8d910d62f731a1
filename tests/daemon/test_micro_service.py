"""The control verbs as a NATS micro service: found, described and counted as any client of such services expects."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from contracts import control
from contracts.control import VERBS
from contracts.errors import NotFound
from contracts.subjects import control_subject
from tests.daemon.running import Operator


async def asked(operator: Operator, subject: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads((await operator.client.request(subject, b"", timeout=10)).data)
    return answer


async def test_the_service_is_found_by_its_name_and_by_its_id(operator: Operator) -> None:
    ping = await asked(operator, "$SRV.PING")
    assert ping["type"] == "io.nats.micro.v1.ping_response"
    assert ping["name"] == "strongroom"
    by_id = await asked(operator, f"$SRV.PING.strongroom.{ping['id']}")
    assert by_id == ping


async def test_every_verb_is_an_endpoint_that_names_its_messages(operator: Operator) -> None:
    info = await asked(operator, "$SRV.INFO.strongroom")
    assert info["type"] == "io.nats.micro.v1.info_response"
    endpoints = {endpoint["subject"]: endpoint for endpoint in info["endpoints"]}
    assert endpoints.keys() == {control_subject(verb) for verb in VERBS}
    create = endpoints[control_subject("backup.create")]
    assert create["name"] == "backup-create"
    assert create["metadata"]["role"] == "operator"
    described = [endpoint["metadata"] for endpoint in endpoints.values()]
    for name in sorted({each[which] for each in described for which in ("request_schema", "response_schema")}):
        found = await operator.call(control.SCHEMA_SHOW, control.SchemaOf(name=name))
        Draft202012Validator.check_schema(found.schema)
    assert "schema.show" in info["metadata"]["schemas"]


async def test_a_schema_that_was_asked_for_holds_a_request_as_the_coordinator_does(operator: Operator) -> None:
    info = await asked(operator, "$SRV.INFO.strongroom")
    create = next(endpoint for endpoint in info["endpoints"] if endpoint["name"] == "backup-create")
    found = await operator.call(control.SCHEMA_SHOW, control.SchemaOf(name=create["metadata"]["request_schema"]))
    validator = Draft202012Validator(found.schema)
    assert validator.is_valid({"project": "acme", "service": "orders"})
    assert not validator.is_valid({"project": "acme"})
    assert not validator.is_valid({"project": "acme", "service": "orders", "sevrice": "a misspelt field is an error"})


async def test_a_message_that_there_is_not_is_told_with_where_names_are_found(operator: Operator) -> None:
    with pytest.raises(NotFound, match=r"SRV\.INFO") as told:
        await operator.call(control.SCHEMA_SHOW, control.SchemaOf(name="Nonsense"))
    assert told.value.code == "schema.not_found"


async def test_statistics_count_requests_and_what_was_refused(operator: Operator) -> None:
    await operator.call(control.STATUS, control.Nothing())
    await operator.call(control.STATUS, control.Nothing())
    with pytest.raises(NotFound):
        await operator.call(control.PROJECT_SHOW, control.ProjectRef(project="nothing"))
    stats = await asked(operator, "$SRV.STATS.strongroom")
    assert stats["type"] == "io.nats.micro.v1.stats_response"
    endpoints = {endpoint["name"]: endpoint for endpoint in stats["endpoints"]}
    assert endpoints["status"]["num_requests"] == 2
    assert endpoints["status"]["num_errors"] == 0
    assert endpoints["status"]["average_processing_time"] > 0
    assert endpoints["project-show"]["num_errors"] == 1
    assert endpoints["project-show"]["last_error"] == "project.not_found"
