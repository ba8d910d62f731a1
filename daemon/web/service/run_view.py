"""A run under way as pages show it: how far it is, how fast, how long still; and its log lines as people read them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import msgspec

from contracts.records import AnyRun, RunState
from contracts.reports import LogLine
from daemon.cli.figures import duration
from daemon.cli.run_picture import RunPicture

_TONES: Final = {"warning": "warning", "error": "problem", "critical": "problem", "exception": "problem"}
_LONGEST_FIELD: Final = 400


class RunFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a run at a moment."""

    step: str
    """Such as `dumping orders (2 of 3)`."""
    share: int | None
    """Percent; None when nobody knows how much there is to do."""
    share_words: str
    facts: list[str]
    """Amounts, speed, what is left, how long it has taken."""
    worry: str = ""


class ShownLine(msgspec.Struct, frozen=True, kw_only=True):
    """A log line."""

    at: datetime
    tone: str
    event: str
    fields: list[tuple[str, str]]
    attempt: int


def run_figures(picture: RunPicture, now_s: float, now: datetime) -> RunFigures:
    """`now_s` is of the picture's clock; `now` of the wall, for how long the run has been under way."""
    fraction = picture.fraction
    share = None if fraction is None else round(100 * fraction)
    record = picture.record
    facts = picture.amounts()
    if record is not None:
        since = record.started_at or record.requested_at
        facts.append(f"{duration(max(0.0, (now - since).total_seconds()))} so far")
    return RunFigures(
        step=picture.step(),
        share=share,
        share_words="" if share is None else f"{share} %",
        facts=facts,
        worry=picture.worry(now_s),
    )


def state_words(record: AnyRun) -> str:
    """What is said aloud when the run's state changes; seldom, since it interrupts."""
    match record.state:
        case RunState.REQUESTED:
            return f"Waiting for the agent on {record.node}."
        case RunState.RUNNING:
            again = f", attempt {record.attempt}" if record.attempt > 1 else ""
            return f"Under way on {record.node}{again}."
        case state:
            return f"It has ended: {state}."


def shown_line(line: LogLine) -> ShownLine:
    return ShownLine(
        at=line.at,
        tone=_TONES.get(line.level, ""),
        event=line.event,
        fields=[(name, _spelled(value)) for name, value in line.fields.items()],
        attempt=line.attempt,
    )


def _spelled(value: Any) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= _LONGEST_FIELD else f"{text[:_LONGEST_FIELD]}…"
