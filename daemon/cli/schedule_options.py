"""Schedules as the command line spells them."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from contracts.policy.schedule import Schedule
from contracts.policy.schedule_text import parse_schedule

DEFAULT: Final = "default"
FORMS: Final = (
    "`off`, `daily HH:MM`, `weekly DAY HH:MM`, `monthly 1-31 HH:MM` or five cron fields, all UTC; `default` is once a day "
    "between 00:00 and 01:00, at a moment of its own"
)

ScheduleOption = Annotated[str, typer.Option("--schedule", metavar="SCHEDULE", help=f"When: {FORMS}.")]
ScheduleArgument = Annotated[
    list[str], typer.Argument(metavar="SCHEDULE", help=f"When, in one word or several: {FORMS}.", show_default=False)
]


def chosen_schedule(text: str) -> Schedule | None:
    """None for the default one.  Raises: InvalidInput naming the field below `schedule`."""
    return None if text.strip().lower() == DEFAULT else parse_schedule(text)
