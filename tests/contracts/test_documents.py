"""The contracts as documents: in step with the Structs, and valid by the words of those who made the formats."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from contracts import subjects
from contracts.asks import PartReceipt
from contracts.control import VERBS
from contracts.events import EVENT_TYPES
from contracts.schemas import components, message_schema, message_types
from contracts.subjects import control_subject
from scripts.documents.__main__ import FOLDER, main
from scripts.documents.files import documents
from tests.contracts.asyncapi_parser import NoParser, asyncapi_parser, check

ASYNCAPI = FOLDER / "asyncapi.json"


def test_the_documents_are_in_step_with_the_structs(capsys: pytest.CaptureFixture[str]) -> None:
    in_step = main(["--check"])
    assert in_step == 0, capsys.readouterr().out


def test_they_are_the_same_whenever_they_are_made() -> None:
    assert documents() == documents()


@pytest.mark.long
@pytest.mark.timeout(420)
def test_the_asyncapi_document_is_valid_by_the_official_parser(tmp_path: Path) -> None:
    try:
        home = asyncapi_parser()
    except NoParser as exc:
        pytest.skip(f"NOT RUN HERE: there is no AsyncAPI parser: {exc}")
    valid, said = check(home, ASYNCAPI)
    assert valid, said
    # Severity 0 is an error, 1 a warning; that there is a newer version of AsyncAPI is neither.
    assert not [each for each in said if each.get("severity", 9) < 2]
    assert said[-1]["version"] == "3.0.0"
    assert said[-1]["operations"] >= len(VERBS) + 8
    broken = {
        "asyncapi": "3.0.0",
        "info": {"title": "Broken", "version": "1"},
        "channels": {"one": {"address": "one"}},
        "operations": {"tell": {"action": "shout", "channel": {"$ref": "#/channels/one"}}},
    }
    (tmp_path / "broken.json").write_text(json.dumps(broken))
    assert not check(home, tmp_path / "broken.json")[0], "the parser looks"


def test_every_verb_and_every_event_and_every_subject_is_in_it() -> None:
    document = json.loads(ASYNCAPI.read_text())
    addresses = {channel["address"] for channel in document["channels"].values() if channel["address"]}
    assert {control_subject(verb) for verb in VERBS} < addresses
    assert EVENT_TYPES.keys() == set(document["channels"]["events"]["messages"])
    patterns = {re.sub(r"\{[a-z]+\}", "*", address) for address in addresses}
    for wanted in (
        subjects.REQUEST_SUBJECTS,
        subjects.REPORT_SUBJECTS,
        subjects.ASK_SUBJECTS,
        subjects.HEARTBEAT_SUBJECTS,
        subjects.PROGRESS_SUBJECTS,
        subjects.AGENT_LOG_SUBJECTS,
    ):
        assert wanted in patterns


def test_verbs_are_operations_that_say_where_the_answer_goes() -> None:
    document = json.loads(ASYNCAPI.read_text())
    create = document["operations"]["controlBackupCreate"]
    assert create["action"] == "receive"
    assert create["reply"]["address"]["location"].startswith("$message.header#/")
    named = [each["$ref"].rpartition("/")[2] for each in create["reply"]["messages"]]
    assert named == ["backup.create.answer", "ControlError"]


def files() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted((FOLDER / "schemas").glob("*.json")):
        yield path.name, json.loads(path.read_text())


def test_every_schema_is_a_schema_and_what_it_refers_to_is_there() -> None:
    every = dict(files())
    registry: Registry[Any] = Registry().with_resources(
        (name, Resource.from_contents(schema)) for name, schema in every.items()
    )
    assert set(every) >= {f"{name}.schema.json" for name in message_types()}
    for name, schema in every.items():
        Draft202012Validator.check_schema(schema)
        for reference in re.findall(r'"\$ref": "([^"]+)"', json.dumps(schema)):
            assert reference in every, (name, reference)
    backup = {"project": "acme", "service": "orders", "tags": ["a"]}
    validator = Draft202012Validator({"$ref": "BackupCreate.schema.json"}, registry=registry)
    assert validator.is_valid(backup)
    assert not validator.is_valid({**backup, "tags": [1]})


def test_every_message_has_a_schema_that_holds_all_that_it_refers_to() -> None:
    for name in message_types():
        schema = message_schema(name)
        Draft202012Validator.check_schema(schema)
        for reference in re.findall(r'"\$ref": "#/\$defs/([^"]+)"', json.dumps(schema)):
            assert reference in schema["$defs"], (name, reference)


def test_patterns_are_such_as_every_language_reads() -> None:
    """Python's `\\A` and `\\Z` mean nothing, or an error, in ECMA-262."""
    for name, schema in files():
        for pattern in re.findall(r'"pattern": "([^"]*)"', json.dumps(schema)):
            assert "\\A" not in pattern, name
            assert "\\Z" not in pattern, name


def test_times_have_their_format_and_fields_their_words() -> None:
    made = components([message_types()["BackupRecord"]])
    record = made["BackupRecord"]["properties"]
    assert record["requested_at"]["format"] == "date-time"
    assert {"type": "string", "format": "date-time"} in record["finished_at"]["anyOf"]
    assert record["placement"]["description"] == "Why this node, in words."
    assert "`missed`" not in made["RunState"].get("description", "") or made["RunState"]["enum"][0] == "requested"


def test_a_part_receipt_is_an_array_in_both_dialects() -> None:
    made = components([PartReceipt])["PartReceipt"]
    assert [place["type"] for place in made["prefixItems"]] == ["integer", "integer", "string"]
    draft_7 = json.loads(ASYNCAPI.read_text())["components"]["schemas"]["PartReceipt"]
    assert isinstance(draft_7["items"], list)
    assert "prefixItems" not in draft_7


def test_two_types_of_one_name_cannot_pass_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    import msgspec

    from contracts import schemas

    class Event(msgspec.Struct):
        other: int

    monkeypatch.setattr(schemas, "_MESSAGES", (*schemas._MESSAGES, Event))
    with pytest.raises(TypeError, match="same name"):
        message_types()
