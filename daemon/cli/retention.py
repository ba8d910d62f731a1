"""`strongroom retention`: what a policy keeps, tried out before it is trusted."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from contracts import control
from contracts.errors import InvalidInput
from contracts.ids import parse_service_ref
from contracts.policy.documents import parse_moment, read_history
from contracts.policy.retention import BackupClass, RetentionPlan, Verdict, plan
from contracts.policy.schedule_text import parse_schedule
from contracts.policy.simulation import Circumstances, simulate
from contracts.wire import encode, utc_now
from daemon.cli.command import Call, command
from daemon.cli.help_pages import Index
from daemon.cli.policy_files import read_file, read_policy_file
from daemon.cli.retention_views import draw_plan, draw_simulation, draw_view
from daemon.cli.sizes import parse_size
from daemon.cli.terminal import write

PolicyOption = Annotated[
    Path | None,
    typer.Option("--policy", metavar="FILE", help="JSON or TOML; the default policy without it.", show_default=False),
]


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """One backup as `--json` tells of it."""

    id: str
    at: datetime
    backup_class: BackupClass = msgspec.field(name="class")
    tags: Sequence[str]
    reason: str


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """What `--json` prints, on one line."""

    kept: list[Judged]
    """Newest first."""
    expired: list[Judged]
    """Oldest first, as they are deleted."""
    untouched: list[Judged]
    """Runs that the rule does not look at: not completed, or of the future."""
    frozen: str | None
    """Why nothing expires at this moment although it might."""


retention = typer.Typer(cls=Index, no_args_is_help=True, help="What is kept of the backups, and why.")


def add_to(app: typer.Typer) -> None:
    app.add_typer(retention, name="retention", rich_help_panel="Look")


@command(
    retention,
    "simulate",
    operator=False,
    examples=[
        ("strongroom retention simulate --schedule '30 0 * * *' --days 400", "the default policy, one run a day"),
        (
            "strongroom retention simulate --schedule '0 */6 * * *' --days 90 --policy policy.toml --size 20GB --growth 0.5",
            "a policy of your own, a database that grows",
        ),
        (
            "strongroom retention simulate --schedule 'weekly sunday 03:00' --days 365 --manual-every 30 --failures 5",
            "manual backups between, and runs that fail",
        ),
    ],
)
async def simulate_(
    call: Call,
    schedule: Annotated[
        str,
        typer.Option(
            "--schedule",
            metavar="CRON",
            help="Five cron fields, or `daily HH:MM`, `weekly DAY HH:MM`, `monthly 1-31 HH:MM`; all UTC.",
        ),
    ],
    days: Annotated[int, typer.Option("--days", metavar="N", min=1, max=36_525, help="How long.")],
    policy: PolicyOption = None,
    # Fixed, so that a command line means the same whenever it runs; weeks and months begin alike there.
    start: Annotated[str, typer.Option("--start", metavar="TIME", help="From when on.")] = "2024-01-01",
    backup_size: Annotated[str, typer.Option("--size", metavar="SIZE", help="Of a backup, such as 500MB, 20GiB.")] = "1GB",
    growth: Annotated[
        float, typer.Option("--growth", metavar="PERCENT", min=-100, max=1000, help="Of that size, added per day.")
    ] = 0.0,
    spread: Annotated[
        float, typer.Option("--spread", metavar="PERCENT", min=0, max=100, help="How far sizes are from that, at random.")
    ] = 0.0,
    failures: Annotated[
        float, typer.Option("--failures", metavar="PERCENT", min=0, max=100, help="How many automatic runs fail, at random.")
    ] = 0.0,
    manual_every: Annotated[
        int | None,
        typer.Option("--manual-every", metavar="DAYS", min=1, help="A manual backup as often.", show_default=False),
    ] = None,
    manual_tag: Annotated[
        list[str] | None,
        typer.Option("--manual-tag", metavar="TAG", help="Of manual backups. May be repeated.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Of all that is random: the same gives the same.")] = 0,
) -> None:
    """Play a schedule and a policy over a stretch of time; needs no server.

    Shows what is made, deleted and kept day by day, and why what is left at the end is kept."""
    # Imported late: a help page should not wait for the cron parser.
    from daemon.schedules import due_between

    parsed, rules = parse_schedule(schedule), read_policy_file(policy)
    given = Circumstances(
        start=_moment(start, "start"),
        days=days,
        size_bytes=parse_size(backup_size),
        growth_percent=growth,
        spread_percent=spread,
        failure_percent=failures,
        manual_every_days=manual_every,
        manual_tags=manual_tag or [],
        seed=seed,
    )
    played = simulate(due_between(parsed, given.start - timedelta(microseconds=1), given.end), rules, given)
    if call.terminal.as_json:
        _print_json(played.final, played.expired)
    else:
        draw_simulation(call.terminal.out, played)


@command(
    retention,
    "plan",
    examples=[
        ("strongroom retention plan acme/orders", "why each backup of a service is kept, or goes"),
        ("strongroom retention plan --history backups.json", "what the default policy would delete, without a server"),
        (
            "strongroom retention plan --history backups.json --policy policy.toml --now 2026-11-22T00:30Z --json",
            "another policy at another time, for a program",
        ),
    ],
)
async def plan_(
    call: Call,
    service: Annotated[
        str, typer.Argument(metavar="SERVICE", help="PROJECT/SERVICE, or --history FILE.", show_default=False)
    ] = "",
    history: Annotated[
        Path | None,
        typer.Option(
            "--history",
            metavar="FILE",
            help="JSON list of backups, each with id, at, size_bytes, tags and automatic; `-` for standard input.",
            show_default=False,
        ),
    ] = None,
    policy: PolicyOption = None,
    now: Annotated[
        str, typer.Option("--now", metavar="TIME", help="Judge a history as at this time.", show_default=False)
    ] = "",
) -> None:
    """Say of each backup of a service, or in a file, whether the policy keeps it, and why.

    With --history no server is needed.  A run there with a "state" other than completed is never deleted, but one that was
    due and failed or was missed stops all deletion."""
    if history is None:
        await _plan_service(call, service, policy, now)
        return
    if service:
        raise InvalidInput("input.invalid", "either a service or --history is judged, not both", field="history")
    moment = _moment(now, "now") if now else utc_now()
    rules = read_policy_file(policy)
    planned = plan(read_history(read_file(history, "history"), str(history)), rules, moment)
    if call.terminal.as_json:
        _print_json(planned, planned.expired)
    else:
        draw_plan(call.terminal.out, planned)


async def _plan_service(call: Call, service: str, policy: Path | None, now: str) -> None:
    if not service:
        raise InvalidInput("input.invalid", "name a service, or a file with --history", field="service")
    project, name = parse_service_ref(service)
    if policy is not None:
        raise InvalidInput(
            "input.invalid",
            "--policy judges a --history; `strongroom service set-retention SERVICE --policy FILE --dry-run` tries one on a "
            "service",
            field="policy",
        )
    if now:
        raise InvalidInput("input.invalid", "--now judges a --history; a service is judged as it is now", field="now")
    async with call.connect() as client:
        view = await client.ask(control.RETENTION_PLAN, control.ServiceRef(project=project, service=name))

    def draw(console: Console) -> None:
        if view.verdicts:
            draw_view(console, view)
        else:
            call.terminal.say("There are no backups yet.")

    call.terminal.result(view, draw)


def _moment(text: str, field: str) -> datetime:
    try:
        return parse_moment(text)
    except ValueError as exc:
        raise InvalidInput("input.invalid", f"{field} {exc}", field=field) from None


def _print_json(planned: RetentionPlan, expired: Iterable[Verdict]) -> None:
    """On one line even where a person looks at it: the documented form."""
    judgement = Judgement(
        kept=[_judged(verdict) for verdict in planned.kept],
        expired=[_judged(verdict) for verdict in expired],
        untouched=[_judged(verdict) for verdict in planned.untouched],
        frozen=planned.freeze.reason if planned.freeze else None,
    )
    write(sys.stdout, encode(judgement).decode())


def _judged(verdict: Verdict) -> Judged:
    run = verdict.run
    return Judged(id=run.id, at=run.at, backup_class=verdict.backup_class, tags=run.tags, reason=verdict.reason)
