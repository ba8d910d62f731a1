"""`strongroom logs`: what agents logged, of a run, a service, a project, or everything, and what they log from now on."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from contracts.records import RunKind
from contracts.reports import LogLine
from daemon.cli.log_views import draw_line
from daemon.cli.logs import LogLevel
from tests.daemon.cli.calling import Strongroom
from tests.daemon.cli.drawing import drawn
from tests.faults.tools import PgTools
from tests.servers.waiting import eventually_blocking

RUN = "20261122T000512Z-k7xq"


def line(event: str = "artifact.uploaded", *, level: str = "info", attempt: int = 1, **fields: Any) -> str:
    logged = LogLine(
        run=RunKind.BACKUP,
        project="acme",
        service="orders",
        run_id=RUN,
        attempt=attempt,
        at=datetime(2026, 11, 22, 0, 5, 12, tzinfo=UTC),
        level=level,
        event=event,
        fields=fields,
    )
    return drawn(lambda console: draw_line(console, logged, with_run=False), width=4000)


def logged_of(strongroom: Strongroom, *argv: str) -> list[dict[str, Any]]:
    out = strongroom("logs", *argv, "--output", "ndjson").ok().out
    return [json.loads(each) for each in out.splitlines()]


def test_the_lines_of_a_run_are_all_told_of_by_its_name_or_as_the_latest(strongroom: Strongroom, service: str) -> None:
    first = strongroom.json("backup", "create", service)["id"]
    second = strongroom.json("backup", "create", service)["id"]

    def are_there() -> bool:
        """They reach the stream beside the report that ends a run."""
        return {each["run_id"] for each in logged_of(strongroom, service)} == {first, second}

    eventually_blocking(are_there, 20)
    events = [each["event"] for each in logged_of(strongroom, f"{service}/{first}")]
    assert "backup.planned" in events
    assert "artifact.uploaded" in events
    latest = strongroom("logs", f"{service}/latest").ok().out
    assert "artifact.uploaded" in latest
    assert second not in latest
    whole = strongroom("logs", service.partition("/")[0]).ok().out
    assert f"{service}/{first}" in whole
    assert f"{service}/{second}" in whole
    assert len(logged_of(strongroom, service, "--limit", "2")) == 2
    assert logged_of(strongroom, service, "--since", "1h") == logged_of(strongroom, service)


def test_a_run_is_followed_until_it_ends(strongroom: Strongroom, service: str, tools: PgTools) -> None:
    tools.halt_half_way()
    name = strongroom("backup", "create", service, "--no-wait").ok().out.strip()
    with strongroom.started("logs", "-f", name) as following:
        eventually_blocking(lambda: "backup.planned" in following.out, 20)
        assert not following.is_over
        tools.go.touch()
        ended = following.wait().ok()
    assert "artifact.uploaded" in ended.out


def test_a_service_is_followed_until_somebody_interrupts(strongroom: Strongroom, service: str) -> None:
    with strongroom.started("logs", "-f", service, "--json") as following:
        strongroom("backup", "create", service).ok()
        eventually_blocking(lambda: "artifact.uploaded" in following.out, 20)
        following.interrupt()
        ended = following.wait().failed(130)
    assert ended.err == ""
    assert all(json.loads(each)["service"] == "orders" for each in ended.out.splitlines())


def test_what_failed_is_found_by_its_level(strongroom: Strongroom, service: str, tools: PgTools) -> None:
    tools.fail_half_way()
    strongroom("backup", "create", service).failed(5)

    def is_there() -> bool:
        return bool(logged_of(strongroom, service, "--level", "warning"))

    eventually_blocking(is_there, 20)
    assert {each["level"] for each in logged_of(strongroom, service, "--level", "warning")} <= {"warning", "error"}


def test_where_nothing_was_logged_it_says_so_and_a_run_that_is_not_there_is_not_found(
    strongroom: Strongroom, project: str, service: str
) -> None:
    ended = strongroom("logs", service).ok()
    assert ended.out == ""
    assert "Nothing was logged there" in ended.err
    strongroom("logs", f"{service}/{RUN}").failed(3, "backup.not_found")
    strongroom("logs", f"{service}/latest").failed(3, "backup.not_found")
    strongroom("logs", f"{project}/nothing/latest").failed(3, "service.not_found")


@pytest.mark.parametrize(
    ("argv", "field"),
    [
        (("a/b/c/d",), "service"),
        (("acme/orders/nonsense",), "run"),
        (("--since", "yesterday"), "since"),
        (("--since", "1h", "--limit", "5"), "limit"),
        (("--level", "loud"), "level"),
    ],
)
def test_what_makes_no_sense_is_named(strongroom: Strongroom, argv: tuple[str, ...], field: str) -> None:
    assert strongroom("logs", *argv, "--json").failed(2).error["field"] == field


def test_a_line_has_its_facts_behind_it() -> None:
    shown = line(artifact="orders", parts=3, note="two words", empty="", nothing=None, ratio=0.5)
    assert shown == (
        '2026-11-22 00:05:12  info     artifact.uploaded  artifact=orders  parts=3  note="two words"  ratio=0.5\n'
    )
    assert "attempt=2" in line(attempt=2)


def test_what_has_lines_of_its_own_follows_indented_and_obeyed_by_no_terminal() -> None:
    shown = line("dump.failed", level="error", stderr="first\nsecond\x1b[2J\n", reason="a\x9bb")
    assert shown.splitlines()[1:] == ["  first", "  second\\x1b[2J"]
    assert "reason=a\\x9bb" in shown


def test_levels_cover_those_above_them_and_those_that_nobody_knows() -> None:
    assert [level for level in LogLevel if LogLevel.WARNING.covers(level)] == ["warning", "error"]
    assert LogLevel.ERROR.covers("critical")
    assert all(LogLevel.DEBUG.covers(level) for level in LogLevel)
