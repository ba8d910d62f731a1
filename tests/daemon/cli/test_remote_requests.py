"""What the command sends over HTTP is what the coordinator reads there, for every verb."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlencode

import aiohttp
import msgspec
import pytest

from contracts import control
from contracts.access import Role
from contracts.control import VERBS, Verb
from contracts.errors import CODES, Denied, ErrorInfo, InvalidInput, StrongroomError, Unavailable, from_info
from contracts.records import RunState
from daemon.cli.http_failures import not_reached, refusal
from daemon.cli.http_requests import request_of
from daemon.http.examples import request_example
from daemon.http.operations import API_PREFIX
from daemon.http.reading import Shape


def example_of(verb: Verb[Any, Any]) -> Any:
    """A request with every field that documents show."""
    return msgspec.convert(msgspec.to_builtins(request_example(verb)), verb.request)


def read_by_coordinator(verb: Verb[Any, Any], request: Any) -> Any:
    sent = request_of(verb, request)
    parts = sent.path.removeprefix(API_PREFIX).strip("/").split("/")
    ways = verb.path.strip("/").split("/")
    assert sent.method == verb.method
    assert len(parts) == len(ways)
    path = {way[1:-1]: unquote(part) for way, part in zip(ways, parts, strict=True) if way.startswith("{")}
    shape = Shape.of(verb)
    if sent.body is None:
        return shape.from_query(path, urlencode(sent.query).encode())
    assert not sent.query
    return shape.from_body(path, sent.body)


@pytest.mark.parametrize("verb", VERBS.values(), ids=list(VERBS))
def test_every_verb_arrives_as_it_was_meant(verb: Verb[Any, Any]) -> None:
    request = example_of(verb)
    if hasattr(request, "actor"):
        request = msgspec.structs.replace(request, actor="jane@laptop")
        expected = msgspec.structs.replace(request, actor="")
    else:
        expected = request
    assert read_by_coordinator(verb, request) == expected


def test_names_that_people_choose_stay_whole() -> None:
    odd = control.BackupDownload(project="acme", service="orders", id="latest", artifact="a b&c=d/ü?#%", recipient="age1x")
    assert read_by_coordinator(control.BACKUP_DOWNLOAD, odd) == odd
    several = control.BackupList(states=list(RunState), tag="a+b c")
    assert read_by_coordinator(control.BACKUP_LIST, several) == several


def test_what_is_as_it_would_be_anyway_is_not_sent() -> None:
    assert not request_of(control.BACKUP_LIST, control.BackupList(limit=200, cursor="")).query
    endless = control.TokenCreate(name="x", role=Role.ADMIN, expires_in_days=None)
    assert request_of(control.TOKEN_CREATE, endless).body == b'{"name":"x","role":"admin","expires_in_days":null}'


PROBLEM = "application/problem+json"


@pytest.mark.parametrize(
    ("status", "media_type", "body", "branch", "words"),
    [
        (404, PROBLEM, b'{"code":"project.not_found","detail":"there is no project"}', StrongroomError, "there is no"),
        (400, PROBLEM, b'{"code":"input.invalid","detail":"no","field":"limit"}', InvalidInput, "no"),
        (502, "text/html", b"<html>bad gateway</html>", Unavailable, "does not reach the coordinator"),
        (503, "text/plain", b"", Unavailable, "does not reach the coordinator"),
        (401, "text/html", b"login please", Denied, "in front of the coordinator"),
        (403, "text/html", b"", Denied, "in front of the coordinator"),
        (429, "text/html", b"", Unavailable, "wait a minute"),
        (301, "text/html", b"", InvalidInput, "leads elsewhere"),
        (418, "text/plain", b"teapot", StrongroomError, "is that its address"),
        (404, PROBLEM, b"not json at all", StrongroomError, "is that its address"),
    ],
)
def test_an_answer_that_is_no_success_is_a_sentence_of_its_kind(
    status: int, media_type: str, body: bytes, branch: type[StrongroomError], words: str
) -> None:
    error = refusal("https://x.example", status, media_type, body)
    assert isinstance(error, branch)
    assert words in error.message


def test_every_code_of_the_coordinator_is_the_same_error_here() -> None:
    for code in CODES:
        body = msgspec.json.encode({"code": code, "detail": "words", "field": "f", "said": "the tool's own", "status": 400})
        error = refusal("https://x.example", 400, PROBLEM, body)
        expected = from_info(ErrorInfo(code=code, message="words", field="f", detail="the tool's own"))
        assert (type(error), error.info) == (type(expected), expected.info)


def test_a_timeout_says_that_it_may_have_been_done() -> None:
    assert "may have done it" in not_reached("https://x.example", TimeoutError(), timeout_s=30).message
    assert "takes no connections" in not_reached("https://x.example", aiohttp.ConnectionTimeoutError(), timeout_s=30).message
