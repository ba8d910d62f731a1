"""`strongroom retention`: what a policy keeps, tried out before it is trusted."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console
from rich.text import Text

from contracts.errors import InvalidInput
from contracts.policy.documents import parse_moment, read_history, read_policy
from contracts.policy.retention import BackupClass, Decision, RetentionPlan, RetentionPolicy, Verdict, plan
from contracts.policy.schedule_text import parse_schedule
from contracts.policy.simulation import Circumstances, Simulation, simulate
from contracts.wire import encode, utc_now
from daemon.cli.command import Call, command
from daemon.cli.figures import count, size, stamp
from daemon.cli.help_pages import Index
from daemon.cli.tables import Cell, Column, print_table
from daemon.cli.terminal import write

_SIZE: Final = re.compile(r"([0-9]{1,19}(?:\.[0-9]{1,9})?) ?(?:([kmgt]?)(i?)b)?", re.IGNORECASE)
_POWERS: Final = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_STYLES: Final = {Decision.KEEP: "good", Decision.EXPIRE: "odd", Decision.UNTOUCHED: "quiet"}
_LETTERS: Final = {
    BackupClass.PROTECTED: "P",
    BackupClass.MONTHLY: "M",
    BackupClass.WEEKLY: "W",
    BackupClass.DAILY: "D",
    BackupClass.NONE: "n",
}

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

    parsed, rules = parse_schedule(schedule), _policy(policy)
    given = Circumstances(
        start=_moment(start, "start"),
        days=days,
        size_bytes=_parse_size(backup_size),
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
        _draw_simulation(call.terminal.out, played)


@command(
    retention,
    "plan",
    operator=False,
    examples=[
        ("strongroom retention plan --history backups.json", "what the default policy would delete now"),
        (
            "strongroom retention plan --history backups.json --policy policy.toml --now 2026-11-22T00:30Z --json",
            "another policy at another time, for a program",
        ),
    ],
)
async def plan_(
    call: Call,
    history: Annotated[
        Path,
        typer.Option(
            "--history",
            metavar="FILE",
            help="JSON list of backups, each with id, at, size_bytes, tags and automatic; `-` for standard input.",
        ),
    ],
    policy: PolicyOption = None,
    now: Annotated[str, typer.Option("--now", metavar="TIME", help="Judge as at this time.", show_default=False)] = "",
) -> None:
    """Say of each backup in a file whether a policy keeps it, and why; needs no server.

    A run with a "state" other than completed is never deleted, but one that was due and failed or was missed stops all
    deletion."""
    moment = _moment(now, "now") if now else utc_now()
    rules = _policy(policy)
    planned = plan(read_history(_read(history, "history"), str(history)), rules, moment)
    if call.terminal.as_json:
        _print_json(planned, planned.expired)
    else:
        _draw_plan(call.terminal.out, planned)


def _policy(path: Path | None) -> RetentionPolicy:
    return read_policy(_read(path, "policy"), str(path)) if path else RetentionPolicy()


def _read(path: Path, field: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if path == Path("-") else path.read_bytes()
    except OSError as exc:
        raise InvalidInput("input.invalid", f"{path}: cannot be read: {exc.strerror}", field=field) from exc


def _moment(text: str, field: str) -> datetime:
    try:
        return parse_moment(text)
    except ValueError as exc:
        raise InvalidInput("input.invalid", f"{field} {exc}", field=field) from None


def _parse_size(text: str) -> int:
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise InvalidInput(
            "input.invalid", f"size {text[:60]!r} is not a size such as 500MB, 20GiB or 1048576", field="size"
        )
    base = 1024 if match[3] else 1000
    factor: int = base ** _POWERS[(match[2] or "").lower()]
    return round(float(match[1]) * factor)


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


def _draw_plan(console: Console, planned: RetentionPlan) -> None:
    _draw_verdicts(console, planned.verdicts)
    _draw_sums(console, planned, planned.expired)


def _draw_simulation(console: Console, played: Simulation) -> None:
    columns = [Column(title, align="right") for title in ("MADE", "FAILED", "EXPIRED", "KEPT", "STORED")]
    rows: list[list[Cell]] = [
        [
            f"{day.day:%Y-%m-%d %a}",
            *(str(len(ids)) if ids else "" for ids in (day.made, day.failed, day.expired)),
            str(day.kept_count),
            size(day.kept_bytes),
            f"frozen: {day.freeze.reason}" if day.freeze else "",
        ]
        for day in played.days
    ]
    print_table(console, [Column("DAY (UTC)"), *columns, Column("NOTE", rank=1, fold=True)], rows)
    console.print()
    _draw_calendar(console, played)
    console.print()
    _draw_verdicts(console, played.final.verdicts)
    _draw_sums(console, played.final, played.expired)


def _draw_calendar(console: Console, played: Simulation) -> None:
    """One line a month, one letter a day: the highest class of what is left of it."""
    order = list(_LETTERS)
    left: dict[date, BackupClass] = {}
    for verdict in played.final.kept:
        day = verdict.run.at.astimezone(UTC).date()
        left[day] = min(left.get(day, BackupClass.NONE), verdict.backup_class, key=order.index)
    lines: dict[str, list[str]] = {}
    for simulated in played.days:
        nothing = "." if simulated.made else "x" if simulated.failed else "-"
        letter = _LETTERS[left[simulated.day]] if simulated.day in left else nothing
        month = lines.setdefault(f"{simulated.day:%Y-%m}", [" "] * (simulated.day.day - 1))
        month.append(letter)
    console.print(Text(f"KEPT OF    {''.join(str(day % 10) for day in range(1, 32))}", style="quiet"))
    for name, letters in lines.items():
        console.print(Text(f"{name}    {''.join(letters)}"))
    legend = "P protected, M monthly, W weekly, D daily, n manual, . made and expired, x failed, - nothing due"
    console.print(Text(legend, style="quiet"))


def _draw_verdicts(console: Console, verdicts: Sequence[Verdict]) -> None:
    rows: list[list[Cell]] = [
        [
            stamp(verdict.run.at),
            verdict.run.id,
            verdict.backup_class,
            " ".join(verdict.run.tags),
            size(verdict.run.size_bytes),
            Text(verdict.decision, style=_STYLES[verdict.decision]),
            verdict.reason,
        ]
        for verdict in verdicts
    ]
    columns = [Column("AT (UTC)"), Column("BACKUP", rank=3), Column("CLASS"), Column("TAGS", rank=4, fold=True)]
    columns += [Column("SIZE", rank=2, align="right"), Column("VERDICT"), Column("REASON", rank=1, fold=True)]
    print_table(console, columns, rows)


def _draw_sums(console: Console, planned: RetentionPlan, expired: Sequence[Verdict]) -> None:
    kept = planned.kept
    console.print()
    if planned.freeze:
        console.print(Text.assemble(("Frozen", "bad"), f": nothing expires, because {planned.freeze.reason}."))
    by_class = Counter(verdict.backup_class for verdict in kept)
    parts = ", ".join(f"{by_class[each]} {each}" for each in BackupClass if by_class[each])
    total = size(sum(verdict.run.size_bytes for verdict in kept))
    line = f"{count(len(kept), 'backup')} kept, {total}{': ' if parts else ''}{parts}; {len(expired)} expired"
    console.print(Text(f"{line}." if not planned.untouched else f"{line}; {len(planned.untouched)} not looked at."))
