"""`strongroom profile`: the coordinators that somebody has logged in to."""

from __future__ import annotations

import os
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.text import Text

from contracts.errors import InvalidInput
from daemon.cli.command import Call, command
from daemon.cli.help_pages import Index
from daemon.cli.profiles import load_profiles, save_profiles
from daemon.cli.tables import Column, print_table

profiles = typer.Typer(cls=Index, no_args_is_help=True, help="Coordinators that you have logged in to.")


class KnownProfile(msgspec.Struct, frozen=True, kw_only=True):
    """Without its token."""

    name: str
    url: str
    is_current: bool


def add_to(app: typer.Typer) -> None:
    app.add_typer(profiles, name="profile", rich_help_panel="Set up")


@command(profiles, "list", operator=False, examples=[("strongroom profile list", "and which of them is in use")])
async def list_(call: Call) -> None:
    """List the coordinators that you have logged in to."""
    found = load_profiles(os.environ)
    known = [
        KnownProfile(name=name, url=profile.url, is_current=name == found.current)
        for name, profile in sorted(found.profiles.items())
    ]

    def draw(console: Console) -> None:
        if not known:
            call.terminal.say("You have not logged in anywhere yet: `strongroom login URL` does it.")
            return
        print_table(
            console,
            [Column("PROFILE"), Column("URL"), Column("")],
            [
                (Text(each.name, style="name"), each.url, Text("in use", style="good") if each.is_current else "")
                for each in known
            ],
        )

    call.terminal.result({"profiles": known}, draw, items=known)


@command(
    profiles,
    "use",
    operator=False,
    examples=[
        ("strongroom profile use prod", "from now on"),
        ("strongroom profile use --none", "none of them, but what the configuration says"),
    ],
)
async def use(
    call: Call,
    name: Annotated[str, typer.Argument(metavar="NAME", help="As `login` called it.", show_default=False)] = "",
    none: Annotated[
        bool, typer.Option("--none", help="None: go by the configuration file again.", show_default=False)
    ] = False,
) -> None:
    """Choose the coordinator that commands speak to."""
    if bool(name) == none:
        raise InvalidInput("input.invalid", "name a profile, or say --none", field="name")
    found = load_profiles(os.environ)
    url = found.need(name).url if name else ""
    save_profiles(msgspec.structs.replace(found, current=name), os.environ)
    words = f"Commands speak to {url} from now on" if name else "Commands go by the configuration file from now on"
    call.terminal.result({"profile": name, "url": url}, lambda console: console.print(words))
