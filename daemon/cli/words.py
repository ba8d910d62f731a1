"""Words and marks that several views share."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from rich.text import Text

from contracts.errors import ErrorInfo
from contracts.policy.freeze import Freeze
from contracts.records import AnyRun, Deletion, DueState, EngineHealth, RunState
from daemon.cli.figures import ago, ahead, duration, when
from daemon.cli.plain_text import visible

STATE_STYLES: Final[dict[RunState, str]] = {
    RunState.REQUESTED: "busy",
    RunState.RUNNING: "busy",
    RunState.COMPLETED: "good",
    RunState.FAILED: "bad",
    RunState.CANCELLED: "odd",
    RunState.MISSED: "bad",
    RunState.DELETING: "odd",
}
_DUE_STYLES: Final[dict[DueState, str]] = {
    DueState.DUE: "busy",
    DueState.REQUESTED: "busy",
    DueState.COMPLETED: "good",
    DueState.FAILED: "bad",
    DueState.CANCELLED: "odd",
    DueState.MISSED: "bad",
    DueState.SKIPPED: "odd",
}


def state(of: RunState) -> Text:
    """The state, coloured by what it means."""
    return Text(str(of), style=STATE_STYLES.get(of, ""))


def due_state(of: DueState) -> Text:
    """What became of a due time, coloured by what it means."""
    return Text(str(of), style=_DUE_STYLES.get(of, ""))


def moment(at: datetime | None, now: datetime) -> Text:
    """`2026-11-22 00:05:12 UTC, 3 h ago`; empty for None."""
    return Text.assemble(when(at), (f", {ago(at, now)}", "quiet")) if at else Text()


def coming(at: datetime | None, now: datetime) -> Text:
    """`2026-11-22 00:05:12 UTC, in 6 h`; empty for None, and as `moment` for what is past."""
    if at is None or at < now:
        return moment(at, now)
    return Text.assemble(when(at), (f", {ahead(at, now)}", "quiet"))


def frozen(freeze: Freeze | None) -> Text:
    """Why retention holds still; empty where it does not."""
    return Text(f"frozen, nothing is deleted: {visible(freeze.reason)}", style="odd") if freeze else Text()


def deleted(deletion: Deletion | None, undelete: str, now: datetime) -> Text:
    """Since when, by whom, and how long there is a way back: the command `undelete`."""
    if deletion is None:
        return Text()
    by = f" by {visible(deletion.actor)}" if deletion.actor else ""
    text = Text.assemble((f"deleted {when(deletion.at)}{by}", "odd"), "\n")
    if deletion.purging:
        return text.append("its backups are being removed; there is no way back")
    text.append(Text.assemble("gone for good ", coming(deletion.purge_at, now), "; until then "))
    return text.append(f"`{undelete}` brings it back")


def run_name(record: AnyRun) -> str:
    """`acme/orders/20261122T000512Z-k7xq`, as commands take it."""
    return f"{record.project}/{record.service}/{record.id}"


def elapsed(record: AnyRun) -> str:
    """How long the run worked; empty while it has not ended."""
    if record.started_at is None or record.finished_at is None:
        return ""
    return duration((record.finished_at - record.started_at).total_seconds())


def health(of: EngineHealth | None) -> Text:
    """What a node sees of an engine, such as `15.18 primary`."""
    if of is None:
        return Text("not configured there", style="odd")
    if not of.reachable:
        return Text(visible(of.error.message if of.error else "not reachable"), style="bad")
    words = [of.version, of.role, f"{duration(of.lag_s)} behind" if of.lag_s else ""]
    return Text(visible(" ".join(word for word in words if word) or "reachable"), style="good")


def error_lines(error: ErrorInfo) -> Text:
    """The error as a person reads it: what, and then the tool's own words."""
    text = Text.assemble((error.code, "bad"), ": ", visible(error.message))
    for line in visible(error.detail or "", one_line=False).strip("\n").splitlines():
        text.append(f"\n  {line}", style="quiet")
    return text


def warning_lines(warnings: list[str]) -> Text:
    text = Text()
    for number, warning in enumerate(warnings):
        text.append(("\n" if number else "") + visible(warning, one_line=False), style="odd")
    return text


def unhappy_end(record: AnyRun) -> Text:
    """Which run it was that did not complete; its error comes after this."""
    took = elapsed(record)
    after = f" after {took}" if took else ""
    return Text.assemble(("✗ ", "bad"), (run_name(record), "name"), "  ", state(record.state), after)
