"""`strongroom login`, `logout` and `whoami`: being let in by a coordinator over HTTP, and what for."""

from __future__ import annotations

import getpass
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.text import Text

from contracts import control
from contracts.errors import InvalidInput
from contracts.wire import utc_now
from daemon.cli.command import Call, command
from daemon.cli.figures import ahead, stamp
from daemon.cli.plain_text import visible
from daemon.cli.profiles import (
    DEFAULT_NAME,
    Profile,
    check_name,
    check_token,
    check_url,
    is_plain,
    load_profiles,
    save_profiles,
)
from daemon.cli.tables import print_facts
from daemon.cli.targets import HttpTarget, read_token

_PANEL = "Set up"


class LoggedIn(msgspec.Struct, frozen=True, kw_only=True):
    """Who somebody is at a coordinator; what `--json` prints."""

    coordinator: str
    actor: str
    role: str
    project: str = ""
    expires_at: datetime | None = None
    profile: str = ""


def add_to(app: typer.Typer) -> None:
    command(
        app,
        "login",
        panel=_PANEL,
        operator=False,
        examples=[
            ("strongroom login https://backups.example.org", "asks for the token"),
            ("strongroom login https://backups.example.org --token-file token.txt --profile prod", "one of several"),
            ("pass show strongroom | strongroom login https://backups.example.org", "out of a password store"),
        ],
    )(login)
    command(
        app,
        "logout",
        panel=_PANEL,
        operator=False,
        examples=[
            ("strongroom logout", "forget the token of the coordinator in use"),
            ("strongroom logout --profile prod", "of another one"),
        ],
    )(logout)
    command(
        app,
        "whoami",
        panel="Look",
        examples=[
            ("strongroom whoami", "who you are to the coordinator, and what you may"),
            ("strongroom whoami --profile prod --json | jq -r .role", "at another one, for a program"),
        ],
    )(whoami)


ProfileNameOption = Annotated[
    str, typer.Option("--profile", metavar="NAME", help="What to call this coordinator here.", show_default=True)
]


async def login(
    call: Call,
    url: Annotated[str, typer.Argument(metavar="URL", help="Of the coordinator.", show_default=False)],
    token_file: Annotated[
        str,
        typer.Option(
            "--token-file", metavar="FILE", help="The file with the token; - is standard input.", show_default="asked for"
        ),
    ] = "",
    profile: ProfileNameOption = DEFAULT_NAME,
    ca_file: Annotated[
        Path | None,
        typer.Option("--ca-file", metavar="FILE", help="The authority of its certificate, if private.", show_default=False),
    ] = None,
    plain_http: Annotated[
        bool,
        typer.Option(
            "--plain-http", help="Send the token over http:// to another machine all the same.", show_default=False
        ),
    ] = False,
) -> None:
    """Keep a token for a coordinator, and use that coordinator from now on.

    The token is asked for, or read from a file or standard input, never taken from the command line, where others would see
    it.  It is kept in profiles.toml of your own configuration, for your eyes only."""
    url, name = check_url(url, "url"), check_name(profile)
    if is_plain(url) and not plain_http:
        raise InvalidInput(
            "input.invalid",
            f"{url} is not encrypted, and whoever is on the way would read the token: use https://, or --plain-http if the "
            "way is trusted",
            field="url",
        )
    authority = str(ca_file.resolve()) if ca_file is not None else ""
    target = HttpTarget(url=url, token=_token(token_file), ca_file=authority, origin=f"profile {name}")
    answer = await _asked(target)
    kept = Profile(url=target.url, token=target.token, ca_file=target.ca_file)
    path = save_profiles(load_profiles(os.environ).with_profile(name, kept), os.environ)
    found = _logged_in(answer, target.url, name)
    call.terminal.result(found, lambda console: _draw(console, found))
    call.terminal.say(
        f"Commands speak to {target.url} from now on; the token is kept in {path}.\n"
        f"`strongroom profile use` chooses another coordinator, `strongroom logout` forgets this one."
    )


async def logout(
    call: Call,
    profile: Annotated[
        str, typer.Option("--profile", metavar="NAME", help="Another one than is in use.", show_default=False)
    ] = "",
) -> None:
    """Forget a coordinator and its token.

    The token itself stays good: `strongroom token revoke` ends it."""
    profiles = load_profiles(os.environ)
    name = profile or profiles.current
    if not name:
        raise InvalidInput("input.invalid", "nobody is logged in: name one with --profile", field="profile")
    gone = profiles.need(name)
    save_profiles(profiles.without(name), os.environ)
    call.terminal.result({"profile": name, "url": gone.url}, lambda console: console.print(f"Logged out of {gone.url}"))
    call.terminal.say("The token itself stays good; `strongroom token revoke ID` ends it.")


async def whoami(call: Call) -> None:
    """Show who you are to the coordinator, and what you may."""
    target = call.target()
    async with call.connect() as client:
        answer = await client.ask(control.ACCESS_SELF, control.Nothing())
    place = target.place if isinstance(target, HttpTarget) else f"{target.url} (NATS)"
    found = _logged_in(answer, place, "")
    call.terminal.result(found, lambda console: _draw(console, found))


async def _asked(target: HttpTarget) -> control.Self:
    """Raises: StrongroomError when the coordinator lets nobody in with that."""
    from daemon.cli.http_client import connect_http

    async with connect_http(target) as client:
        return await client.ask(control.ACCESS_SELF, control.Nothing())


def _token(token_file: str) -> str:
    """Raises: InvalidInput."""
    if token_file and token_file != "-":  # noqa: S105 - a file name
        return read_token(Path(token_file).expanduser())
    if not token_file and sys.stdin.isatty():
        return check_token(getpass.getpass("Token: "), "what you entered")
    return check_token(sys.stdin.read(10_000), "standard input")


def _logged_in(answer: control.Self, coordinator: str, profile: str) -> LoggedIn:
    return LoggedIn(
        coordinator=coordinator,
        actor=answer.actor,
        role=str(answer.role),
        project=answer.project,
        expires_at=answer.expires_at,
        profile=profile,
    )


def _draw(console: Console, found: LoggedIn) -> None:
    until = f"{stamp(found.expires_at)} UTC, {ahead(found.expires_at, utc_now())}" if found.expires_at else "without end"
    print_facts(
        console,
        [
            ("you are", Text(visible(found.actor), style="name")),
            ("role", found.role),
            ("project", found.project or "all"),
            ("good until", until),
            ("coordinator", found.coordinator),
        ],
    )
