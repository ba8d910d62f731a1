"""Help pages: what a command does, what it takes, and examples to copy.

Drawn here and not by Typer, whose pages break lines where the source does and give every flag a type.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Final

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from typer.core import TyperCommand, TyperGroup

from daemon.cli.terminal import console_for

_WIDEST: Final = 110
"""Longer lines are hard to read, however wide the terminal is."""
_INDENT: Final = (0, 0, 0, 2)
_PANELS: Final = ("Set up", "Back up and restore", "Look", "Run")
COMMON: Final = "Common options"
_STATUS_LINE: Final = re.compile(r"\s*[0-9]+  ")


class Page(TyperCommand):
    """A command with a help page of ours."""

    error_status: ClassVar[int | None] = None
    """What it ends with whatever goes wrong; None: as the kind of error says."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        formatter.write(_render(self, ctx))


class Index(TyperGroup):
    """A group of commands with a help page of ours."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        formatter.write(_render(self, ctx))


def examples_text(examples: Sequence[tuple[str, str]]) -> str:
    """The epilog of a command: pairs of a command line and what it is for."""
    return "Examples\n" + "\n\n".join(f"  # {purpose}\n  {line}" for line, purpose in examples)


def usage_line(command: Any, ctx: Any) -> str:
    """Such as `strongroom backup create [OPTIONS] SERVICE`."""
    words = [ctx.command_path]
    if isinstance(command, TyperGroup):
        words.append("COMMAND …")
    elif _options(command, ctx):
        words.append("[OPTIONS]")
    words += [name if param.required else f"[{name}]" for param, name in _arguments(command, ctx)]
    return " ".join(words)


def _render(command: Any, ctx: Any) -> str:
    console = console_for(sys.stdout)
    console.width = min(console.width, _WIDEST)
    with console.capture() as capture:
        _draw(console, command, ctx)
    text = capture.get()
    return text if console.is_terminal else "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def _draw(console: Console, command: Any, ctx: Any) -> None:
    console.print(Text.assemble(("Usage: ", "quiet"), (usage_line(command, ctx), "head")))
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        console.print()
        console.print(Text(" ".join(paragraph.split())))
    if isinstance(command, TyperGroup):
        _draw_commands(console, command, ctx)
    arguments = [(name, param) for param, name in _arguments(command, ctx) if param.help]
    _section(console, "Arguments", [(Text(name, style="command"), _help_of(param)) for name, param in arguments])
    by_panel: dict[str, list[tuple[Text, Text]]] = {}
    for param in _options(command, ctx):
        panel = getattr(param, "rich_help_panel", None) or (COMMON if param.name == "help" else "Options")
        by_panel.setdefault(panel, []).append((_names_of(param), _help_of(param)))
    for panel in sorted(by_panel, key=lambda title: (title != "Options") + 2 * (title == COMMON)):
        _section(console, panel, by_panel[panel])
    if command.epilog:
        console.print()
        for line in command.epilog.splitlines():
            console.print(_epilog_line(line), soft_wrap=True)


def _draw_commands(console: Console, group: TyperGroup, ctx: Any) -> None:
    by_panel: dict[str, list[tuple[Text, Text]]] = {}
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        if command is None or command.hidden:
            continue
        summary = inspect.cleandoc(command.help or "").split("\n\n")[0].replace("\n", " ")
        panel = getattr(command, "rich_help_panel", None) or "Commands"
        by_panel.setdefault(panel, []).append((Text(name, style="command"), Text(summary)))
    for panel in sorted(by_panel, key=lambda title: _PANELS.index(title) if title in _PANELS else len(_PANELS)):
        _section(console, panel, by_panel[panel])


def _section(console: Console, title: str, rows: Iterable[tuple[RenderableType, RenderableType]]) -> None:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, min_width=12)
    table.add_column(overflow="fold")
    for row in rows:
        table.add_row(*row)
    if table.row_count:
        console.print()
        console.print(Text(title, style="head"))
        console.print(Padding(table, _INDENT))


def _arguments(command: Any, ctx: Any) -> list[tuple[Any, str]]:
    params = [param for param in command.get_params(ctx) if param.param_type_name == "argument" and not param.hidden]
    return [(param, param.metavar or param.name.upper()) for param in params]


def _options(command: Any, ctx: Any) -> list[Any]:
    return [
        param
        for param in command.get_params(ctx)
        if param.param_type_name == "option" and not getattr(param, "hidden", False)
    ]


def _names_of(param: Any) -> Text:
    names = ", ".join(sorted([*param.opts, *param.secondary_opts], key=len))
    return Text.assemble((names, "command"), f" {param.metavar}" if param.metavar else "")


def _help_of(param: Any) -> Text:
    text = Text(param.help or "")
    default = getattr(param, "default", None)
    if getattr(param, "show_default", False) and default not in (None, "", False, ()) and not callable(default):
        text.append(f" [default: {default}]", style="quiet")
    return text


def _epilog_line(line: str) -> Text:
    if not line.startswith(" "):
        return Text(line, style="head")
    if _STATUS_LINE.match(line):
        return Text(line)
    before, mark, purpose = line.partition("# ")
    return Text.assemble((before, "command"), (mark + purpose, "quiet"))
