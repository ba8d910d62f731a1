"""What pages say: times, counts, the verdict, events.  No server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.control import Overview
from contracts.errors import ErrorInfo
from contracts.events import EVENT_TYPES, Event
from contracts.standing import Level
from daemon.web.event_words import GROUPS, tell
from daemon.web.filters import ago, ahead, count, moment, page_made_at, sentence, share, size
from daemon.web.verdict import verdict_on

NOW = datetime(2026, 11, 22, 0, 5, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def page() -> Iterator[None]:
    with page_made_at(NOW):
        yield


def overview(*, silent: int = 0, **levels: int) -> Overview:
    counts = {level: levels.get(str(level), 0) for level in Level}
    return Overview(
        at=NOW,
        projects=[],
        services=sum(counts.values()),
        levels=counts,
        attention=[],
        running=0,
        next=[],
        nodes=5,
        silent_nodes=[],
        silent=silent,
    )


@pytest.mark.parametrize(
    ("found", "level", "headline"),
    [
        (overview(), Level.OFF, "Nothing is backed up yet."),
        (overview(good=1), Level.GOOD, "The only service is safe."),
        (overview(good=12_000), Level.GOOD, "All 12,000 services are safe."),
        (overview(problem=1, good=4), Level.PROBLEM, "1 service is not safe."),
        (overview(problem=3, warning=2, good=4), Level.PROBLEM, "3 services are not safe."),
        (overview(warning=1, good=4), Level.WARNING, "1 service needs a look; nothing has failed."),
        (overview(good=4, silent=2), Level.WARNING, "2 nodes are silent; the services are safe."),
        (overview(off=2), Level.OFF, "No service is backed up by itself."),
    ],
)
def test_the_verdict_names_the_worst_first(found: Overview, level: Level, headline: str) -> None:
    verdict = verdict_on(found)
    assert (verdict.level, verdict.headline) == (level, headline)


@given(st.fixed_dictionaries({str(level): st.integers(0, 9) for level in Level}), st.integers(0, 3))
def test_the_verdict_is_good_only_if_every_scheduled_service_and_every_node_is(levels: dict[str, int], silent: int) -> None:
    verdict = verdict_on(overview(silent=silent, **levels))
    is_all_well = levels["good"] > 0 and not levels["problem"] and not levels["warning"] and not silent
    assert (verdict.level is Level.GOOD) == is_all_well
    if levels["problem"]:
        assert verdict.level is Level.PROBLEM


def test_times_say_how_long_ago_and_have_the_moment_in_their_title() -> None:
    assert ago(NOW - timedelta(hours=3, minutes=59)) == (
        '<time datetime="2026-11-21T20:06:12Z" title="2026-11-21 20:06:12 UTC" data-time="ago">3 h ago</time>'
    )
    assert ">in 6 h<" in ahead(NOW + timedelta(hours=6, seconds=1))
    assert ">2026-11-22 00:05 UTC<" in moment(NOW)
    assert "&ndash;" in ago(None)


def test_counts_and_sizes_read_well() -> None:
    assert [count(0, "service"), count(1, "service"), count(12_345, "entry", "entries")] == [
        "0 services",
        "1 service",
        "12,345 entries",
    ]
    assert size(1536) == "1.50 KiB"
    assert [share(1, 3), share(9, 3), share(1, 0)] == [33.33, 100.0, 0.0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("the run failed", "The run failed."),
        ("pg_dump ended with status 1", "pg_dump ended with status 1."),
        ("'x' is wrong!", "'x' is wrong!"),
        ("", ""),
    ],
)
def test_messages_become_sentences_and_names_stay_as_they_are(words: str, said: str) -> None:
    assert sentence(words) == said


@pytest.mark.parametrize("type_", EVENT_TYPES)
def test_every_event_can_be_told_and_belongs_to_one_of_the_lists(type_: str) -> None:
    told = tell(Event(id="1", type=type_, at=NOW))
    assert told.text
    assert told.tone in {"good", "problem", "warning", "busy", "off"}
    noun = type_.partition(".")[0]
    assert any(type_ in types or noun in types for _, types in GROUPS.values()), type_


@pytest.mark.parametrize(
    ("fields", "text", "link"),
    [
        (
            {"type": "backup.completed", "size_bytes": 1536, "elapsed_s": 61.0, "warnings": ["a"]},
            "1.50 KiB in 1 min 1 s, with 1 warning",
            "/projects/acme/services/orders/backups/20261122T000512Z-k7xq",
        ),
        (
            {"type": "backup.failed", "error": ErrorInfo(code="dump.failed", message="pg_dump ended with status 1")},
            "pg_dump ended with status 1",
            "/projects/acme/services/orders/backups/20261122T000512Z-k7xq",
        ),
        (
            {"type": "restore.completed", "restore_id": "20261123T000512Z-aaaa", "elapsed_s": 2.0},
            "in 2.0 s",
            "/projects/acme/services/orders/restores/20261123T000512Z-aaaa",
        ),
        ({"type": "access.called", "facts": {"verb": "node.add", "node": "db-1", "outcome": "done"}}, "node.add db-1", None),
        (
            {"type": "access.called", "facts": {"verb": "node.add", "node": "db-1", "outcome": "access.forbidden"}},
            "node.add db-1: refused with access.forbidden",
            None,
        ),
        (
            {"type": "token.created", "facts": {"id": "aaaaaaaaaa", "name": "ci", "role": "viewer"}},
            "ci, viewer, aaaaaaaaaa",
            None,
        ),
    ],
)
def test_events_are_told_with_what_matters_of_them(fields: dict[str, Any], text: str, link: str | None) -> None:
    base: dict[str, Any] = {
        "id": "1",
        "at": NOW,
        "project": "acme",
        "service": "orders",
        "backup_id": "20261122T000512Z-k7xq",
    }
    told = tell(Event(**base, **fields))
    assert told.text == text
    if link is not None:
        assert told.link == link
