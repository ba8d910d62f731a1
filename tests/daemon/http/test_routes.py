"""Every verb has its route, and lets in exactly those who may."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec
import pytest

from contracts import control
from contracts.access import Role
from contracts.control import ACCESS_SELF, SCHEMA_SHOW, STATUS, VERBS, Nothing, Verb
from daemon.http.answering import is_creation, status_of_success
from daemon.http.examples import request_example
from daemon.http.operations import API_PREFIX
from daemon.http.schema_routes import whole_document
from tests.daemon.events import stored_events
from tests.daemon.http.calling import Door, fill, request_of

_OF_NO_PROJECT = {STATUS.name, ACCESS_SELF.name, SCHEMA_SHOW.name}


def test_no_two_verbs_have_the_same_route() -> None:
    routes = [(verb.method, verb.path) for verb in VERBS.values()]
    assert len(set(routes)) == len(routes)


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_a_verbs_status_says_what_was_done(verb: Verb[Any, Any]) -> None:
    status = status_of_success(verb)
    assert (status == 204) == (verb.answer is Nothing)
    assert (status in (201, 202)) == is_creation(verb)
    assert verb.method != "GET" or status == 200


async def test_every_verb_is_reached_by_its_route(door: Door) -> None:
    """An admin gets from each of them what the verb itself answers, or refuses."""
    await fill(door)
    missing = []
    for verb in VERBS.values():
        method, path, more = request_of(verb, request_example(verb))
        answer = await door.call(method, path, **more)
        if answer.status_code != status_of_success(verb) and answer.json()["code"].startswith(("input.", "internal")):
            missing.append((verb.name, answer.status_code, answer.text[:200]))
    assert not missing


async def test_every_route_lets_in_exactly_those_who_may(door: Door) -> None:
    """Each verb, tried with every role, for all projects, the right one and another, and without a token."""
    await two_projects(door)
    wrong: list[tuple[str, str, str]] = []
    # What deletes comes last: what the others need is then still there.
    for verb in sorted(VERBS.values(), key=lambda verb: verb.method == "DELETE"):
        method, path, more = request_of(verb, request_example(verb))
        for caller, answer in await each_tries(door, method, path, **more):
            if caller is None:
                is_right = answer.status_code == 401
            else:
                is_right = _is_forbidden(answer) != _may(verb, *caller) and answer.status_code not in (401, 429, 500)
            if not is_right:
                wrong.append((verb.name, str(caller), answer.text[:200]))
    assert not wrong


async def test_the_other_routes_of_the_document_let_in_exactly_those_who_may(door: Door) -> None:
    await two_projects(door)
    verbs = {name.replace(".", "_") for name in VERBS}
    others = [
        (path, method.upper(), operation)
        for path, methods in whole_document()["paths"].items()
        for method, operation in methods.items()
        if operation["operationId"] not in verbs
    ]
    wrong: list[tuple[str, str, str]] = []
    for path, method, operation in others:
        path_, query = _as_in_the_example(path, operation["parameters"])
        needed = Role(operation["x-strongroom-role"])
        for caller, answer in await each_tries(door, method, path_, params=query):
            if caller is None:
                is_right = answer.status_code == 401
            else:
                is_right = _is_forbidden(answer) != (caller[0].covers(needed) and caller[1] in ("", "acme"))
            if not is_right:
                wrong.append((path, str(caller), answer.text[:200]))
    assert others
    assert not wrong


async def two_projects(door: Door) -> None:
    for name in ("acme", "other"):
        await door.operator.call(control.PROJECT_CREATE, control.ProjectCreate(name=name))


async def each_tries(
    door: Door, method: str, path: str, **more: Any
) -> list[tuple[tuple[Role, str] | None, httpx.Response]]:
    """What everybody gets: nobody first, then each role for all projects, for `acme`, and for another."""
    tried: list[tuple[tuple[Role, str] | None, httpx.Response]] = [
        (None, await door.call(method, path, token="", **more)),
    ]
    for project in ("", "acme", "other"):
        for role in Role:
            token = await door.token(role, project=project)
            tried.append(((role, project), await door.call(method, path, token=token, **more)))
    return tried


def _as_in_the_example(path: str, parameters: list[dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    """A path and query that end: a stream that would go on for ever is asked for what there is."""
    query = {}
    for each in parameters:
        if each["in"] == "path":
            path = path.replace(f"{{{each['name']}}}", each["example"])
        elif each["name"] == "follow":
            query["follow"] = "false"
        elif each["in"] == "query" and (each["required"] or each["name"] == "project"):
            query[each["name"]] = each["example"]
    return path, query


async def test_a_change_is_in_the_audit_log_with_its_actor_and_a_look_is_not(door: Door) -> None:
    token = await door.token(name="ci of acme")
    assert (await door.call("POST", "/projects", token=token, json={"name": "acme"})).status_code == 201
    assert (await door.call("GET", "/projects", token=token)).status_code == 200
    refused = await door.call("DELETE", "/projects/acme", token=await door.token(Role.VIEWER))
    assert refused.status_code == 403
    calls = await stored_events(door.operator.client, "access.called")
    facts = [(event.actor, event.facts or {}) for event in calls]
    told = [(actor, each["verb"], each["outcome"]) for actor, each in facts if each["via"] == "http"]
    assert told == [
        ("token:ci of acme", "project.create", "done"),
        ("token:viewer of all", "project.delete", "access.forbidden"),
    ]
    assert calls[-1].project == "acme"


async def test_an_answer_says_where_the_thing_that_was_made_is(door: Door) -> None:
    await fill(door)
    made = await door.call("POST", "/projects", json={"name": "beta"})
    assert (made.status_code, made.headers["location"]) == (201, f"{API_PREFIX}/projects/beta")
    service = {"name": "files", "options": {"kind": "shared-storage"}, "nodes": ["node-1"]}
    added = await door.call("POST", "/projects/beta/services", json=service)
    assert added.status_code == 201, added.text
    found = await door.http.get(added.headers["location"], headers={"Authorization": f"Bearer {await door.token()}"})
    assert msgspec.json.decode(found.content, type=control.ServiceView).record.name == "files"


async def test_who_you_are_is_what_the_token_is_for(door: Door) -> None:
    await door.operator.call(control.PROJECT_CREATE, control.ProjectCreate(name="acme"))
    token = await door.token(Role.OPERATOR, project="acme", expires_in_days=None)
    answer = (await door.call("GET", "/self", token=token)).json()
    assert answer == {"actor": "token:operator of acme", "role": "operator", "project": "acme", "expires_at": None}


def _may(verb: Verb[Any, Any], role: Role, project: str) -> bool:
    if not role.covers(verb.role):
        return False
    if not project or verb.name in _OF_NO_PROJECT:
        return True
    example = request_example(verb)
    fields = {field.name for field in msgspec.structs.fields(verb.request)}
    return "project" in fields and example.get("project", "") in ("", project)


def _is_forbidden(answer: Any) -> bool:
    return bool(answer.status_code == 403 and answer.json()["code"] == "access.forbidden")
