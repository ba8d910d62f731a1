"""`strongroom project recovery-kit`: a page to print or to keep, for the day on which nothing but the bucket is left."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from contracts import control
from contracts.errors import InvalidInput
from contracts.recovery_kit import kit_html, kit_text
from daemon.cli.arguments import ProjectArgument, YesOption
from daemon.cli.command import Call, command
from daemon.cli.confirming import confirm


def add_to(projects: typer.Typer) -> None:
    """As a command of `strongroom project`."""
    command(
        projects,
        "recovery-kit",
        examples=[
            ("strongroom project recovery-kit acme", "how to restore its services without Strongroom"),
            ("strongroom project recovery-kit acme --html --output acme.html", "a page to print"),
            ("strongroom project recovery-kit acme --with-identity --output acme.txt", "with what opens it; asks first"),
        ],
    )(recovery_kit)


async def recovery_kit(
    call: Call,
    project: ProjectArgument,
    with_identity: Annotated[
        bool,
        typer.Option("--with-identity", help="With the identities that open every backup; asks first.", show_default=False),
    ] = False,
    as_html: Annotated[bool, typer.Option("--html", help="As a printable HTML page.", show_default=False)] = False,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="Write it there, to a new file.", show_default=False)
    ] = "",
    yes: YesOption = False,
) -> None:
    """Print how to restore a project's backups with stock programs and no Strongroom.

    Recipients, the bucket and its layout, and the exact commands for each service.  Without --with-identity it holds no
    secret.  With it, whoever has the page and can read the bucket can read every backup; an event tells of it."""
    async with call.connect() as client:
        kit = await client.ask(control.PROJECT_RECOVERY_KIT, control.ProjectRef(project=project))
        identities: list[control.RevealedIdentity] = []
        if with_identity:
            facts = (
                f"Whoever has these identities can read every backup of {project}, and the audit log will say who took them."
            )
            confirm(f"Hand out the identities of {project}?", yes=yes, doing="handing out identities", facts=facts)
            request = control.ProjectReveal(project=project, confirm=project, actor=call.actor)
            identities = (await client.ask(control.PROJECT_REVEAL, request)).identities
    lines = [line for each in identities for line in (f"# recipient: {each.recipient}", each.identity)]
    text = kit_html(kit, lines) if as_html else kit_text(kit, lines)
    if output:
        _write(Path(output).expanduser(), text)
        call.terminal.say(f"Written to {output}: print it, and keep it where the bucket's credentials are not.")
        return
    if lines and call.terminal.as_json:
        message = "--with-identity is for the page, not for --json: leave one of them out"
        raise InvalidInput("input.invalid", message, field="with_identity")
    call.terminal.result(kit, lambda console: console.print(text, soft_wrap=True, markup=False, highlight=False))


def _write(path: Path, text: str) -> None:
    """Raises: InvalidInput for a file that is there, or cannot be made."""
    try:
        # For its owner alone: it may hold identities.
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as exc:
        raise InvalidInput("input.invalid", f"{path}: cannot be written: {exc.strerror or exc}", field="output") from exc
