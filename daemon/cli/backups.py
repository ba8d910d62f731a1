"""`strongroom backup`: made, followed, looked at, cancelled, tagged, deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Console

from contracts import control
from contracts.errors import Conflict, Corrupt, NotFound, Unavailable
from contracts.ids import parse_service_ref
from contracts.records import BackupRecord, RunState
from daemon.cli import backup_tags
from daemon.cli.arguments import (
    BackupArgument,
    LimitOption,
    NoWaitOption,
    ScopeArgument,
    ServiceArgument,
    StateOption,
    YesOption,
)
from daemon.cli.backup_views import draw_backup, draw_backups, draw_outcome
from daemon.cli.command import Call, command
from daemon.cli.confirming import confirm
from daemon.cli.figures import size, when
from daemon.cli.following import failure_of, follow_run
from daemon.cli.help_pages import Index
from daemon.cli.paging import pages
from daemon.cli.records import backup_record
from daemon.cli.references import LATEST, RunRef, parse_run_ref, parse_scope
from daemon.cli.words import run_name, unhappy_end

if TYPE_CHECKING:
    from daemon.cli.client import ControlClient

backups = typer.Typer(cls=Index, no_args_is_help=True, help="Backups of services.")

DELETE_S = 600.0
"""Of thousands of objects."""


def add_to(app: typer.Typer) -> None:
    app.add_typer(backups, name="backup", rich_help_panel="Back up and restore")
    backup_tags.add_to(backups)


@command(
    backups,
    "create",
    examples=[
        ("strongroom backup create acme/orders", "back up now, and wait for the end"),
        ("strongroom backup create acme/orders --tag before-migration", "with a tag to find it by"),
        ("id=$(strongroom backup create acme/orders --no-wait)", "start it, and go on with other things"),
    ],
)
async def create(
    call: Call,
    service: ServiceArgument,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", metavar="TAG", help="A tag of the backup. May be repeated.")
    ] = None,
    node: Annotated[str, typer.Option("--node", metavar="NODE", help="Make it there, not where it fits best.")] = "",
    no_wait: NoWaitOption = False,
) -> None:
    """Back a service up now, and wait for the end.

    Ends with status 5 when the backup fails.  Interrupting it (Ctrl-C) only ends the waiting."""
    project, name = parse_service_ref(service)
    request = control.BackupCreate(project=project, service=name, node=node, tags=tag or [], actor=call.actor)
    async with call.connect() as client:
        record = await client.ask(control.BACKUP_CREATE, request)
        if no_wait:
            call.terminal.result(record, lambda console: console.print(run_name(record), soft_wrap=True))
            return
        await _follow(call, client, record)


@command(
    backups,
    "follow",
    examples=[("strongroom backup follow acme/orders/20261122T000512Z-k7xq", "wait for it again after an interruption")],
)
async def follow(call: Call, backup: BackupArgument) -> None:
    """Wait for a backup under way; `latest` is the one that runs now.

    Ends with status 5 when the backup fails, or has failed."""
    async with call.connect() as client:
        ref = await _active(client, parse_run_ref(backup, "backup"))
        await _follow(call, client, await backup_record(client, ref))


@command(
    backups,
    "list",
    examples=[
        ("strongroom backup list", "the newest backups of everything"),
        ("strongroom backup list acme/orders --limit 500", "of one service"),
        ("strongroom backup list acme --state failed --state missed", "what went wrong"),
        ("strongroom backup list --tag before-migration --output ndjson | jq -r .id", "by a tag, for a program"),
    ],
)
async def list_(
    call: Call,
    scope: ScopeArgument = "",
    state: StateOption = None,
    tag: Annotated[str, typer.Option("--tag", metavar="TAG", help="Only those that bear it.", show_default=False)] = "",
    limit: LimitOption = 50,
) -> None:
    """List backups, newest first."""
    project, service = parse_scope(scope)

    async def page(cursor: str, wanted: int) -> control.Backups:
        request = control.BackupList(
            project=project, service=service, states=state or [], tag=tag, cursor=cursor, limit=wanted
        )
        return await client.ask(control.BACKUP_LIST, request)

    async with call.connect() as client:
        answers = [answer async for answer in pages(page, lambda answer: len(answer.backups), limit)]
    found = [record for answer in answers for record in answer.backups]
    answer = msgspec.structs.replace(answers[-1], backups=found)

    def draw(console: Console) -> None:
        if found:
            draw_backups(console, found)
        elif state or tag:
            call.terminal.say("No backup is like that: without --state and --tag all are listed.")
        else:
            call.terminal.say("There are no backups yet: `strongroom backup create PROJECT/SERVICE` makes one.")
        if len(found) < answer.total:
            call.terminal.say(f"These are the newest {len(found):,} of {answer.total:,}: --limit shows more.")

    call.terminal.result(answer, draw, items=found)


@command(
    backups,
    "show",
    examples=[
        ("strongroom backup show acme/orders/latest", "what is in it, and how to restore it with stock tools"),
        ("strongroom backup show acme/orders/latest --json | jq .inventory", "object by object, for a program"),
    ],
)
async def show(call: Call, backup: BackupArgument) -> None:
    """Show a backup: artifacts, inventory, warnings, and the stock commands that restore it without Strongroom."""
    ref = parse_run_ref(backup, "backup")
    async with call.connect() as client:
        request = control.RunRefRequest(project=ref.project, service=ref.service, id=ref.id)
        detail = await client.ask(control.BACKUP_SHOW, request)
    call.terminal.result(detail, lambda console: draw_backup(console, detail))


@command(
    backups,
    "cancel",
    examples=[
        ("strongroom backup cancel acme/orders/20261122T000512Z-k7xq", "stop this one"),
        ("strongroom backup cancel acme/orders/latest", "stop the one that runs now"),
    ],
)
async def cancel(call: Call, backup: BackupArgument) -> None:
    """Cancel a backup under way; `latest` is the one that runs now.  Nothing of it is kept."""
    async with call.connect() as client:
        ref = await _active(client, parse_run_ref(backup, "backup"))
        request = control.RunRefRequest(project=ref.project, service=ref.service, id=ref.id, actor=call.actor)
        record = await client.ask(control.BACKUP_CANCEL, request)
    call.terminal.result(record, lambda console: console.print(f"Cancelled {run_name(record)}"))


@command(
    backups,
    "delete",
    examples=[
        ("strongroom backup delete acme/orders/20261122T000512Z-k7xq", "asks first"),
        ("strongroom backup delete acme/orders/20261122T000512Z-k7xq --yes --reason 'wrong server'", "in a script"),
        ("strongroom backup delete acme/orders/20261122T000512Z-k7xq --force", "even if it is protected"),
    ],
)
async def delete(
    call: Call,
    backup: BackupArgument,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="For the audit log.", show_default=False)] = "",
    force: Annotated[bool, typer.Option("--force", help="Even if it bears a protected tag.", show_default=False)] = False,
    yes: YesOption = False,
) -> None:
    """Delete a backup with all its objects, for good."""
    ref = parse_run_ref(backup, "backup")
    async with call.connect() as client:
        ref, question = await _what_goes(client, ref, force=force)
        confirm(question, yes=yes, doing=f"deleting {ref}")
        request = control.BackupDelete(project=ref.project, service=ref.service, id=ref.id, force=force, actor=call.actor)
        if reason:
            request = msgspec.structs.replace(request, reason=reason)
        answer = await client.ask(control.BACKUP_DELETE, request, timeout_s=DELETE_S)
    call.terminal.result(answer, lambda console: console.print(f"Deleted {ref}"))


async def _follow(call: Call, client: ControlClient, record: BackupRecord) -> None:
    """Waits for the end and tells it.  Raises: RunFailed when it is not a good one."""
    ended = await follow_run(client, record, call.terminal)
    failure = failure_of(ended)
    if failure is None or call.terminal.as_json:
        call.terminal.result(ended, lambda console: draw_outcome(console, ended))
    if failure is not None:
        call.terminal.say(unhappy_end(ended))
        raise failure


async def _active(client: ControlClient, ref: RunRef) -> RunRef:
    """With `latest`, the backup that runs now.  Raises: NotFound when none does."""
    if ref.id != LATEST:
        return ref
    view = await client.ask(control.SERVICE_SHOW, control.ServiceRef(project=ref.project, service=ref.service))
    if not view.active:
        raise NotFound("backup.not_found", f"no backup of {ref.project}/{ref.service} is under way", field="backup")
    return ref._replace(id=view.active)


async def _what_goes(client: ControlClient, ref: RunRef, *, force: bool) -> tuple[RunRef, str]:
    """The very backup that will be deleted, and the question whether it should.

    A backup whose manifest is damaged or cannot be read must still be deletable, by its id.
    Raises: Conflict `backup.protected` for one that bears a protected tag, without `force`.
    """
    try:
        record = await backup_record(client, ref)
    except (Corrupt, Unavailable):
        if ref.id == LATEST:
            raise
        return ref, f"Delete {ref}, about which nothing can be read?"
    ref = ref._replace(id=record.id)
    if record.state.is_active:
        raise Conflict("run.not_current", f"backup {ref} is {record.state}: cancel it first with `strongroom backup cancel`")
    facts = f"{record.state}, of {when(record.requested_at)}"
    if record.state is RunState.COMPLETED:
        facts += f", {size(record.size_bytes)} stored"
    if protection := await backup_tags.protection_of(client, record):
        if not force:
            raise Conflict(
                "backup.protected", f"backup {ref} bears the protected tag {protection!r}: --force deletes it all the same"
            )
        facts += f", protected by its tag {protection!r}"
    return ref, f"Delete {ref} ({facts}) for good?"
