"""`strongroom events`: what happened, and with `--audit` who asked for it."""

from __future__ import annotations

import json

import pytest

from contracts.events import EVENT_TYPES
from daemon.cli.events import chosen_types
from daemon.filters import EventFilter
from tests.daemon.cli.calling import Strongroom


def types_of(strongroom: Strongroom, *argv: str) -> list[str]:
    out = strongroom("events", *argv, "--output", "ndjson").ok().out
    return [json.loads(line)["type"] for line in out.splitlines()]


def test_who_asked_for_what_is_only_told_when_it_is_asked_for(strongroom: Strongroom, project: str, node: str) -> None:
    strongroom("service", "add", f"{project}/orders", "--kind", "postgresql", "--node", node).ok()
    strongroom("service", "set-schedule", f"{project}/orders", "off").ok()
    plain = types_of(strongroom, project)
    assert plain == ["project.created", "service.added", "service.changed"]
    audited = types_of(strongroom, project, "--audit")
    assert [each for each in audited if not each.startswith("access.")] == plain
    assert audited.count("access.called") >= 2
    assert set(types_of(strongroom, project, "--type", "access")) == {"access.called"}
    line = strongroom("events", f"{project}/orders", "--type", "access.called").ok().out.splitlines()[-1]
    for words in ("verb service.set_schedule", "via nats", "outcome done", "by "):
        assert words in line


def test_several_types_can_be_asked_for(strongroom: Strongroom, project: str, node: str) -> None:
    strongroom("service", "add", f"{project}/orders", "--kind", "postgresql", "--node", node).ok()
    assert types_of(strongroom, project, "--type", "service.added", "--type", "project") == [
        "project.created",
        "service.added",
    ]
    assert strongroom("events", "--type", "service.vanished", "--json").failed(2).error["field"] == "type"


def test_without_types_everything_but_the_audit_is_looked_for() -> None:
    nouns = {name.partition(".")[0] for name in EVENT_TYPES}
    assert set(chosen_types([], audit=False)) == nouns - {"access"}
    assert chosen_types([], audit=True) == ()
    assert chosen_types(["backup.failed"], audit=True) == ("backup.failed", "access")


@pytest.mark.parametrize("type_", EVENT_TYPES)
def test_every_type_is_told_of_somewhere(type_: str) -> None:
    found = (
        EventFilter(types=chosen_types([], audit=True)).subjects()
        + EventFilter(types=chosen_types([], audit=False)).subjects()
    )
    noun = type_.partition(".")[0]
    assert any(subject.startswith((f"strongroom.event.{noun}.", "strongroom.event.*.")) for subject in found)
