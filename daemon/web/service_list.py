"""Lists of services: found, filtered and cut into pages on the server, so that ten thousand are as quick as ten."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from contracts import control
from contracts.errors import InvalidInput
from contracts.standing import Level
from daemon.access.caller import Caller
from daemon.http.backend import Backend
from daemon.web import links
from daemon.web.rendering import render, render_fragment
from daemon.web.sessions import need_session
from daemon.web.visits import AnyRequest, is_fragment

PAGE: Final = 50


@dataclass(frozen=True, kw_only=True)
class ServicePage:
    """A page of services, as `_service_table.html` shows it."""

    services: Sequence[control.ServiceView]
    total: int
    before: int
    """How many are on the pages before."""
    url: str
    first_url: str
    next_url: str
    is_filtered: bool


def service_list(backend: Backend) -> Sequence[HTTPRouteHandler]:
    @get("/services")
    async def services(request: AnyRequest) -> Response[Any]:
        caller = need_session(request)
        page = await service_page(backend, caller, request, links.SERVICES)
        if is_fragment(request):
            return render_fragment(request, "_service_table.html", page=page, one_project=bool(caller.project))
        projects = (await backend.control.invoke(control.PROJECT_LIST, control.ProjectList(), caller)).projects
        query = request.query_params
        return render(
            request,
            "services.html",
            page=page,
            one_project=bool(caller.project),
            projects=sorted(project.name for project in projects),
            chosen={name: query.get(name, "") for name in ("search", "level", "project", "order")},
        )

    return [services]


async def service_page(
    backend: Backend, caller: Caller, request: AnyRequest, path: str, *, project: str = ""
) -> ServicePage:
    """What the query asks for: `search`, `level`, `project`, `order` (worst first, or `name`), `cursor`, `before`.

    Raises: StrongroomError.
    """
    query = request.query_params
    search, order = query.get("search", "").strip()[:200], query.get("order", "")
    level, wanted = _level(query.get("level", "")), project or query.get("project", "")
    found = await backend.control.invoke(
        control.SERVICE_LIST,
        control.ServiceList(
            project=wanted,
            search=search,
            level=level,
            worst_first=order != "name",
            cursor=query.get("cursor", ""),
            limit=PAGE,
        ),
        caller,
    )
    before = int(text) if (text := query.get("before", "")).isdecimal() and len(text) < 9 else 0
    kept = {"search": search, "level": level, "order": order, "project": "" if project else wanted}
    return ServicePage(
        services=found.services,
        total=found.total,
        before=before,
        url=links.with_query(path, **kept, cursor=query.get("cursor", ""), before=before),
        first_url=links.with_query(path, **kept),
        next_url=links.with_query(path, **kept, cursor=found.next_cursor, before=before + len(found.services))
        if found.next_cursor
        else "",
        is_filtered=bool(search or level or (wanted and not project)),
    )


def _level(text: str) -> Level | None:
    """Raises: InvalidInput for what is none."""
    if not text:
        return None
    try:
        return Level(text)
    except ValueError:
        levels = ", ".join(Level)
        raise InvalidInput("input.invalid", f"there is no level {text[:40]!r}; there are {levels}", field="level") from None
