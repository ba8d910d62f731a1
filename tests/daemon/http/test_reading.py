"""A request is read strictly: what has no meaning is named, not ignored."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import control
from contracts.control import VERBS, Verb
from contracts.errors import InvalidInput
from contracts.records import RunState
from daemon.http.reading import ACTOR, Shape, decode_object, query_pairs

BACKUPS, ADD = Shape.of(control.BACKUP_LIST), Shape.of(control.SERVICE_ADD)
OPTIONS = b'"options":{"kind":"nats"},"nodes":["a"],"name":"x"'


def test_a_query_becomes_a_request_with_lists_repeated() -> None:
    asked = BACKUPS.from_query({}, b"project=acme&states=failed&states=missed&limit=7&tag=a%20b")
    assert asked == control.BackupList(project="acme", states=[RunState.FAILED, RunState.MISSED], limit=7, tag="a b")
    assert BACKUPS.from_query({}, b"") == control.BackupList()


@pytest.mark.parametrize(
    ("query", "field", "words"),
    [
        (b"projct=acme", "projct", "it takes project, service"),
        (b"actor=jane", "actor", "no field 'actor'"),
        (b"limit=5&limit=6", "limit", "twice"),
        (b"limit=0", "limit", ">= 1"),
        (b"limit=five", "limit", "int"),
        (b"states=bad", "states[0]", "one of requested, running, completed"),
        (b"tag", "query", "name=value"),
        (b"tag=%ff", "query", "UTF-8"),
        (b"tag=\xff", "query", "percent-encoded"),
    ],
)
def test_a_query_that_is_wrong_is_refused_with_its_field(query: bytes, field: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words) as told:
        BACKUPS.from_query({}, query)
    assert told.value.field == field


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        (b"", "name", "the field name is missing"),
        (b"{", None, "not JSON"),
        (b"[]", None, "must be a JSON object"),
        (b"\xff", None, "not JSON"),
        (b'{"a":' * 5_000, None, "nested too deeply"),
        (b'{"project":"acme"}', "project", "leave it out"),
        (b'{"actor":"jane"}', "actor", "no field 'actor'"),
        (b'{"nam":"x"}', "nam", "it takes name, options"),
        (b'{"name":1}', "name", "Expected `str`"),
        (b'{"options":{"kind":"nats","paralell":2}}', "options.paralell", "no field"),
        (b'{"options":{"kind":"oracle"}}', "options.kind", "oracle"),
        (b'{"retention":{"minimums":{"hourly":1}}}', "retention.minimums.hourly", "no field"),
        (b'{"schedule":{"kind":"daily"},' + OPTIONS + b"}", "schedule.at", "is missing"),
        (b'{"schedule":{"kind":"daily","at":"25:00"},' + OPTIONS + b"}", "schedule.at", "HH:MM"),
    ],
)
def test_a_body_that_is_wrong_is_refused_with_its_field(body: bytes, field: str | None, words: str) -> None:
    with pytest.raises(InvalidInput, match=words) as told:
        ADD.from_body({"project": "acme"}, body)
    assert told.value.field == field


def test_a_name_of_any_length_is_repeated_only_in_part() -> None:
    with pytest.raises(InvalidInput) as told:
        ADD.from_body({"project": "acme"}, b'{"%s":1}' % (b"x" * 100_000))
    assert len(told.value.message) < 400


def test_a_body_of_nothing_is_an_empty_object_where_nothing_is_needed() -> None:
    path = {"project": "acme", "service": "orders"}
    assert Shape.of(control.BACKUP_CREATE).from_body(path, b"") == control.BackupCreate(project="acme", service="orders")


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_every_placeholder_is_a_field_and_nobody_says_who_he_is(verb: Verb[Any, Any]) -> None:
    shape = Shape.of(verb)
    names = {field.name for field in msgspec.structs.fields(verb.request)}
    assert {*shape.path, *shape.rest} == names - {ACTOR}


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_be_refused(data: bytes) -> None:
    for read in (decode_object, query_pairs):
        try:
            read(data)
        except InvalidInput:
            continue


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["kind", "at", "name", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(ADD.rest), _JSON, max_size=5))
def test_no_values_do_more_than_be_refused(fields: dict[str, Any]) -> None:
    with contextlib.suppress(InvalidInput):
        ADD.from_body({"project": "acme"}, msgspec.json.encode(fields))
