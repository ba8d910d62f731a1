"""`strongroom status` answers "are we safe?" in one sentence, with the exit status of a monitoring plugin."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contracts.control import Coming, Overview, ProjectOverview, ServiceView, Status
from contracts.errors import ErrorInfo
from contracts.policy.quota_plan import QuotaPlan
from contracts.records import Deletion, RunState, RunSummary, ServiceRecord
from contracts.services import PostgreSQLOptions
from contracts.standing import Cause, CauseCode, Level, Standing
from daemon.cli.standing_views import next_step
from daemon.cli.status_report import concerns, level_of, report_of, sentence
from daemon.cli.status_views import draw_status
from tests.daemon.cli.calling import Strongroom, Zygote
from tests.daemon.cli.conftest import write_operator_config
from tests.daemon.cli.drawing import drawn
from tests.servers.nats import NatsServer

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
STATUS = Status(version="1.2.3", server={"nats_server": "2.15.1", "bucket": "vault"})
RUN = "20261122T000512Z-k7xq"
FAILED = Cause(code=CauseCode.FAILED, level=Level.PROBLEM, message="the run of 00:05 failed: the disk is full")
NO_AGENT = Cause(
    code=CauseCode.NO_AGENT, level=Level.PROBLEM, message="no agent of it is alive: start strongroom-agent on db1"
)
NEW = Cause(code=CauseCode.NO_BACKUP, level=Level.WARNING, message="there is no backup of it yet")


def view(name: str, *causes: Cause, **fields: Any) -> ServiceView:
    project, service = name.split("/")
    record = ServiceRecord(project=project, name=service, created_at=NOW, options=PostgreSQLOptions(), nodes=["db1", "db2"])
    level = causes[0].level if causes else Level.GOOD
    last = RunSummary(id=RUN, state=RunState.FAILED, requested_at=NOW, error=ErrorInfo(code="dump.failed", message="no"))
    standing = Standing(level=level, causes=list(causes))
    return ServiceView(
        record=record, kind="postgresql", **{"last_completed": None, "last_run": last, "standing": standing, **fields}
    )


def project(name: str = "acme", *, stored: int = 0, deletion: Deletion | None = None) -> ProjectOverview:
    levels = dict.fromkeys(Level, 0)
    return ProjectOverview(
        project=name,
        plan=QuotaPlan.CUSTOM,
        quota_bytes=1_000,
        stored_bytes=stored,
        reserved_bytes=0,
        services=0,
        levels=levels,
        running=0,
        deletion=deletion,
    )


def overview(*attention: ServiceView, good: int = 0, off: int = 0, **fields: Any) -> Overview:
    levels = {level: sum(each.standing.level is level for each in attention) for level in Level}
    levels[Level.GOOD] += good
    levels[Level.OFF] += off
    values: dict[str, Any] = {
        "at": NOW,
        "projects": [project()],
        "services": sum(levels.values()),
        "levels": levels,
        "attention": list(attention),
        "running": 0,
        "next": [],
        "oldest": Coming(project="acme", service="orders", at=NOW - timedelta(hours=9)) if good else None,
        "nodes": 2,
        "silent_nodes": [],
        **fields,
    }
    return Overview(**values)


def shown(found: Overview, width: int = 100) -> list[str]:
    report = report_of(found, STATUS)
    return drawn(lambda console: draw_status(console, report, 0.012), width=width, terminal=True).splitlines()


@pytest.mark.parametrize(
    ("found", "status", "words"),
    [
        (
            overview(good=128),
            0,
            "All 128 services are safe; the newest backup of each is at most 9 h old (acme/orders).",
        ),
        (overview(good=1), 0, "The only service is safe; the newest backup of each is at most 9 h old (acme/orders)."),
        (overview(view("acme/new", NEW), good=3), 1, "No service is in trouble, but 1 has no backup yet."),
        (overview(good=2, silent_nodes=["db2"], silent=1), 1, "No service is in trouble, but 1 node is silent."),
        (overview(good=2, projects=[project(stored=960)]), 1, "but the quota of 1 project is nearly used up."),
        (overview(view("acme/orders", FAILED)), 2, "The only service is not safe: acme/orders."),
        (
            overview(*(view(f"acme/s{number}", FAILED) for number in range(5)), good=4, off=7),
            2,
            "5 of 9 services are not safe: acme/s0, acme/s1, acme/s2 and 2 more.",
        ),
        (overview(), 1, "Nothing is protected yet: there are no services."),
        (overview(off=3), 1, "Nothing is backed up by itself: all 3 services are switched off or deleted."),
    ],
)
def test_one_sentence_and_one_exit_status_say_it(found: Overview, status: int, words: str) -> None:
    report = report_of(found, STATUS)
    assert report.exit_status == status
    assert words in report.summary
    assert report.level is level_of(found)
    assert shown(found, width=4000)[0].endswith(report.summary)


def test_the_sentence_names_the_project_that_was_asked_about() -> None:
    assert sentence(overview(good=2), "acme").startswith("All 2 services of project acme are safe")
    assert "The only service of project acme is not safe" in sentence(overview(view("acme/orders", FAILED)), "acme")


def test_a_quota_is_only_told_of_when_hardly_anything_is_left_of_it() -> None:
    assert level_of(overview(good=1, projects=[project(stored=940)])) is Level.GOOD
    gone = project(stored=999, deletion=Deletion(at=NOW, purge_at=NOW))
    assert level_of(overview(good=1, projects=[gone])) is Level.GOOD


def test_problems_come_first_each_with_what_to_do() -> None:
    lines = shown(overview(view("acme/orders", FAILED), view("acme/new", NEW), good=2, silent_nodes=["db9"], silent=1))
    text = "\n".join(lines)
    assert lines[1] == "  ✗ acme/orders"
    assert lines[2] == "    the run of 00:05 failed: the disk is full"
    assert lines[3] == f"    → `strongroom backup show acme/orders/{RUN}` has the tool's own words"
    assert text.index("acme/orders") < text.index("acme/new") < text.index("node db9") < text.index("services  ")
    assert "→ `strongroom backup create acme/new` makes the first one now" in text


def test_services_in_the_very_same_trouble_are_told_of_together() -> None:
    alike = [view(f"acme/s{number}", NO_AGENT) for number in range(5)]
    found, left_out = concerns(overview(*alike, view("acme/orders", FAILED)), 8)
    assert [concern.names for concern in found] == [["acme/s0", "acme/s1", "acme/s2", "2 more"], ["acme/orders"]]
    assert left_out == 0


def test_of_many_problems_a_screenful_is_shown_and_where_the_others_are() -> None:
    many = [
        view(f"acme/s{number:02}", Cause(code=CauseCode.FAILED, level=Level.PROBLEM, message=f"reason {number}"))
        for number in range(40)
    ]
    lines = shown(overview(*many))
    assert len(lines) < 40
    assert any("and 32 more services: `strongroom service list --worst-first`" in line for line in lines)


def test_nobody_is_sent_to_back_up_what_no_agent_reaches() -> None:
    broken = view("acme/orders", NO_AGENT, NEW)
    steps = [next_step(broken, cause) for cause in broken.standing.causes]
    assert steps == ["on db1 or db2: `strongroom-agent run --config FILE`", ""]


@pytest.mark.parametrize("code", [code for code in CauseCode if code not in (CauseCode.UNSCHEDULED, CauseCode.DELETED)])
def test_every_kind_of_trouble_has_a_next_step(code: CauseCode) -> None:
    message = "no agent knows how: `strongroom-agent service add`" if code is CauseCode.NOT_CONFIGURED else "words"
    cause = Cause(code=code, level=Level.PROBLEM, message=message)
    assert next_step(view("acme/orders", cause), cause) or "`" in message


def test_figures_follow_the_problems() -> None:
    text = "\n".join(
        shown(
            overview(
                good=3,
                running=2,
                next=[Coming(project="acme", service="orders", at=NOW + timedelta(minutes=3))],
                projects=[project(stored=600), project("gone", deletion=Deletion(at=NOW, purge_at=NOW + timedelta(days=6)))],
            )
        )
    )
    for words in (
        "3 in 2 projects: 3 good",
        "2 backups; `strongroom watch` shows them",
        "acme/orders in 3 min",
        "the fullest project is acme, 60 % of ",
        "2 of 2 alive",
        "project gone (gone for good in 6 d)",
        "1.2.3, answered in 12 ms; nats server 2.15.1, bucket vault",
    ):
        assert words in text, words


def test_names_and_reasons_from_elsewhere_move_no_cursor() -> None:
    cause = Cause(code=CauseCode.ENGINE, level=Level.PROBLEM, message="refused\x1b[2J\x9b31m")
    assert "refused\\x1b[2J\\x9b31m" in "\n".join(shown(overview(view("acme/orders", cause))))


def test_the_exit_status_is_that_of_a_monitoring_plugin(strongroom: Strongroom, project: str, service: str) -> None:
    empty = strongroom("status", "--project", project).failed(1)
    assert "1 has no backup yet" in empty.out.splitlines()[0]
    strongroom("backup", "create", service).ok()
    safe = strongroom("status", "--project", project).ok()
    assert safe.out.startswith(f"✓ The only service of project {project} is safe")
    strongroom("service", "set-schedule", service, "off").ok()
    assert "switched off" in strongroom("status", "--project", project).failed(1).out


def test_a_problem_ends_with_2_and_programs_are_given_all_of_it(strongroom: Strongroom, project: str, node: str) -> None:
    strongroom("service", "add", f"{project}/orders", "--kind", "postgresql", "--node", node).ok()
    ended = strongroom("status", "--project", project, "--output", "json").failed(2)
    document = ended.document
    assert ended.err == ""
    assert (document["level"], document["exit_status"]) == ("problem", 2)
    assert document["summary"] == f"The only service of project {project} is not safe: {project}/orders."
    assert document["overview"]["attention"][0]["standing"]["causes"][0]["code"] == "no_agent"
    assert document["coordinator"]["version"]
    told = strongroom("status", "--project", project).failed(2).out
    assert f"✗ {project}/orders" in told
    assert f"on {node}: `strongroom-agent run --config FILE`" in told


def test_whatever_goes_wrong_with_the_question_ends_with_3(
    strongroom: Strongroom, zygote: Zygote, nats_server: NatsServer
) -> None:
    config = write_operator_config(strongroom.home / "alone.toml", nats_server)
    alone = Strongroom(zygote, strongroom.home, config)
    assert "no coordinator is running" in alone("status").failed(3, "bus.unavailable").err
    alone("status", "--json").failed(3, "bus.unavailable")
    strongroom("status", STRONGROOM_NATS_URL="nats://127.0.0.1:1").failed(3, "bus.unavailable")
    strongroom("status", "--project", "nowhere").failed(3, "project.not_found")
    strongroom("status", "--nonsense").failed(3)
    strongroom("status", "extra", "--json").failed(3, "input.invalid")
