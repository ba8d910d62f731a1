"""`strongroom service set-retention`: what is kept of a service, and first what that would delete."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from contracts import control
from contracts.control import RetentionView
from contracts.errors import InvalidInput
from contracts.ids import parse_service_ref
from contracts.policy.retention import Decision, Rule
from contracts.policy.retention_policy import RetentionPolicy
from daemon.cli.arguments import ServiceArgument, YesOption
from daemon.cli.backups import DELETE_S
from daemon.cli.command import Call, command
from daemon.cli.confirming import confirm
from daemon.cli.figures import count, size
from daemon.cli.policy_files import read_policy_file
from daemon.cli.policy_views import policy_lines
from daemon.cli.retention_options import (
    KeepCountOption,
    KeepSizeOption,
    MaxDailyOption,
    MaxMonthlyOption,
    MaxWeeklyOption,
    MinDailyOption,
    MinMonthlyOption,
    MinWeeklyOption,
    PerOption,
    ProtectTagOption,
    ReplacingPolicyOption,
    SuspiciousSizeOption,
    changed_policy,
)
from daemon.cli.retention_views import draw_verdicts, frozen_line


def add_to(services: typer.Typer) -> None:
    command(
        services,
        "set-retention",
        examples=[
            ("strongroom service set-retention acme/orders --keep-count 90 --dry-run", "what would that delete?"),
            ("strongroom service set-retention acme/orders --keep-size 200GB --min-monthly 12", "asks before it deletes"),
            ("strongroom service set-retention acme/orders --per day --max-daily 14", "for hourly schedules: two weeks"),
            ("strongroom service set-retention acme/orders --protect-tag keep --protect-tag audit", "other protected tags"),
            ("strongroom service set-retention acme/orders --policy policy.toml --yes", "a whole policy, in a script"),
        ],
    )(set_retention)


async def set_retention(
    call: Call,
    service: ServiceArgument,
    policy: ReplacingPolicyOption = None,
    keep_count: KeepCountOption = None,
    keep_size: KeepSizeOption = None,
    min_daily: MinDailyOption = None,
    min_weekly: MinWeeklyOption = None,
    min_monthly: MinMonthlyOption = None,
    max_daily: MaxDailyOption = None,
    max_weekly: MaxWeeklyOption = None,
    max_monthly: MaxMonthlyOption = None,
    per: PerOption = None,
    protect_tag: ProtectTagOption = None,
    suspicious_size: SuspiciousSizeOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what it would delete.", show_default=False)] = False,
    yes: YesOption = False,
) -> None:
    """Change what is kept of a service's backups; shows first which of them that deletes, and asks.

    What is not named stays as it is; with --policy, it is as the file says."""
    project, name = parse_service_ref(service)
    minimums = {"daily": min_daily, "weekly": min_weekly, "monthly": min_monthly}
    maximums = {"daily": max_daily, "weekly": max_weekly, "monthly": max_monthly}
    given = (policy, keep_count, keep_size, *minimums.values(), *maximums.values(), per, protect_tag, suspicious_size)
    if all(value is None for value in given):
        raise InvalidInput(
            "input.invalid",
            "nothing to change was named: see --help; `strongroom retention plan SERVICE` shows what the policy does",
            field="policy",
        )

    def changed(before: RetentionPolicy) -> RetentionPolicy:
        return changed_policy(
            before,
            keep_count=keep_count,
            keep_size=keep_size,
            minimums=minimums,
            maximums=maximums,
            per=per,
            protect_tag=protect_tag,
            suspicious_size=suspicious_size,
        )

    # Looked at before anything is asked: what is wrong on the line is told without a coordinator.
    new = changed(read_policy_file(policy))
    async with call.connect() as client:
        if policy is None:
            before = await client.ask(control.SERVICE_SHOW, control.ServiceRef(project=project, service=name))
            new = changed(before.record.retention)
        request = control.ServiceSetRetention(project=project, service=name, retention=new, dry_run=True, actor=call.actor)
        planned = await client.ask(control.SERVICE_SET_RETENTION, request)
        if dry_run:
            call.terminal.result(planned, lambda console: _draw_planned(console, planned))
            return
        if not call.terminal.as_json:
            _draw_planned(call.terminal.err, planned)
        question = _question(planned)
        if question:
            confirm(question, yes=yes, doing=f"what the new retention of {service} deletes")
        # Nobody agreed to what was not there to be shown: a backup that has come to expire since is refused.
        request = control.ServiceSetRetention(
            project=project, service=name, retention=new, confirm=yes or bool(question), actor=call.actor
        )
        applied = await client.ask(control.SERVICE_SET_RETENTION, request, timeout_s=DELETE_S)
    call.terminal.result(applied, lambda console: _draw_applied(console, applied))


def _question(planned: RetentionView) -> str:
    """Empty when nothing goes, now or as soon as retention is not frozen any more."""
    name = f"{planned.project}/{planned.service}"
    if planned.expired:
        return f"Change the retention of {name}, and delete {_amount(planned)} for good?"
    waiting = _held_by_freeze(planned)
    if waiting:
        return f"Change the retention of {name}, and delete {count(waiting, 'backup')} once it is not frozen any more?"
    return ""


def _draw_planned(console: Console, planned: RetentionView) -> None:
    console.print(Text.assemble("Retention of ", (f"{planned.project}/{planned.service}", "name"), " would be:"))
    for line in policy_lines(planned.policy):
        console.print(Text(f"  {line}"))
    console.print()
    going = [verdict for verdict in planned.verdicts if verdict.decision is Decision.EXPIRE or verdict.rule is Rule.FROZEN]
    if going:
        draw_verdicts(console, going[::-1])
        console.print()
    if planned.freeze is not None:
        console.print(frozen_line(planned.freeze))
    kept = sum(verdict.decision is Decision.KEEP for verdict in planned.verdicts)
    if planned.expired:
        console.print(Text(f"It deletes {_amount(planned)}, and keeps {kept}.", style="odd"))
    elif waiting := _held_by_freeze(planned):
        console.print(Text(f"It deletes none now, and {count(waiting, 'backup')} once it is not frozen any more."))
    else:
        console.print(Text(f"It deletes none of {count(kept, 'backup')}."))


def _draw_applied(console: Console, applied: RetentionView) -> None:
    gone = f"deleted {_amount(applied)}" if applied.expired else "nothing was deleted"
    console.print(Text.assemble("Changed the retention of ", (f"{applied.project}/{applied.service}", "name"), f"; {gone}"))


def _amount(view: RetentionView) -> str:
    """Such as `3 backups, 4.20 GiB`."""
    return f"{count(len(view.expired), 'backup')}, {size(sum(verdict.size_bytes for verdict in view.expired))}"


def _held_by_freeze(view: RetentionView) -> int:
    return sum(verdict.rule is Rule.FROZEN for verdict in view.verdicts)
