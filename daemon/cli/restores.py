"""`strongroom restore`, and `strongroom restores` for those that were asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Console

from contracts import control
from contracts.errors import NotFound
from contracts.ids import parse_service_ref
from contracts.records import RestoreRecord
from contracts.wire import utc_now
from daemon.cli.arguments import (
    BackupArgument,
    LimitOption,
    NoWaitOption,
    RestoreArgument,
    ScopeArgument,
    StateOption,
    YesOption,
)
from daemon.cli.command import Call, command
from daemon.cli.confirming import confirm
from daemon.cli.following import failure_of, follow_run
from daemon.cli.help_pages import Index
from daemon.cli.paging import pages
from daemon.cli.plain_text import visible
from daemon.cli.records import backup_record
from daemon.cli.references import LATEST, RunRef, parse_renames, parse_run_ref, parse_scope
from daemon.cli.restore_views import draw_outcome, draw_restore, draw_restores
from daemon.cli.words import moment, run_name, unhappy_end

if TYPE_CHECKING:
    from daemon.cli.client import ControlClient

restores = typer.Typer(cls=Index, no_args_is_help=True, help="Restores that were asked for.")

_PANEL = "Back up and restore"
_NAMED = 10


def add_to(app: typer.Typer) -> None:
    command(
        app,
        "restore",
        panel=_PANEL,
        examples=[
            ("strongroom restore acme/orders/latest --only orders --rename orders=orders_copy", "beside the original"),
            ("strongroom restore acme/orders/latest --only orders --replace", "in place of what is there; asks first"),
            ("strongroom restore acme/orders/latest --to acme/staging --skip-roles", "into another server"),
            (
                "strongroom restore acme/files/latest --directory /srv/back --path invoices/2026",
                "one directory of a tree",
            ),
        ],
    )(restore)
    app.add_typer(restores, name="restores", rich_help_panel=_PANEL)


async def restore(
    call: Call,
    backup: BackupArgument,
    to: Annotated[
        str, typer.Option("--to", metavar="SERVICE", help="Another service to restore into.", show_default=False)
    ] = "",
    node: Annotated[
        str, typer.Option("--node", metavar="NODE", help="Do it there, not where it fits best.", show_default=False)
    ] = "",
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="NAME", help="Only this artifact. May be repeated.", show_default=False),
    ] = None,
    rename: Annotated[
        list[str] | None,
        typer.Option("--rename", metavar="OLD=NEW", help="Restore under a new name. May be repeated.", show_default=False),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Put it in place of data that is there.", show_default=False)
    ] = False,
    skip_roles: Annotated[
        bool,
        typer.Option(
            "--skip-roles", help="Create no roles; everything belongs to the role that restores.", show_default=False
        ),
    ] = False,
    directory: Annotated[
        str,
        typer.Option(
            "--directory",
            metavar="DIR",
            help="Where on its host a directory tree or data directory goes; the host says below which one that may be.",
            show_default=False,
        ),
    ] = "",
    path: Annotated[
        list[str] | None,
        typer.Option(
            "--path", metavar="PATH", help="Only this file or directory of a tree. May be repeated.", show_default=False
        ),
    ] = None,
    no_wait: NoWaitOption = False,
    yes: YesOption = False,
) -> None:
    """Restore a backup, and wait for the end.

    Each artifact (a database, an index, a tree) is put in place as a whole or not at all.  What holds data is left alone
    without --replace, and with it is told first what will be lost.  Ends with status 5 when the restore fails."""
    ref = parse_run_ref(backup, "backup")
    to_project, to_service = parse_service_ref(to, "to") if to else ("", "")
    request = control.RestoreCreate(
        project=ref.project,
        service=ref.service,
        id=ref.id,
        to_project=to_project,
        to_service=to_service,
        node=node,
        artifacts=only or [],
        rename=parse_renames(rename or []),
        replace=replace,
        skip_roles=skip_roles,
        directory=directory,
        paths=path or [],
        actor=call.actor,
    )
    async with call.connect() as client:
        if replace and not yes:
            request, facts = await _what_is_replaced(client, request)
            into = f"{request.to_project or ref.project}/{request.to_service or ref.service}"
            name = f"{ref.project}/{ref.service}/{request.id}"
            confirm(f"Restore {name} in place of that?", yes=yes, doing=f"replacing data of {into}", facts=facts)
        await _restore(call, client, request, no_wait=no_wait)


async def _restore(call: Call, client: ControlClient, request: control.RestoreCreate, *, no_wait: bool) -> None:
    record = await client.ask(control.RESTORE_CREATE, request)
    if no_wait:
        call.terminal.result(record, lambda console: console.print(run_name(record), soft_wrap=True))
        return
    await _follow(call, client, record)


@command(
    restores,
    "follow",
    examples=[("strongroom restores follow acme/orders/latest", "wait for the newest one again after an interruption")],
)
async def follow(call: Call, restore: RestoreArgument) -> None:
    """Wait for a restore under way.

    Ends with status 5 when the restore fails, or has failed."""
    async with call.connect() as client:
        ref = await _resolved(client, parse_run_ref(restore, "restore"))
        await _follow(call, client, await _show(client, ref))


@command(
    restores,
    "list",
    examples=[
        ("strongroom restores list", "the newest restores"),
        ("strongroom restores list acme/orders", "of one service's backups"),
        ("strongroom restores list --state running", "those under way"),
    ],
)
async def list_(call: Call, scope: ScopeArgument = "", state: StateOption = None, limit: LimitOption = 50) -> None:
    """List restores, newest first."""
    project, service = parse_scope(scope)

    async def page(cursor: str, wanted: int) -> control.Restores:
        request = control.RestoreList(project=project, service=service, states=state or [], cursor=cursor, limit=wanted)
        return await client.ask(control.RESTORE_LIST, request)

    async with call.connect() as client:
        answers = [answer async for answer in pages(page, lambda answer: len(answer.restores), limit)]
    found = [record for answer in answers for record in answer.restores]
    answer = msgspec.structs.replace(answers[-1], restores=found)

    def draw(console: Console) -> None:
        if found:
            draw_restores(console, found)
        elif state:
            call.terminal.say("No restore is like that: without --state all are listed.")
        else:
            call.terminal.say("Nothing has been restored yet: `strongroom restore BACKUP` does it.")
        if len(found) < answer.total:
            call.terminal.say(f"These are the newest {len(found):,} of {answer.total:,}: --limit shows more.")

    call.terminal.result(answer, draw, items=found)


@command(
    restores, "show", examples=[("strongroom restores show acme/orders/latest", "the newest of that service's backups")]
)
async def show(call: Call, restore: RestoreArgument) -> None:
    """Show a restore: where it went, what it restored, what went wrong."""
    async with call.connect() as client:
        ref = await _resolved(client, parse_run_ref(restore, "restore"))
        record = await _show(client, ref)
    call.terminal.result(record, lambda console: draw_restore(console, record))


@command(restores, "cancel", examples=[("strongroom restores cancel acme/orders/latest", "stop the newest one")])
async def cancel(call: Call, restore: RestoreArgument) -> None:
    """Cancel a restore under way; what is not in place yet is undone."""
    async with call.connect() as client:
        ref = await _resolved(client, parse_run_ref(restore, "restore"))
        request = control.RunRefRequest(project=ref.project, service=ref.service, id=ref.id, actor=call.actor)
        record = await client.ask(control.RESTORE_CANCEL, request)
    call.terminal.result(record, lambda console: console.print(f"Cancelled {run_name(record)}"))


async def _what_is_replaced(client: ControlClient, request: control.RestoreCreate) -> tuple[control.RestoreCreate, str]:
    """The request for the very backup that was looked at, and what is lost by it.  Raises: NotFound."""
    record = await backup_record(client, RunRef(request.project, request.service, request.id))
    names = [request.rename.get(each.name, each.name) for each in record.artifacts if each.name in request.artifacts]
    if not request.artifacts:
        names = [request.rename.get(each.name, each.name) for each in record.artifacts]
    shown = [repr(visible(name)) for name in names[:_NAMED]]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    into = f"{request.to_project or request.project}/{request.to_service or request.service}"
    where = f" below {request.directory}" if request.directory else ""
    age = moment(record.requested_at, utc_now()).plain
    return msgspec.structs.replace(request, id=record.id), (
        f"What {into} has there{where} under these names is replaced: {', '.join(shown)}{more}.\n"
        f"What was written to it since the backup ({age}) is lost, unless a newer backup has it."
    )


async def _follow(call: Call, client: ControlClient, record: RestoreRecord) -> None:
    """Waits for the end and tells it.  Raises: RunFailed when it is not a good one."""
    ended = await follow_run(client, record, call.terminal)
    failure = failure_of(ended)
    if failure is None or call.terminal.as_json:
        call.terminal.result(ended, lambda console: draw_outcome(console, ended))
    if failure is not None:
        call.terminal.say(unhappy_end(ended))
        raise failure


async def _resolved(client: ControlClient, ref: RunRef) -> RunRef:
    """With `latest`, the newest restore of the service's backups, whatever its state.  Raises: NotFound."""
    if ref.id != LATEST:
        return ref
    request = control.RestoreList(project=ref.project, service=ref.service, limit=1)
    found = (await client.ask(control.RESTORE_LIST, request)).restores
    if not found:
        raise NotFound(
            "restore.not_found", f"no backup of {ref.project}/{ref.service} has been restored yet", field="restore"
        )
    return ref._replace(id=found[0].id)


async def _show(client: ControlClient, ref: RunRef, *, timeout_s: float = 30) -> RestoreRecord:
    request = control.RunRefRequest(project=ref.project, service=ref.service, id=ref.id)
    return await client.ask(control.RESTORE_SHOW, request, timeout_s=timeout_s)
