"""What happened, the newest first, and what happens while somebody looks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from contracts import control
from contracts.errors import InvalidInput
from daemon.http.backend import Backend
from daemon.web import links
from daemon.web.event_words import GROUPS, tell
from daemon.web.rendering import render, render_fragment
from daemon.web.sessions import need_session
from daemon.web.visits import AnyRequest, is_fragment

PAGE: Final = 50


def activity_page(backend: Backend) -> Sequence[HTTPRouteHandler]:
    @get("/activity")
    async def activity(request: AnyRequest) -> Response[Any]:
        caller = need_session(request)
        query = request.query_params
        chosen = {name: query.get(name, "").strip() for name in ("kind", "project", "service")}
        cursor = query.get("cursor", "")
        if chosen["kind"] not in GROUPS:
            raise InvalidInput("input.invalid", f"there is no kind of events {chosen['kind'][:40]!r}", field="kind")
        wanted = control.EventList(
            project=chosen["project"],
            service=chosen["service"],
            types=list(GROUPS[chosen["kind"]][1]),
            cursor=cursor,
            limit=PAGE,
        )
        found = await backend.control.invoke(control.EVENT_LIST, wanted, caller)
        context: dict[str, Any] = {
            "events": [(each.event, tell(each.event)) for each in found.events],
            "is_newest": not cursor,
            "url": links.activity(**chosen, cursor=cursor),
            "newest_url": links.activity(**chosen),
            "older_url": links.activity(**chosen, cursor=found.next_cursor) if found.next_cursor else "",
            "is_filtered": any(chosen.values()),
        }
        if is_fragment(request):
            return render_fragment(request, "_event_table.html", **context)
        return render(request, "activity.html", chosen=chosen, groups=GROUPS, **context)

    return [activity]
