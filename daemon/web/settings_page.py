"""Who somebody is here, and what the coordinator stands on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from contracts import control
from daemon.http.backend import Backend
from daemon.web.rendering import render
from daemon.web.sessions import need_session
from daemon.web.visits import AnyRequest


def settings_page(backend: Backend) -> Sequence[HTTPRouteHandler]:
    @get("/settings")
    async def settings(request: AnyRequest) -> Response[Any]:
        caller = need_session(request)
        status = await backend.control.invoke(control.STATUS, control.Nothing(), caller)
        return render(request, "settings.html", status_of=status)

    return [settings]
