"""Deleting a backup: asked once more on a page of its own, and by its name where it is protected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler

from contracts import control
from contracts.access import Role
from contracts.errors import Conflict
from contracts.records import BackupRecord
from daemon.http.authentication import need_role
from daemon.http.backend import Backend
from daemon.web.forms import Form
from daemon.web.rendering import redirect
from daemon.web.service.backup_page import need_backup
from daemon.web.service.scope import Scope, scope_of, service_page
from daemon.web.visits import AnyRequest

_OF_BACKUP: Final = "/projects/{project:str}/services/{service:str}/backups/{id:str}"


def backup_deletion(backend: Backend) -> Sequence[HTTPRouteHandler]:
    async def begin(request: AnyRequest) -> tuple[Scope, BackupRecord, Form]:
        names = request.path_params
        scope = await scope_of(backend, request)
        need_role(scope.caller, Role.ADMIN, project=scope.project, what="deleting a backup")
        record = await need_backup(backend, scope, names["id"])
        return scope, record, await Form.of(request) if request.method == "POST" else Form()

    @get(f"{_OF_BACKUP}/delete")
    async def ask_delete(request: AnyRequest) -> Response[Any]:
        scope, record, form = await begin(request)
        return _question(request, scope, record, form)

    @post(f"{_OF_BACKUP}/delete")
    async def delete(request: AnyRequest) -> Response[Any]:
        scope, record, form = await begin(request)
        protected = is_protected(scope, record)
        if protected and form.value("typed") != record.id:
            form.field_errors["typed"] = f"type {record.id} to delete a protected backup"
            return _question(request, scope, record, form)
        call = control.BackupDelete(
            project=scope.project,
            service=scope.service,
            id=record.id,
            reason=form.value("reason")[:200] or "asked for in the browser",
            force=protected,
        )
        try:
            await backend.control.invoke(control.BACKUP_DELETE, call, scope.caller)
        except Conflict as exc:
            form.refuse(exc, fields=("typed", "reason"))
            return _question(request, scope, record, form)
        return redirect(request, scope.places.home, says=f"The backup {record.id} was deleted.")

    return [ask_delete, delete]


def is_protected(scope: Scope, record: BackupRecord) -> bool:
    """Whether it bears a tag that the service's policy protects."""
    return not set(record.tags).isdisjoint(scope.view.record.retention.protected_tags)


def _question(request: AnyRequest, scope: Scope, record: BackupRecord, form: Form) -> Response[Any]:
    good = scope.view.last_completed
    return service_page(
        request,
        scope,
        "delete_backup.html",
        status=422 if form.errors else 200,
        record=record,
        protected=is_protected(scope, record),
        is_newest=good is not None and good.id == record.id,
        form=form,
    )
