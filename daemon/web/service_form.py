"""Adding a service: first what it is, then its name, its nodes and the options of its kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler

from contracts import control
from contracts.access import Role
from contracts.errors import InvalidInput, StrongroomError
from contracts.policy.schedule import Schedule
from contracts.policy.schedule_text import parse_schedule
from contracts.services import OPTIONS_BY_KIND
from daemon.access.caller import Caller
from daemon.http.authentication import need_role
from daemon.http.backend import Backend
from daemon.web import links
from daemon.web.forms import Form
from daemon.web.option_forms import (
    KIND_NAMES,
    about_kind,
    filled_options,
    option_fields,
    options_type,
    read_options,
    with_code,
)
from daemon.web.rendering import redirect, render
from daemon.web.sessions import need_session
from daemon.web.visits import AnyRequest, part

_BOXES: Final = 24
"""More nodes than this are written, not ticked."""
_SCHEDULES: Final = (
    ("default", "Once a day", "between 00:00 and 01:00 UTC, at a moment of its own"),
    ("off", "Never by itself", "only people start backups"),
    ("own", "As written below", "in UTC"),
)


def service_form(backend: Backend) -> Sequence[HTTPRouteHandler]:
    @get("/projects/{project:str}/add-service")
    async def new(request: AnyRequest) -> Response[Any]:
        project = part(request, "project")
        caller = need_session(request)
        need_role(caller, Role.ADMIN, project=project, what="adding a service")
        await backend.control.invoke(control.PROJECT_SHOW, control.ProjectRef(project=project), caller)
        kind = request.query_params.get("kind", "")
        if not kind:
            kinds = [(kind, KIND_NAMES.get(kind, kind), with_code(about_kind(kind))) for kind in OPTIONS_BY_KIND]
            return render(request, "service_kind.html", project=project, kinds=kinds)
        form = Form.filled(schedule="default", **filled_options(options_type(kind)()))
        return await _page(backend, request, caller, project, kind, form)

    @post("/projects/{project:str}/add-service")
    async def add(request: AnyRequest) -> Response[Any]:
        project = part(request, "project")
        caller = need_session(request)
        kind = request.query_params.get("kind", "")
        form = await Form.of(request)
        try:
            options = read_options(kind, form)
            schedule = _schedule(form)
            nodes = _nodes(form)
            wanted = control.ServiceAdd(
                project=project, name=form.value("name"), options=options, nodes=nodes, schedule=schedule
            )
            made = await backend.control.invoke(control.SERVICE_ADD, wanted, caller)
        except StrongroomError as exc:
            options_type(kind)
            form.refuse(
                exc, service="name", schedule="own", schedule_at="own", schedule_day="own", schedule_expression="own"
            )
            return await _page(backend, request, caller, project, kind, form)
        says = (
            f"{made.project}/{made.name} is added. Now tell its host how to reach it: "
            f"strongroom-agent service add {made.project}/{made.name} --kind {kind}"
        )
        return redirect(request, links.service(made.project, made.name), says=says)

    return [new, add]


async def _page(backend: Backend, request: AnyRequest, caller: Caller, project: str, kind: str, form: Form) -> Response[Any]:
    """Raises: InvalidInput for a kind that there is not."""
    fields = option_fields(kind)
    nodes = await _known_nodes(backend, caller)
    if not nodes and "nodes" in form.field_errors:
        form.field_errors["node_names"] = form.field_errors.pop("nodes")
    return render(
        request,
        "service_new.html",
        status=422 if form.errors else 200,
        form=form,
        project=project,
        kind=kind,
        kind_name=KIND_NAMES.get(kind, kind),
        about=with_code(about_kind(kind)),
        options=fields,
        nodes=nodes,
        ticked=set(form.all("nodes")),
        schedules=_SCHEDULES,
    )


async def _known_nodes(backend: Backend, caller: Caller) -> Sequence[control.NodeView]:
    """Those to choose from; none where there are many, or where the caller may not see them."""
    if caller.project:
        return []
    nodes = (await backend.control.invoke(control.NODE_LIST, control.Nothing(), caller)).nodes
    return sorted(nodes, key=lambda node: (node.alive is None, node.record.name)) if len(nodes) <= _BOXES else []


def _nodes(form: Form) -> list[str]:
    """Those that were ticked, or written.  Raises: InvalidInput without any."""
    written = form.value("node_names").replace(",", " ").split()
    nodes = [*form.all("nodes"), *written]
    if not nodes:
        raise InvalidInput("input.invalid", "name at least one node whose agent can reach it", field="nodes")
    return nodes


def _schedule(form: Form) -> Schedule | None:
    """Raises: InvalidInput."""
    match form.value("schedule"):
        case "off":
            return parse_schedule("off")
        case "own":
            return parse_schedule(form.value("own"))
        case _:
            return None
