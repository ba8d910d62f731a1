"""The answer to "are we safe?" on one screen: the sentence, what is wrong, then the figures."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from contracts.control import Coming, Overview
from contracts.standing import Level
from daemon.cli.figures import ago, ahead, count, percent, size
from daemon.cli.plain_text import visible
from daemon.cli.sizes import limit_size
from daemon.cli.standing_views import LEVEL_STYLES, MARKS
from daemon.cli.status_report import Concern, StatusReport, concerns, protected, used
from daemon.cli.tables import print_facts

_CONCERNS: Final = 8
_COMING: Final = 3
_FULLEST_FROM: Final = 0.5
_INDENT: Final = (0, 0, 0, 4)


def draw_status(console: Console, report: StatusReport, elapsed_s: float) -> None:
    """One line for monitoring, then problems, then figures."""
    overview = report.overview
    console.print(headline(report))
    found, left_out = concerns(overview, _CONCERNS)
    for concern in found:
        _draw_concern(console, concern)
    if left_out:
        console.print(Text(f"  and {count(left_out, 'more service')}: `strongroom service list --worst-first` shows all"))
    if step := _first_step(overview):
        console.print(Text(f"  → {step}"))
    console.print()
    print_facts(console, _facts(report, elapsed_s))


def headline(report: StatusReport) -> Text:
    """The mark and the sentence."""
    style = LEVEL_STYLES[report.level]
    return Text.assemble((f"{MARKS[report.level]} ", style), (visible(report.summary), style))


def _draw_concern(console: Console, concern: Concern) -> None:
    mark = Text.assemble((f"  {MARKS[concern.level]} ", LEVEL_STYLES[concern.level]), (_joined(concern.names), "name"))
    console.print(mark)
    for sentence in concern.sentences:
        console.print(Padding(Text(visible(sentence)), _INDENT, expand=False))
    for step in concern.steps:
        console.print(Padding(Text(f"→ {visible(step)}", style="quiet"), _INDENT, expand=False))


def _first_step(overview: Overview) -> str:
    if not overview.projects:
        return "`strongroom project create NAME` makes the first project"
    if not overview.services:
        return "`strongroom service add PROJECT/SERVICE --kind KIND --node NODE` adds the first service"
    return "" if protected(overview) else "`strongroom service set-schedule PROJECT/SERVICE default` switches one on"


def _facts(report: StatusReport, elapsed_s: float) -> list[tuple[str, str | Text]]:
    overview, server = report.overview, report.coordinator.server
    on = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in server.items())
    return [
        ("services", _services(overview)),
        ("running", f"{count(overview.running, 'backup')}; `strongroom watch` shows them" if overview.running else ""),
        ("next due", _coming(overview.next, overview.at)),
        ("oldest", _oldest(overview)),
        ("storage", _storage(overview)),
        ("nodes", _nodes(overview)),
        ("deleted", _deleted(overview)),
        ("coordinator", f"{report.coordinator.version}, answered in {elapsed_s * 1000:.0f} ms; {visible(on)}"),
    ]


def _services(overview: Overview) -> Text:
    words = [
        Text(f"{overview.levels[level]} {level}", style=LEVEL_STYLES[level]) for level in Level if overview.levels[level]
    ]
    projects = count(len(overview.projects), "project")
    head = Text(f"{overview.services} in {projects}{': ' if words else ''}")
    return head.append(Text(", ").join(words))


def _coming(coming: Sequence[Coming], now: datetime) -> str:
    return ", ".join(f"{each.project}/{each.service} {ahead(each.at, now)}" for each in coming[:_COMING])


def _oldest(overview: Overview) -> str:
    if overview.oldest is None:
        return ""
    name = f"{overview.oldest.project}/{overview.oldest.service}"
    return f"the newest backup of {name} was asked for {ago(overview.oldest.at, overview.at)}"


def _storage(overview: Overview) -> str:
    stored = sum(project.stored_bytes for project in overview.projects)
    fullest = max(overview.projects, key=used, default=None)
    text = size(stored)
    if fullest is not None and used(fullest) >= _FULLEST_FROM:
        taken = fullest.stored_bytes + fullest.reserved_bytes
        quota = limit_size(fullest.quota_bytes)
        text += f"; the fullest project is {fullest.project}, {percent(taken, fullest.quota_bytes)} of {quota}"
    return text if overview.projects else ""


def _nodes(overview: Overview) -> Text:
    text = Text(f"{overview.nodes - overview.silent} of {overview.nodes} alive" if overview.nodes else "none yet")
    return text.append("; the others are silent", style="odd") if overview.silent else text


def _deleted(overview: Overview) -> Text:
    gone = sorted((each.deletion.purge_at, each.project) for each in overview.projects if each.deletion is not None)
    names = [f"project {name} (gone for good {ahead(purge_at, overview.at)})" for purge_at, name in gone[:_COMING]]
    return Text(_joined(names, more=len(gone) - len(names)), style="odd")


def _joined(names: Sequence[str], more: int = 0) -> str:
    every = [*names, f"{more} more"] if more else list(names)
    if len(every) < 2:
        return "".join(every)
    return f"{', '.join(every[:-1])} and {every[-1]}"
