"""One backup: what it holds, how it went, how it is read and restored with and without Strongroom."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from datetime import timedelta
from functools import partial
from typing import Any, Final

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from contracts import control
from contracts.access import Role
from contracts.errors import StrongroomError
from contracts.events import EVENT_TYPES, Event
from contracts.native_restore import native_restore_commands
from contracts.policy.tags import TIME_TAGS
from contracts.records import AnyRun, ArtifactRecord, BackupRecord, RunState
from daemon.activity import EventFilter, LogFilter, events, log_lines
from daemon.artifacts.names import file_name
from daemon.http.backend import Backend
from daemon.web.forms import Form
from daemon.web.rendering import redirect, render_fragment
from daemon.web.service.backup_rows import backup_rows
from daemon.web.service.inventory_tables import inventory_tables
from daemon.web.service.judged import judged_backups
from daemon.web.service.run_view import ShownLine, shown_line
from daemon.web.service.scope import Scope, scope_of, service_context, service_page
from daemon.web.visits import AnyRequest, is_fragment

_LINES: Final = 500
"""Log lines of a run that a page shows, the newest."""
_EVENTS: Final = 200
_LOOKED_THROUGH: Final = 20_000
"""Events that are looked through for those of one backup."""
_COMMANDS: Final = 10
"""Artifacts whose lines are written out; the others are restored likewise."""
_OF_BACKUP: Final = "/projects/{project:str}/services/{service:str}/backups/{id:str}"


def backup_page(backend: Backend) -> Sequence[HTTPRouteHandler]:
    @get(_OF_BACKUP)
    async def backup(request: AnyRequest) -> Response[Any]:
        names = request.path_params
        scope = await scope_of(backend, request)
        record = await need_backup(backend, scope, names["id"])
        if names["id"] != record.id:  # `latest`
            return redirect(request, scope.places.backup(record.id))
        return await show_backup(backend, request, scope, record)

    @get(f"{_OF_BACKUP}/history")
    async def history(request: AnyRequest) -> Response[Any]:
        """What was logged and stated of it, as a part of the page."""
        names = request.path_params
        scope = await scope_of(backend, request)
        record = await need_backup(backend, scope, names["id"])
        if not is_fragment(request):
            return redirect(request, f"{scope.places.backup(record.id)}#history")
        return render_fragment(
            request,
            "service/_history.html",
            lines=await logged(backend, record),
            events=await _events_of(backend, record),
            event_words=EVENT_TYPES,
        )

    return [backup, history]


async def need_backup(backend: Backend, scope: Scope, id_: str) -> BackupRecord:
    """Raises: NotFound, InvalidInput."""
    reference = control.RunRefRequest(project=scope.project, service=scope.service, id=id_)
    return await backend.control.invoke(control.BACKUP_RECORD, reference, scope.caller)


async def show_backup(
    backend: Backend, request: AnyRequest, scope: Scope, record: BackupRecord, *, form: Form | None = None
) -> Response[Any]:
    """The page, with a form of tags that was refused, if there is one.  A part of it for a browser that has it open."""
    judged = await judged_backups(backend, scope)
    own = [tag for tag in record.tags if tag not in TIME_TAGS]
    context = {
        "record": record,
        "row": backup_rows([record], judged.verdicts, scope.view.record.retention.protected_tags)[0],
        "form": form or Form.filled(tags=" ".join(own)),
        "commands": stock_commands(record.artifacts) if record.state is RunState.COMPLETED else [],
        "plain_name": partial(file_name, encrypted=False),
        "likewise": max(0, len(record.artifacts) - _COMMANDS),
        **await _detail(backend, scope, record),
    }
    if is_fragment(request):
        return render_fragment(request, "service/_backup.html", **service_context(scope), **context)
    return service_page(request, scope, "backup.html", status=422 if form and form.errors else 200, **context)


def stock_commands(artifacts: Sequence[ArtifactRecord]) -> list[tuple[str, list[str]]]:
    """Name and shell lines of each artifact, as far as they are shown: they need nothing of ours."""
    return [(artifact.name, native_restore_commands(artifact)) for artifact in artifacts[:_COMMANDS]]


async def logged(backend: Backend, record: AnyRun) -> list[ShownLine]:
    """The newest lines that are kept of a run, oldest first; none where they cannot be read at the moment."""
    wanted = LogFilter(project=record.project, service=record.service, run_id=record.id)
    found: list[ShownLine] = []
    try:
        async with aclosing(log_lines(backend.client, wanted, last=_LINES, follow=False)) as lines:
            async for line in lines:
                found.append(shown_line(line.value))  # noqa: PERF401 - what was read before a failure is shown
    except StrongroomError:
        return found
    return found


async def _detail(backend: Backend, scope: Scope, record: BackupRecord) -> dict[str, Any]:
    """What the manifest says, for whoever may know; `sealed` where only the owner of the identity can read it."""
    nothing: dict[str, Any] = {"tools": {}, "inventory": [], "sealed": False, "unreadable": ""}
    if record.state is not RunState.COMPLETED or not scope.caller.role.covers(Role.OPERATOR):
        return nothing
    reference = control.RunRefRequest(project=scope.project, service=scope.service, id=record.id)
    try:
        detail = await backend.control.invoke(control.BACKUP_SHOW, reference, scope.caller)
    except StrongroomError as exc:
        return {**nothing, "unreadable": exc.message}
    return {
        "tools": detail.tools,
        "inventory": inventory_tables(detail.inventory),
        "sealed": detail.inventory is None,
        "unreadable": "",
    }


async def _events_of(backend: Backend, record: BackupRecord) -> list[Event]:
    """What was stated of the backup and its restores, oldest first."""
    wanted = EventFilter(project=record.project, service=record.service, types=("backup", "restore"))
    # What is about it was stated after it was asked for; a second for clocks that disagree.
    since = record.requested_at - timedelta(minutes=1)
    found: list[Event] = []
    looked_through = 0
    try:
        async with aclosing(events(backend.client, wanted, since=since, follow=False)) as stored:
            async for each in stored:
                looked_through += 1
                if each.value.backup_id == record.id:
                    found.append(each.value)
                if len(found) >= _EVENTS or looked_through >= _LOOKED_THROUGH:
                    break
    except StrongroomError:
        return found
    return found
