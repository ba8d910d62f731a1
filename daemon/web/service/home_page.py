"""The service's first page: how it stands, what runs, and all its backups."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler

from contracts import control
from contracts.control import DueTimes
from contracts.errors import StrongroomError
from contracts.policy.schedule_words import schedule_words
from daemon.http.backend import Backend
from daemon.web.forms import Form
from daemon.web.login_pages import safe_way
from daemon.web.rendering import redirect, render_fragment
from daemon.web.service.advice import advice_of
from daemon.web.service.backup_filter import parse_filter
from daemon.web.service.backup_list import page_of_backups
from daemon.web.service.day_strip import day_strip, strip_words
from daemon.web.service.judged import Judged, judged_backups
from daemon.web.service.scope import Scope, scope_of, service_context, service_page
from daemon.web.visits import AnyRequest, is_fragment

_RESTORES: Final = 5
_PAST: Final = 10_000
"""Entries of the ledger that are looked at: a month of a run every five minutes."""
_REFRESHED: Final = "backup-rows"
"""The part that refreshes itself, which is no step of whoever looks at it."""
_NOWHERE: Final = Form.filled(node="", tags="")


def home_page(backend: Backend) -> Sequence[HTTPRouteHandler]:
    @get("/projects/{project:str}/services/{service:str}")
    async def home(request: AnyRequest) -> Response[Any]:
        return await _home(backend, request, await scope_of(backend, request))

    @get("/projects/{project:str}/services/{service:str}/backups")
    async def backups(request: AnyRequest) -> Response[Any]:
        """The list alone, as a part of the page; whoever comes here by the address is taken to the page."""
        scope = await scope_of(backend, request)
        chosen = parse_filter(request.query_params)
        address = f"{scope.places.home}{chosen.query(after=chosen.after)}"
        if not is_fragment(request):
            return redirect(request, f"{address}#backups")
        judged = await judged_backups(backend, scope)
        page = page_of_backups(judged, chosen, scope.view.record.retention.protected_tags)
        response = render_fragment(request, "service/_backups.html", **service_context(scope), page=page)
        if request.headers.get("hx-trigger") != _REFRESHED:
            response.headers["HX-Push-Url"] = address
        return response

    @get("/projects/{project:str}/services/{service:str}/state")
    async def state(request: AnyRequest) -> Response[Any]:
        """How it stands, as a part of the page."""
        scope = await scope_of(backend, request)
        judged, dues = await asyncio.gather(judged_backups(backend, scope), _dues(backend, scope))
        return render_fragment(
            request, "service/_state.html", **service_context(scope), **_state(backend, scope, judged, dues)
        )

    @get("/projects/{project:str}/services/{service:str}/running")
    async def running(request: AnyRequest) -> Response[Any]:
        """What is under way, as a part of the page."""
        scope = await scope_of(backend, request)
        active = await _active(backend, scope)
        return render_fragment(request, "service/_running.html", **service_context(scope), active=active)

    @post("/projects/{project:str}/services/{service:str}/backups")
    async def back_up(request: AnyRequest) -> Response[Any]:
        scope = await scope_of(backend, request)
        form = await Form.of(request)
        wanted = control.BackupCreate(
            project=scope.project,
            service=scope.service,
            node=form.value("node"),
            tags=form.value("tags").replace(",", " ").split(),
        )
        try:
            made = await backend.control.invoke(control.BACKUP_CREATE, wanted, scope.caller)
        except StrongroomError as exc:
            form.refuse(exc, fields=("node", "tags"))
            return await _home(backend, request, scope, form=form)
        back = form.value("back")
        to = safe_way(back) if back else scope.places.home
        return redirect(request, to, says=f"A backup of {scope.project}/{scope.service} was asked for, on {made.node}.")

    return [home, backups, state, running, back_up]


async def _home(backend: Backend, request: AnyRequest, scope: Scope, *, form: Form = _NOWHERE) -> Response[Any]:
    """With the form for a new backup open where something is wrong with it."""
    chosen = parse_filter(request.query_params)
    judged, dues, active, restores, nodes = await asyncio.gather(
        judged_backups(backend, scope),
        _dues(backend, scope),
        _active(backend, scope),
        _restores(backend, scope),
        alive_nodes(backend, scope),
    )
    page = page_of_backups(judged, chosen, scope.view.record.retention.protected_tags)
    return service_page(
        request,
        scope,
        "home.html",
        tab="backups",
        status=422 if form.errors else 200,
        page=page,
        active=active,
        restores=restores,
        nodes=nodes,
        form=form,
        **_state(backend, scope, judged, dues),
    )


def _state(backend: Backend, scope: Scope, judged: Judged, dues: DueTimes) -> dict[str, Any]:
    kept = judged.kept
    cells = day_strip(dues.past, backend.now())
    return {
        "advices": advice_of(scope.view, scope.caller.role),
        "dues": dues,
        "schedule_words": schedule_words(dues.schedule),
        "cells": cells,
        "strip_words": strip_words(cells),
        "kept": len(kept),
        "kept_bytes": sum(verdict.run.size_bytes for verdict in kept),
        "freeze": judged.freeze,
    }


async def alive_nodes(backend: Backend, scope: Scope) -> dict[str, str]:
    """Of the service's nodes, what each sees of the engine; without words for whoever may not see nodes."""
    if scope.caller.project:
        return dict.fromkeys(scope.view.record.nodes, "")
    views = (await backend.control.invoke(control.NODE_LIST, control.Nothing(), scope.caller)).nodes
    alive = {view.record.name: view.alive for view in views}
    found = {}
    for node in scope.view.record.nodes:
        beat = alive.get(node)
        health = beat.services.get(f"{scope.project}/{scope.service}") if beat else None
        if beat is None:
            found[node] = "silent"
        elif health is None:
            found[node] = "not configured"
        else:
            found[node] = (
                " ".join(word for word in (health.role or "alive", health.version) if word)
                if health.reachable
                else "engine out of reach"
            )
    return found


async def _dues(backend: Backend, scope: Scope) -> DueTimes:
    request = control.ServiceDues(project=scope.project, service=scope.service, next=1, past=_PAST)
    return await backend.control.invoke(control.SERVICE_DUES, request, scope.caller)


async def _active(backend: Backend, scope: Scope) -> Any:
    """The record of the backup under way, if there is one."""
    if not scope.view.active:
        return None
    reference = control.RunRefRequest(project=scope.project, service=scope.service, id=scope.view.active)
    try:
        record = await backend.control.invoke(control.BACKUP_RECORD, reference, scope.caller)
    except StrongroomError:
        return None  # its place is taken before its record is written
    return record if record.state.is_active else None


async def _restores(backend: Backend, scope: Scope) -> control.Restores:
    request = control.RestoreList(project=scope.project, service=scope.service, limit=_RESTORES)
    return await backend.control.invoke(control.RESTORE_LIST, request, scope.caller)
