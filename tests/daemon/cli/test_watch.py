"""`strongroom watch`: a screen on a terminal, lines in a pipe, documents for programs; it ends when it is interrupted."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
from rich.console import Console

from contracts.events import Event
from contracts.records import BackupRecord, RestoreRecord, RestoreTarget, RunKind, RunState, Trigger
from contracts.reports import Progress
from contracts.services import PostgreSQLOptions
from daemon.cli.references import RunRef
from daemon.cli.watch_picture import MOST_RUNS, WatchPicture
from daemon.cli.watch_views import screen, standing_line
from daemon.news import Trouble
from tests.daemon.cli.calling import Strongroom
from tests.daemon.cli.drawing import drawn
from tests.daemon.cli.test_status import FAILED, NOW, overview, view
from tests.faults.tools import PgTools
from tests.servers.waiting import eventually_blocking

RUN = "20261122T000512Z-k7xq"
REF = RunRef("acme", "orders", RUN)


def record(state: RunState = RunState.RUNNING) -> BackupRecord:
    return BackupRecord(
        id=RUN,
        project="acme",
        service="orders",
        kind="postgresql",
        state=state,
        trigger=Trigger.MANUAL,
        requested_at=NOW,
        node="db1",
        placement="",
        options=PostgreSQLOptions(),
        recipients=[],
        key_id="",
    )


def restore(project: str, service: str, into: str) -> RestoreRecord:
    to_project, to_service = into.split("/")
    return RestoreRecord(
        id=RUN,
        backup_id=RUN,
        project=project,
        service=service,
        kind="postgresql",
        state=RunState.RUNNING,
        requested_at=NOW,
        target=RestoreTarget(project=to_project, service=to_service, node="db1"),
        artifacts=[],
        size_bytes=1,
    )


def progress(**fields: Any) -> Progress:
    values: dict[str, Any] = {
        "run": RunKind.BACKUP,
        "project": "acme",
        "service": "orders",
        "run_id": RUN,
        "attempt": 1,
        "phase": "dumping",
        "artifact": "orders",
        "artifact_index": 1,
        "artifact_count": 2,
        "plain_bytes": 40 * 1024**2,
        "stored_bytes": 20 * 1024**2,
        "estimate_bytes": 100 * 1024**2,
        "elapsed_s": 2.0,
    }
    return Progress(**{**values, **fields})


def event(number: int = 0, **fields: Any) -> Event:
    at = datetime(2026, 11, 22, 0, number, tzinfo=UTC)
    return Event(**{"id": str(number), "type": "backup.started", "at": at, "project": "acme", "service": "orders", **fields})


def running() -> WatchPicture:
    picture = WatchPicture()
    picture.take_overview(overview(view("acme/orders", FAILED, active=RUN), good=2, running=1), None)
    picture.begin(REF, RunKind.BACKUP, 0.0)
    picture.take_news(REF, record(), 1.0)
    picture.take_news(REF, progress(), 2.0)
    return picture


def seen(picture: WatchPicture, *, width: int = 100, height: int = 24) -> list[str]:
    def draw(console: Console) -> None:
        console.height = height
        console.print(screen(picture, console, 3.0))

    return drawn(draw, width=width, terminal=True).splitlines()


def test_a_screen_says_how_all_stands_what_runs_and_what_happened() -> None:
    picture = running()
    picture.take_event(event(1))
    picture.take_event(event(2, type="backup.completed"))
    lines = seen(picture, width=140)
    text = "\n".join(lines)
    assert "✗ 1 of 3 services is not safe: acme/orders." in lines[1]
    assert "the disk is full" in lines[2]
    assert "Running: 1 run" in text
    assert f"acme/orders on db1  {RUN}" in text
    assert "40% dumping orders (1 of 2) · 40.0 MiB of about 100 MiB · 20.0 MiB stored" in text
    assert text.index("backup.completed") < text.index("backup.started"), "the newest event stands first"


def test_a_screen_never_outgrows_its_terminal() -> None:
    picture = running()
    for number in range(50):
        picture.take_event(event(number, reason="for a reason that is much longer than any terminal is wide " * 3))
        ref = RunRef("acme", f"s{number}", RUN)
        picture.begin(ref, RunKind.BACKUP, 0.0)
        picture.take_news(ref, progress(artifact="x" * 300), 2.0)
    for width, height in ((80, 24), (120, 50), (60, 12)):
        lines = seen(picture, width=width, height=height)
        assert len(lines) <= height
        assert max(len(line) for line in lines) <= width
        assert any("Running: " in line for line in lines)


def test_what_is_said_of_runs_and_events_moves_no_cursor() -> None:
    picture = running()
    picture.take_news(REF, progress(artifact="\x1b[2Jevil"), 2.5)
    picture.take_event(event(1, reason="\x9b31m"))
    text = "\n".join(seen(picture, width=200))
    assert "\\x1b[2Jevil" in text
    assert "\\x9b31m" in text


def test_trouble_is_told_and_forgotten_with_the_next_answer() -> None:
    picture = running()
    picture.take_news(REF, Trouble("the coordinator did not answer: it may have done it"), 3.0)
    assert "the coordinator did not answer; still trying" in "\n".join(seen(picture))
    picture.take_news(REF, record(), 4.0)
    assert "still trying" not in "\n".join(seen(picture))


def test_a_run_is_followed_once_and_until_it_ends() -> None:
    picture = WatchPicture()
    active = view("acme/orders", active=RUN)
    picture.take_overview(msgspec.structs.replace(overview(good=1, running=1), under_way=[active]), None)
    assert picture.to_follow([]) == [(REF, RunKind.BACKUP)]
    picture.begin(REF, RunKind.BACKUP, 0.0)
    assert picture.to_follow([]) == []
    picture.end(REF)
    picture.take_news(REF, record(), 1.0)  # what was still on its way
    assert picture.runs == {}


def test_more_runs_than_can_be_followed_are_counted_all_the_same() -> None:
    picture = WatchPicture()
    many = [view(f"acme/s{number}", active=RUN) for number in range(30)]
    picture.take_overview(msgspec.structs.replace(overview(good=30, running=30), under_way=many), None)
    for ref, kind in picture.to_follow([]):
        picture.begin(ref, kind, 0.0)
    assert len(picture.runs) == MOST_RUNS
    assert picture.running == 30
    assert picture.to_follow([]) == []


def test_restores_are_followed_that_read_from_or_go_to_what_is_watched() -> None:
    picture = WatchPicture("acme", "orders")
    picture.take_overview(overview(good=1), view("acme/orders"))
    restores = [
        restore("acme", "orders", "acme/staging"),
        restore("other", "shop", "acme/orders"),
        restore("other", "shop", "other/shop"),
    ]
    assert [(ref.project, ref.service) for ref, _ in picture.to_follow(restores)] == [("acme", "orders"), ("other", "shop")]


def test_one_service_is_told_of_by_its_own_causes() -> None:
    picture = WatchPicture("acme", "orders")
    assert "Asking about acme/orders" in standing_line(picture).plain
    picture.take_overview(overview(view("acme/other", FAILED)), view("acme/orders"))
    assert standing_line(picture).plain == "✓ acme/orders: all is well"
    picture.take_overview(overview(good=1), view("acme/orders", FAILED))
    assert standing_line(picture).plain == f"✗ acme/orders: {FAILED.message}"


def test_in_a_pipe_it_is_lines_until_an_interruption(
    strongroom: Strongroom, service: str, project: str, tools: PgTools
) -> None:
    tools.halt_half_way()
    with strongroom.started("watch", service) as watching:
        eventually_blocking(lambda: "there is no backup of it yet" in watching.out, 20)
        name = strongroom("backup", "create", service, "--no-wait").ok().out.strip()
        eventually_blocking(lambda: f"backup {name}: dumping" in watching.out, 30)
        tools.go.touch()
        eventually_blocking(lambda: "all is well" in watching.out, 30)
        watching.interrupt()
        ended = watching.wait().failed(130)
    assert ended.err == ""
    assert "\x1b" not in ended.out
    assert "backup.completed" in ended.out
    assert project in ended.out


def test_programs_are_given_a_document_a_line(strongroom: Strongroom, service: str, project: str) -> None:
    with strongroom.started("watch", project, "--output", "ndjson") as watching:
        eventually_blocking(lambda: '"overview"' in watching.out, 20)
        strongroom("backup", "create", service).ok()
        eventually_blocking(lambda: "backup.completed" in watching.out, 20)
        watching.interrupt()
        ended = watching.wait().failed(130)
    assert ended.err == ""
    documents = [json.loads(line) for line in ended.out.splitlines()]
    assert all(len(document) == 1 for document in documents)
    assert {"overview", "event"} <= {next(iter(document)) for document in documents}


def test_on_a_terminal_it_leaves_everything_as_it_was(strongroom: Strongroom, project: str) -> None:
    ended = strongroom.interrupted_on_terminal("watch", project, when="Ctrl-C ends this")
    assert ended.status == 130
    assert "Nothing is protected yet" in ended.words
    assert "Traceback" not in ended.out
    assert ended.out.index("\x1b[?1049h") < ended.out.rindex("\x1b[?1049l"), "the screen before is back"
    assert ended.out.rindex("\x1b[?25h") > ended.out.rindex("\x1b[?25l"), "the cursor is back"


def test_what_is_not_there_is_told_before_a_screen_is_opened(strongroom: Strongroom, project: str) -> None:
    ended = strongroom.on_terminal("watch", "nowhere").failed(3)
    assert "\x1b[?1049h" not in ended.out
    strongroom("watch", f"{project}/nothing", "--json").failed(3, "service.not_found")
