"""A restore as it goes, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler

from contracts import control
from contracts.errors import Conflict
from daemon.http.backend import Backend
from daemon.web.confirming import ask_first
from daemon.web.forms import Form
from daemon.web.rendering import redirect, render_fragment
from daemon.web.service.backup_page import logged
from daemon.web.service.scope import scope_of, service_context, service_page
from daemon.web.visits import AnyRequest, Tone, is_fragment

_OF_RESTORE: Final = "/projects/{project:str}/services/{service:str}/restores/{id:str}"


def restore_page(backend: Backend) -> Sequence[HTTPRouteHandler]:
    @get(_OF_RESTORE)
    async def restore(request: AnyRequest) -> Response[Any]:
        names = request.path_params
        scope = await scope_of(backend, request)
        reference = control.RunRefRequest(project=names["project"], service=names["service"], id=names["id"])
        record = await backend.control.invoke(control.RESTORE_SHOW, reference, scope.caller)
        lines = [] if record.state.is_active else await logged(backend, record)
        if is_fragment(request):
            return render_fragment(request, "service/_restore.html", **service_context(scope), record=record, lines=lines)
        return service_page(request, scope, "restore.html", record=record, lines=lines)

    @post(f"{_OF_RESTORE}/cancel")
    async def cancel(request: AnyRequest) -> Response[Any]:
        names = request.path_params
        scope = await scope_of(backend, request)
        form, back = await Form.of(request), scope.places.restore(names["id"])
        if not form.confirmed:
            text = "What is in place already stays; what is not is undone."
            return ask_first(request, form, "Cancel this restore?", text=text, yes="Cancel the restore", back=back)
        reference = control.RunRefRequest(project=names["project"], service=names["service"], id=names["id"])
        try:
            await backend.control.invoke(control.RESTORE_CANCEL, reference, scope.caller)
        except Conflict as exc:
            return redirect(request, back, says=exc.message, tone=Tone.BAD)
        return redirect(request, back, says="The restore was cancelled.")

    return [restore, cancel]
