"""What is backed up of a service, by which nodes; and how a service is deleted and had back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler

from contracts import control
from contracts.access import Role
from contracts.errors import Conflict, StrongroomError
from daemon.http.authentication import need_role
from daemon.http.backend import Backend
from daemon.web.forms import Form
from daemon.web.option_forms import PREFIX, filled_options, option_fields, read_options
from daemon.web.rendering import redirect
from daemon.web.service.home_page import alive_nodes
from daemon.web.service.scope import Scope, scope_of, service_page
from daemon.web.visits import AnyRequest, Tone

_OF_SERVICE: Final = "/projects/{project:str}/services/{service:str}"


def settings_page(backend: Backend) -> Sequence[HTTPRouteHandler]:
    @get(f"{_OF_SERVICE}/settings")
    async def settings(request: AnyRequest) -> Response[Any]:
        scope = await scope_of(backend, request)
        record = scope.view.record
        form = Form.filled(nodes="\n".join(record.nodes), **filled_options(record.options))
        return await _show(backend, request, scope, form)

    @post(f"{_OF_SERVICE}/settings")
    async def save(request: AnyRequest) -> Response[Any]:
        scope = await scope_of(backend, request)
        form = await Form.of(request)
        try:
            change = control.ServiceChange(
                project=scope.project,
                service=scope.service,
                options=read_options(scope.view.kind, form),
                nodes=form.value("nodes").replace(",", " ").split(),
            )
            await backend.control.invoke(control.SERVICE_CHANGE, change, scope.caller)
        except StrongroomError as exc:
            form.refuse(exc, node="nodes")
            return await _show(backend, request, scope, form)
        return redirect(request, scope.places.settings, says="The settings were changed; they hold from the next backup on.")

    @get(f"{_OF_SERVICE}/delete")
    async def ask_delete(request: AnyRequest) -> Response[Any]:
        scope = await scope_of(backend, request)
        need_role(scope.caller, Role.ADMIN, project=scope.project, what="deleting a service")
        return await _question(backend, request, scope, Form())

    @post(f"{_OF_SERVICE}/delete")
    async def delete(request: AnyRequest) -> Response[Any]:
        scope = await scope_of(backend, request)
        form = await Form.of(request)
        if form.value("typed") != scope.service:
            form.field_errors["typed"] = f"type {scope.service} to delete it"
            return await _question(backend, request, scope, form)
        call = control.ServiceDelete(project=scope.project, service=scope.service)
        try:
            await backend.control.invoke(control.SERVICE_DELETE, call, scope.caller)
        except Conflict as exc:
            return redirect(request, scope.places.home, says=exc.message, tone=Tone.BAD)
        return redirect(
            request, scope.places.home, says=f"{scope.project}/{scope.service} was deleted; it can still be had back."
        )

    @post(f"{_OF_SERVICE}/undelete")
    async def undelete(request: AnyRequest) -> Response[Any]:
        scope = await scope_of(backend, request)
        call = control.ServiceDelete(project=scope.project, service=scope.service)
        try:
            await backend.control.invoke(control.SERVICE_UNDELETE, call, scope.caller)
        except Conflict as exc:
            return redirect(request, scope.places.home, says=exc.message, tone=Tone.BAD)
        return redirect(
            request,
            scope.places.home,
            says=f"{scope.project}/{scope.service} is back; what was due meanwhile is not made up for.",
        )

    return [settings, save, ask_delete, delete, undelete]


async def _show(backend: Backend, request: AnyRequest, scope: Scope, form: Form) -> Response[Any]:
    return service_page(
        request,
        scope,
        "settings.html",
        tab="settings",
        status=422 if form.errors else 200,
        form=form,
        options=option_fields(scope.view.kind),
        prefix=PREFIX,
        values=_spelled(scope),
        nodes=await alive_nodes(backend, scope),
    )


def _spelled(scope: Scope) -> dict[str, str]:
    """The options as whoever may not change them reads them."""
    values = msgspec.to_builtins(scope.view.record.options)
    return {name: _words(name, value) for name, value in values.items()}


def _words(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        # Without any name of what is backed up, everything is.
        return ", ".join(map(str, value)) or ("all" if name == "include" else "none")
    return str(value)


async def _question(backend: Backend, request: AnyRequest, scope: Scope, form: Form) -> Response[Any]:
    status = await backend.control.invoke(control.STATUS, control.Nothing(), scope.caller)
    listing = control.BackupList(project=scope.project, service=scope.service, limit=1)
    total = (await backend.control.invoke(control.BACKUP_LIST, listing, scope.caller)).total
    return service_page(
        request,
        scope,
        "delete_service.html",
        status=422 if form.errors else 200,
        form=form,
        total=total,
        grace_days=status.grace_days,
    )
