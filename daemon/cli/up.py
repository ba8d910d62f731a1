"""`strongroom up`: everything on this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Console
from rich.text import Text

from contracts.logs import configure_logs
from daemon.cli.command import Call, command
from daemon.cli.config import usual_places
from daemon.cli.signals import stop_on_signals
from daemon.cli.tables import print_facts

if TYPE_CHECKING:
    from daemon.embedded.up import Stack


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """What `--json` prints when everything runs."""

    data: str
    node: str
    nats_url: str
    s3_url: str
    http_url: str
    admin_token_file: str
    bucket: str
    operator_config: str
    services_dir: str
    logs: dict[str, str]
    master_key: str


def add_to(app: typer.Typer) -> None:
    command(
        app,
        "up",
        panel="Run",
        operator=False,
        examples=[
            ("strongroom up", "a NATS server, an object store, a coordinator and an agent, kept below your home directory"),
            ("strongroom up --data /srv/strongroom --nats-port 4222 --s3-port 9000", "elsewhere, on ports of your choice"),
        ],
    )(up)


async def up(
    call: Call,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="Where everything is kept.", show_default=False)
    ] = None,
    nats_port: Annotated[
        int | None,
        typer.Option("--nats-port", metavar="PORT", min=1, max=65_535, help="Of the NATS server.", show_default=False),
    ] = None,
    s3_port: Annotated[
        int | None,
        typer.Option("--s3-port", metavar="PORT", min=1, max=65_535, help="Of the object store.", show_default=False),
    ] = None,
    http_port: Annotated[
        int | None,
        typer.Option(
            "--http-port", metavar="PORT", min=1, max=65_535, help="Of the pages and the API.", show_default="8420"
        ),
    ] = None,
) -> None:
    """Run everything on this machine until Ctrl-C; what it keeps is found again the next time."""
    # Imported late: only this command needs the servers.
    from daemon.embedded.up import UpOptions, running_stack

    usual = usual_places(os.environ)[1]
    directory = data or usual.parent
    # Whatever dies and is started again should be seen here; the rest is in the logs of the parts.
    configure_logs(level="debug" if call.debug else "error", as_json=True if call.terminal.as_json else None)
    stop = stop_on_signals()
    call.terminal.say(f"Starting everything in {directory} …")
    async with running_stack(UpOptions(data=directory, nats_port=nats_port, s3_port=s3_port, http_port=http_port)) as stack:
        found = stack.operator_config == usual.resolve()
        running = _running(stack)
        call.terminal.result(running, lambda console: _draw(console, running, found=found))
        await stop.wait()
        call.terminal.say("Stopping …")


def _running(stack: Stack) -> Running:
    return Running(
        data=str(stack.data),
        node=stack.node,
        nats_url=stack.nats_url,
        s3_url=stack.s3_url,
        http_url=stack.http_url,
        admin_token_file=str(stack.admin_token),
        bucket=stack.bucket,
        operator_config=str(stack.operator_config),
        services_dir=str(stack.services_dir),
        logs={name: str(path) for name, path in stack.logs.items()},
        master_key=str(stack.master_key),
    )


def _draw(console: Console, running: Running, *, found: bool) -> None:
    """Where everything is, and the way to the first backup.  `found`: the commands find this configuration by themselves."""
    console.print(Text("Strongroom runs; Ctrl-C ends it.", style="good"))
    print_facts(
        console,
        [
            ("pages", f"{running.http_url} (log in with the token in {running.admin_token_file})"),
            ("NATS", running.nats_url),
            ("bucket", f"{running.bucket} at {running.s3_url}"),
            ("node", running.node),
            ("logs", ", ".join(running.logs.values())),
            ("master key", f"{running.master_key} (keep a copy elsewhere: without it no backup opens)"),
        ],
    )
    prefix = "" if found else f"export STRONGROOM_CONFIG={running.operator_config}\n"
    agent = f"strongroom-agent service add demo/db --services-dir {running.services_dir} --kind postgresql --user postgres"
    steps = (
        f"{prefix}strongroom project create demo\n"
        f"strongroom service add demo/db --kind postgresql --node {running.node}\n"
        f"{agent} --host localhost --password-file FILE\n"
        "strongroom backup create demo/db"
    )
    console.print("\nIn another terminal:")
    for line in steps.splitlines():
        console.print(Text(f"  {line}", style="command"), soft_wrap=True)
