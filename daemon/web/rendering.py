"""Templates to answers: whole pages, parts of them, and the way from a form to the page after it."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar import MediaType, Response

from contracts.access import Role
from contracts.records import RunState
from contracts.standing import Level
from contracts.wire import utc_now
from daemon.access.caller import Caller
from daemon.web import links
from daemon.web.assets import asset_url
from daemon.web.filters import FILTERS, page_made_at
from daemon.web.option_forms import OptionField
from daemon.web.visits import AnyRequest, Tone, Visit, flash, is_fragment

_TEMPLATES: Final = Path(__file__).parent / "templates"


def render(request: AnyRequest, name: str, *, status: int = 200, **context: Any) -> Response[str]:
    """A whole page.  It shows the messages that wait for one."""
    visit = _visit(request)
    shown = visit.flashes if visit else []
    if visit:
        visit.flashes, visit.shown = [], bool(shown)
    return _answer(request, visit, name, status, {**context, "flashes": shown})


def render_fragment(request: AnyRequest, name: str, *, status: int = 200, **context: Any) -> Response[str]:
    """A part of a page, for htmx: a template without the layout."""
    return _answer(request, _visit(request), name, status, {**context, "flashes": []})


def redirect(request: AnyRequest, to: str, *, says: str = "", tone: Tone = Tone.GOOD) -> Response[Any]:
    """To another page after a form, with a message that it shows.  `to` is a path of ours."""
    if says:
        flash(request, says, tone)
    if is_fragment(request):
        return Response("", status_code=200, headers={"HX-Redirect": to})
    return Response("", status_code=303, media_type=MediaType.TEXT, headers={"Location": to})


def environment() -> Environment:
    return _environment()


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters.update(FILTERS)
    made.globals.update(
        asset=asset_url,
        links=links,
        limits=_limits,
        zip=zip,
        version=importlib.metadata.version("strongroom"),
        Level=Level,
        Role=Role,
        RunState=RunState,
    )
    return made


def _answer(request: AnyRequest, visit: Visit | None, name: str, status: int, context: Mapping[str, Any]) -> Response[str]:
    caller = visit.caller if visit else None
    now = visit.backend.now() if visit else utc_now()

    def may(role: str, project: str | None = None) -> bool:
        return _may(caller, Role(role), project)

    with page_made_at(now):
        html = (
            _environment()
            .get_template(name)
            .render(
                {
                    "me": caller,
                    "may": may,
                    "csrf": visit.session.csrf if visit and visit.session else "",
                    "seen": visit.seen if visit else 0,
                    "path": request.url.path,
                    "now": now,
                    "status": status,
                    **context,
                }
            )
        )
    return Response(html, status_code=status, media_type=MediaType.HTML)


def _limits(field: OptionField) -> dict[str, int]:
    """Attributes of a number's input."""
    return {name: value for name, value in (("min", field.least), ("max", field.most)) if value is not None}


def _may(caller: Caller | None, role: Role, project: str | None) -> bool:
    """Whether a button makes sense: the call behind it is refused anyway to whoever may not make it.

    `project` is the one it concerns; None for what concerns all of them.
    """
    if caller is None or not caller.role.covers(role):
        return False
    return not caller.project or caller.project == project


def _visit(request: AnyRequest) -> Visit | None:
    """None where no route was found, so that nobody knows who asks."""
    visit: Visit | None = request.scope.get("state", {}).get("visit")
    return visit
