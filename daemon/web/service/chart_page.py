"""How large a service's backups are and how long they take: two charts over time, and the same as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from contracts import control
from contracts.records import BackupRecord, RunState
from contracts.wire import encode
from daemon.http.backend import Backend
from daemon.web.service.backup_rows import took_s
from daemon.web.service.chart_data import chart_data
from daemon.web.service.scope import Scope, scope_of, service_page
from daemon.web.visits import AnyRequest

_PATH: Final = "/projects/{project:str}/services/{service:str}/charts"
_MOST: Final = 10_000
_IN_TABLE: Final = 100


def chart_page(backend: Backend) -> Sequence[HTTPRouteHandler]:
    @get(_PATH)
    async def charts(request: AnyRequest) -> Response[Any]:
        scope = await scope_of(backend, request)
        records = await _completed(backend, scope, _IN_TABLE)
        return service_page(request, scope, "charts.html", tab="charts", records=records, took_s=took_s, most=_IN_TABLE)

    @get(f"{_PATH}/data")
    async def data(request: AnyRequest) -> Response[bytes]:
        scope = await scope_of(backend, request)
        found = chart_data(await _completed(backend, scope, _MOST))
        return Response(encode(found), media_type="application/json")

    return [charts, data]


async def _completed(backend: Backend, scope: Scope, limit: int) -> list[BackupRecord]:
    """The newest."""
    request = control.BackupList(project=scope.project, service=scope.service, states=[RunState.COMPLETED], limit=limit)
    return (await backend.control.invoke(control.BACKUP_LIST, request, scope.caller)).backups
