"""What people do to a backup: tags, protection, cancelling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from litestar import Response, post
from litestar.handlers import HTTPRouteHandler

from contracts import control
from contracts.errors import Conflict, InvalidInput, StrongroomError
from contracts.policy.tags import TIME_TAGS
from daemon.http.backend import Backend
from daemon.web.confirming import ask_first
from daemon.web.forms import Form
from daemon.web.rendering import redirect
from daemon.web.service.backup_page import need_backup, show_backup
from daemon.web.service.scope import Scope, scope_of
from daemon.web.visits import AnyRequest, Tone

_OF_BACKUP = "/projects/{project:str}/services/{service:str}/backups/{id:str}"


def backup_actions(backend: Backend) -> Sequence[HTTPRouteHandler]:
    async def begin(request: AnyRequest) -> tuple[Scope, str, Form]:
        names = request.path_params
        scope = await scope_of(backend, request)
        return scope, names["id"], await Form.of(request)

    @post(f"{_OF_BACKUP}/tags")
    async def tags(request: AnyRequest) -> Response[Any]:
        """The tags that people gave, as a whole: what is not named any more is taken away."""
        scope, id_, form = await begin(request)
        record = await need_backup(backend, scope, id_)
        wanted, before = form.value("tags").replace(",", " ").split(), set(record.tags) - TIME_TAGS
        change = control.BackupTag(
            project=scope.project,
            service=scope.service,
            id=id_,
            add=[tag for tag in wanted if tag not in before],
            remove=sorted(before.difference(wanted)),
        )
        try:
            await backend.control.invoke(control.BACKUP_TAG, change, scope.caller)
        except StrongroomError as exc:
            form.refuse(exc, add="tags", remove="tags")
            return await show_backup(backend, request, scope, record, form=form)
        return redirect(request, scope.places.backup(id_), says="The tags were changed.")

    @post(f"{_OF_BACKUP}/protection")
    async def protection(request: AnyRequest) -> Response[Any]:
        scope, id_, form = await begin(request)
        protect = form.value("protect") == "yes"
        call = control.BackupProtect(project=scope.project, service=scope.service, id=id_, protect=protect)
        back = scope.places.home if form.value("back") == "list" else scope.places.backup(id_)
        try:
            await backend.control.invoke(control.BACKUP_PROTECT, call, scope.caller)
        except (Conflict, InvalidInput) as exc:
            return redirect(request, back, says=exc.message, tone=Tone.BAD)
        says = "It is protected: only people can delete it." if protect else "It is not protected any more."
        return redirect(request, back, says=says)

    @post(f"{_OF_BACKUP}/cancel")
    async def cancel(request: AnyRequest) -> Response[Any]:
        scope, id_, form = await begin(request)
        back = scope.places.backup(id_)
        if not form.confirmed:
            text = "What was uploaded so far is discarded."
            return ask_first(request, form, "Cancel this backup?", text=text, yes="Cancel the backup", back=back)
        reference = control.RunRefRequest(project=scope.project, service=scope.service, id=id_)
        try:
            await backend.control.invoke(control.BACKUP_CANCEL, reference, scope.caller)
        except Conflict as exc:
            return redirect(request, back, says=exc.message, tone=Tone.BAD)
        return redirect(request, back, says="The backup was cancelled.")

    return [tags, protection, cancel]
