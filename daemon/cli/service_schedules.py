"""`strongroom service set-schedule` and `schedule`: when a service is backed up, and whether it was."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from contracts import control
from contracts.ids import parse_service_ref
from daemon.cli.arguments import ServiceArgument
from daemon.cli.command import Call, command
from daemon.cli.schedule_options import ScheduleArgument, chosen_schedule
from daemon.cli.schedule_views import draw_dues, next_lines, schedule_words
from daemon.cli.tables import print_facts

_NEXT = 3


def add_to(services: typer.Typer) -> None:
    command(
        services,
        "set-schedule",
        examples=[
            ("strongroom service set-schedule acme/orders daily 03:30", "every day, UTC"),
            ("strongroom service set-schedule acme/orders weekly sunday 03:30", "once a week"),
            ("strongroom service set-schedule acme/orders monthly 31 02:15", "on the last day of every month"),
            ("strongroom service set-schedule acme/orders '0 */6 * * *'", "a cron expression, in quotes"),
            ("strongroom service set-schedule acme/orders off", "only when somebody asks"),
            ("strongroom service set-schedule acme/orders default", "once a day after midnight, at a moment of its own"),
        ],
    )(set_schedule)
    command(
        services,
        "schedule",
        examples=[
            ("strongroom service schedule acme/orders", "when it is due next, and what became of the last times"),
            ("strongroom service schedule acme/orders --next 30 --past 0", "the next 30 due times"),
            (
                "strongroom service schedule acme/orders --json | jq -r '.past[] | select(.state == \"missed\") | .due_at'",
                "which were missed, for a program",
            ),
        ],
    )(schedule)


async def set_schedule(call: Call, service: ServiceArgument, schedule: ScheduleArgument) -> None:
    """Change when a service is backed up by itself, and show when that is next.

    Only what is due after the change counts."""
    project, name = parse_service_ref(service)
    chosen = chosen_schedule(" ".join(schedule))
    async with call.connect() as client:
        request = control.ServiceSetSchedule(project=project, service=name, schedule=chosen, actor=call.actor)
        record = await client.ask(control.SERVICE_SET_SCHEDULE, request)
        if call.terminal.as_json:
            call.terminal.json(record)
            return
        dues = await client.ask(control.SERVICE_DUES, control.ServiceDues(project=project, service=name, next=_NEXT, past=0))
    console = call.terminal.out
    words = schedule_words(record.effective_schedule, is_default=record.schedule is None)
    console.print(Text.assemble("Schedule of ", (service, "name"), f": {words}"))
    print_facts(console, [("next due", next_lines(dues))])


async def schedule(
    call: Call,
    service: ServiceArgument,
    next_: Annotated[int, typer.Option("--next", metavar="N", min=0, max=1000, help="How many due times to come.")] = 5,
    past: Annotated[
        int, typer.Option("--past", metavar="N", min=0, max=10_000, help="How many past ones, the newest first.")
    ] = 20,
) -> None:
    """Show when a service is due, what became of its last due times, and how many of them led to a backup."""
    project, name = parse_service_ref(service)
    async with call.connect() as client:
        request = control.ServiceDues(project=project, service=name, next=next_, past=past)
        dues = await client.ask(control.SERVICE_DUES, request)

    def draw(console: Console) -> None:
        draw_dues(console, service, dues)

    call.terminal.result(dues, draw)
