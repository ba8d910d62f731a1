"""`strongroom service set-ping` and `ping`: a dead man's switch that is told of good backups."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from contracts import control
from contracts.control import PingView
from contracts.errors import InvalidInput
from contracts.ids import parse_service_ref
from contracts.notifications import PingMethod
from contracts.wire import utc_now
from daemon.cli.arguments import ServiceArgument
from daemon.cli.command import Call, command
from daemon.cli.plain_text import visible
from daemon.cli.secret_urls import UrlFileOption, read_url
from daemon.cli.tables import print_facts
from daemon.cli.words import moment


def add_to(services: typer.Typer) -> None:
    command(
        services,
        "set-ping",
        examples=[
            ("strongroom service set-ping acme/orders", "asks for the URL, which is typed unseen"),
            ("strongroom service set-ping acme/orders --url-file url.txt --fail --start", "as healthchecks.io takes it"),
            ("strongroom service set-ping acme/orders --keep-url --no-fail", "the same URL, told less"),
            ("strongroom service set-ping acme/orders --off", "nothing is called any more"),
        ],
    )(set_ping)
    command(
        services,
        "ping",
        examples=[("strongroom service ping acme/orders", "what is called, and whether that was answered")],
    )(show_ping)


async def set_ping(
    call: Call,
    service: ServiceArgument,
    url_file: UrlFileOption = None,
    method: Annotated[
        PingMethod | None,
        typer.Option("--method", metavar="METHOD", help="get, or post with a line about the backup.", show_default=False),
    ] = None,
    fail: Annotated[
        bool | None,
        typer.Option(
            "--fail/--no-fail",
            help="Call /fail below the URL after a backup that failed or was missed.",
            show_default=False,
        ),
    ] = None,
    start: Annotated[
        bool | None,
        typer.Option("--start/--no-start", help="Call /start below the URL when a backup begins.", show_default=False),
    ] = None,
    keep_url: Annotated[
        bool, typer.Option("--keep-url", help="Keep the URL that is set, and what is not named.", show_default=False)
    ] = False,
    off: Annotated[bool, typer.Option("--off", help="Call nothing any more.", show_default=False)] = False,
) -> None:
    """Have a URL called after each good backup of a service, so that somebody notices when there are none.

    A dead man's switch (healthchecks.io, Uptime Kuma and others) raises the alarm when it is not called in time: also when
    this coordinator, its host or its network is gone. The URL is kept sealed, and shown to nobody again."""
    project, name = parse_service_ref(service)
    if off and (url_file is not None or keep_url):
        raise InvalidInput("input.invalid", "--off takes no URL", field="off")
    if keep_url and url_file is not None:
        raise InvalidInput("input.invalid", "choose --url-file or --keep-url", field="keep_url")
    if off:
        async with call.connect() as client:
            reference = control.PingRef(project=project, service=name, actor=call.actor)
            answer = await client.ask(control.PING_REMOVE, reference)
        call.terminal.result(answer, lambda console: console.print(f"Nothing is called after backups of {service} any more"))
        return
    url = None if keep_url else read_url(url_file, "URL (it is not shown)")
    async with call.connect() as client:
        before: PingView | None = None
        if keep_url:
            before = await client.ask(control.PING_SHOW, control.ServiceRef(project=project, service=name))
        request = control.PingSet(
            project=project,
            service=name,
            url=url,
            method=method or (before.method if before else PingMethod.GET),
            tell_failure=fail if fail is not None else before is not None and before.tell_failure,
            tell_start=start if start is not None else before is not None and before.tell_start,
            actor=call.actor,
        )
        view = await client.ask(control.PING_SET, request)
    call.terminal.result(view, lambda console: _draw(console, view))


async def show_ping(call: Call, service: ServiceArgument) -> None:
    """Show what is called after backups of a service, and what became of the last call."""
    project, name = parse_service_ref(service)
    async with call.connect() as client:
        view = await client.ask(control.PING_SHOW, control.ServiceRef(project=project, service=name))
    call.terminal.result(view, lambda console: _draw(console, view))


def _draw(console: Console, view: PingView) -> None:
    now = utc_now()
    console.print(Text.assemble("Ping of ", (f"{view.project}/{view.service}", "name")))
    told = ["good backups", *(["bad ones"] if view.tell_failure else []), *(["beginnings"] if view.tell_start else [])]
    last = Text("none yet")
    if view.last is not None:
        outcome = f"{view.last.signal}: {visible(view.last.message)}, "
        last = Text.assemble((outcome, "good" if view.last.ok else "bad"), moment(view.last.at, now))
    print_facts(
        console,
        [
            ("calls", f"{view.method.upper()} {view.target}"),
            ("told of", ", ".join(told)),
            ("last", last),
            ("last answered", moment(view.last_ok_at, now)),
        ],
    )
