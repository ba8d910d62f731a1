"""Log lines as people read them."""

from __future__ import annotations

import json
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from contracts.reports import LogLine
from daemon.cli.figures import stamp
from daemon.cli.plain_text import visible
from daemon.cli.terminal import print_line

_STYLES: Final = {"warning": "odd", "error": "bad", "critical": "bad", "debug": "quiet"}


def draw_line(console: Console, line: LogLine, *, with_run: bool) -> None:
    """One line, and indented what has lines of its own; `with_run` where lines of several runs come together."""
    text = Text.assemble((stamp(line.at), "quiet"), "  ")
    if with_run:
        text.append(f"{line.project}/{line.service}/{line.run_id}  ", style="name")
    text.append(f"{visible(line.level):<7}  ", style=_STYLES.get(line.level, ""))
    text.append(visible(line.event), style=_STYLES.get(line.level, "head"))
    if line.attempt > 1:
        text.append(f"  attempt={line.attempt}")
    longer: list[str] = []
    for name, value in line.fields.items():
        if isinstance(value, str) and "\n" in value:
            longer.append(value)
        elif value not in (None, ""):
            text.append(f"  {visible(name)}=", style="quiet")
            text.append(_value(value))
    print_line(console, text)
    for value in longer:
        for each in visible(value, one_line=False).strip("\n").splitlines():
            console.print(Text(f"  {each}", style="quiet"), soft_wrap=True)


def _value(value: Any) -> str:
    """As it is where that is clear, in quotes where it holds blanks."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return visible(json.dumps(text, ensure_ascii=False) if isinstance(value, str) and _needs_quotes(text) else text)


def _needs_quotes(text: str) -> bool:
    return any(character.isspace() or character in "\"'=" for character in text)
