"""`strongroom backup tag` and `protect`: names for backups, and those that keep one from being deleted by a machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from contracts import control
from contracts.errors import InvalidInput
from contracts.records import BackupRecord
from daemon.cli.arguments import BackupArgument
from daemon.cli.command import Call, command
from daemon.cli.plain_text import visible
from daemon.cli.records import backup_record
from daemon.cli.references import LATEST, RunRef, parse_run_ref
from daemon.cli.words import run_name

if TYPE_CHECKING:
    from daemon.cli.client import ControlClient


def add_to(backups: typer.Typer) -> None:
    command(
        backups,
        "tag",
        examples=[
            ("strongroom backup tag acme/orders/latest --add before-migration", "to find it by"),
            ("strongroom backup tag acme/orders/20261122T000512Z-k7xq --remove audit --add audited", "one for another"),
        ],
    )(tag)
    command(
        backups,
        "protect",
        examples=[
            ("strongroom backup protect acme/orders/latest", "no machine deletes it"),
            ("strongroom backup protect acme/orders/20261122T000512Z-k7xq --off", "retention may delete it again"),
        ],
    )(protect)


async def tag(
    call: Call,
    backup: BackupArgument,
    add: Annotated[
        list[str] | None,
        typer.Option(
            "--add",
            metavar="TAG",
            help="1 to 24 letters, digits, `:`, `-` or `_`. May be repeated.",
            show_default=False,
        ),
    ] = None,
    remove: Annotated[
        list[str] | None, typer.Option("--remove", metavar="TAG", help="May be repeated.", show_default=False)
    ] = None,
) -> None:
    """Change the tags of a backup; daily, weekly and monthly are given by the coordinator alone.

    A tag that the service's retention policy protects keeps the backup from being deleted by a machine."""
    ref = parse_run_ref(backup, "backup")
    if not add and not remove:
        raise InvalidInput("input.invalid", "name a tag to --add or to --remove", field="add")
    async with call.connect() as client:
        ref = await _named(client, ref)
        request = control.BackupTag(
            project=ref.project, service=ref.service, id=ref.id, add=add or [], remove=remove or [], actor=call.actor
        )
        record = await client.ask(control.BACKUP_TAG, request)
    call.terminal.result(record, lambda console: _draw(console, "Tags of", record))


async def protect(
    call: Call,
    backup: BackupArgument,
    off: Annotated[bool, typer.Option("--off", help="Protect it no longer.", show_default=False)] = False,
) -> None:
    """Protect a backup from automatic deletion, by the first protected tag of its service's policy.

    With --off, all protected tags are taken from it, and retention may delete it."""
    ref = parse_run_ref(backup, "backup")
    async with call.connect() as client:
        ref = await _named(client, ref)
        request = control.BackupProtect(
            project=ref.project, service=ref.service, id=ref.id, protect=not off, actor=call.actor
        )
        record = await client.ask(control.BACKUP_PROTECT, request)
    call.terminal.result(record, lambda console: _draw(console, "No longer protected:" if off else "Protected", record))
    if off:
        call.terminal.say(
            f"`strongroom retention plan {ref.project}/{ref.service}` says whether the policy keeps it all the same."
        )


async def protection_of(client: ControlClient, record: BackupRecord) -> str:
    """The tag that protects the backup by its service's policy; empty if none does."""
    view = await client.ask(control.SERVICE_SHOW, control.ServiceRef(project=record.project, service=record.service))
    return next((tag for tag in view.record.retention.protected_tags if tag in record.tags), "")


async def _named(client: ControlClient, ref: RunRef) -> RunRef:
    """The very backup, where `latest` was written."""
    return ref._replace(id=(await backup_record(client, ref)).id) if ref.id == LATEST else ref


def _draw(console: Console, what: str, record: BackupRecord) -> None:
    tags = visible(", ".join(record.tags)) or "no tags"
    console.print(Text.assemble(f"{what} ", (run_name(record), "name"), f": {tags}"), soft_wrap=True)
