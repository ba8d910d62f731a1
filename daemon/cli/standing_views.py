"""How services stand, as people see it: a mark, a word, and what to do about it."""

from __future__ import annotations

from typing import Final

from rich.text import Text

from contracts.control import ServiceView
from contracts.standing import Cause, CauseCode, Level
from daemon.cli.plain_text import visible

LEVEL_STYLES: Final = {Level.PROBLEM: "bad", Level.WARNING: "odd", Level.GOOD: "good", Level.OFF: "quiet"}
MARKS: Final = {Level.PROBLEM: "✗", Level.WARNING: "!", Level.GOOD: "✓", Level.OFF: "-"}

_WORDS: Final = {
    CauseCode.FAILED: "last run failed",
    CauseCode.MISSED: "last run missed",
    CauseCode.OVERDUE: "overdue",
    CauseCode.SUSPICIOUS: "suspiciously small",
    CauseCode.NO_AGENT: "no agent alive",
    CauseCode.NOT_CONFIGURED: "not configured",
    CauseCode.ENGINE: "engine not reached",
    CauseCode.NO_BACKUP: "no backup yet",
    CauseCode.UNSCHEDULED: "not scheduled",
    CauseCode.DELETED: "deleted",
}
_MENDED_BY_RUNS: Final = frozenset({CauseCode.MISSED, CauseCode.OVERDUE, CauseCode.NO_BACKUP})
_OF_NODES: Final = frozenset({CauseCode.NO_AGENT, CauseCode.NOT_CONFIGURED, CauseCode.ENGINE})


def level_word(level: Level) -> Text:
    return Text(str(level), style=LEVEL_STYLES[level])


def cause_words(view: ServiceView) -> Text:
    """What is wrong with it, in a few words; empty where nothing is."""
    causes = view.standing.causes
    return Text(", ".join(_WORDS[cause.code] for cause in causes), style=LEVEL_STYLES[causes[0].level]) if causes else Text()


def cause_lines(view: ServiceView) -> Text:
    """A sentence for each thing that is wrong, and the step that follows."""
    lines = Text()
    for number, cause in enumerate(view.standing.causes):
        lines.append("\n" if number else "")
        lines.append(visible(cause.message), style=LEVEL_STYLES[cause.level])
        if step := next_step(view, cause):
            lines.append(f"\n→ {step}")
    return lines


def next_step(view: ServiceView, cause: Cause) -> str:
    """What to run about it; empty where its own sentence says that, or where there is nothing to do."""
    if "`" in cause.message:
        return ""
    if cause.code in _MENDED_BY_RUNS and any(each.code in _OF_NODES for each in view.standing.causes):
        return ""  # as long as no agent reaches it, no run can help
    name = f"{view.record.project}/{view.record.name}"
    nodes = " or ".join(view.record.nodes)
    match cause.code:
        case CauseCode.FAILED if view.last_run is not None:
            return f"`strongroom backup show {name}/{view.last_run.id}` has the tool's own words"
        case CauseCode.MISSED:
            return f"`strongroom node list` shows which agents are alive; `strongroom backup create {name}` makes up for it"
        case CauseCode.OVERDUE:
            return (
                f"`strongroom service schedule {name}` shows what was due; `strongroom backup create {name}` makes up for it"
            )
        case CauseCode.SUSPICIOUS:
            return f"`strongroom backup show {name}/latest` shows what is in it; nothing older is deleted meanwhile"
        case CauseCode.NO_AGENT:
            return f"on {nodes}: `strongroom-agent run --config FILE`"
        case CauseCode.ENGINE:
            return f"on {nodes}: `strongroom-agent service check {name}` asks the engine itself"
        case CauseCode.NO_BACKUP if not view.active:
            return f"`strongroom backup create {name}` makes the first one now"
        case _:
            return ""
