"""The first page: is everything safe, and if not, what is to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from contracts import control
from contracts.ids import run_id_time
from contracts.records import RestoreRecord, RunState
from daemon.access.caller import Caller
from daemon.http.backend import Backend
from daemon.web.rendering import render, render_fragment
from daemon.web.service.advice import advice_of
from daemon.web.sessions import need_session
from daemon.web.verdict import verdict_on
from daemon.web.visits import AnyRequest, is_fragment

_ATTENTION: Final = 12
_PROJECTS: Final = 12
_RESTORES: Final = 10


def overview_page(backend: Backend) -> Sequence[HTTPRouteHandler]:
    @get("/")
    async def overview(request: AnyRequest) -> Response[Any]:
        caller = need_session(request)
        found = await backend.control.invoke(control.OVERVIEW, control.OverviewOf(), caller)
        context: dict[str, Any] = {
            "overview": found,
            "verdict": verdict_on(found),
            "attention": [(view, advice_of(view, caller.role)) for view in found.attention[:_ATTENTION]],
            "projects": found.projects[:_PROJECTS],
            "restores": await _restores(backend, caller),
            "begun": run_id_time,
        }
        if is_fragment(request):
            return render_fragment(request, "_overview.html", **context)
        return render(request, "overview.html", **context)

    return [overview]


async def _restores(backend: Backend, caller: Caller) -> Sequence[RestoreRecord]:
    """Those under way."""
    wanted = control.RestoreList(states=[RunState.REQUESTED, RunState.RUNNING], limit=_RESTORES)
    return (await backend.control.invoke(control.RESTORE_LIST, wanted, caller)).restores
