"""Projects: which there are, one of them, and what admins do to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler

from contracts import control
from contracts.access import Role
from contracts.errors import NotFound, StrongroomError
from contracts.policy.quota_plan import QuotaPlan, quota_of
from daemon.access.caller import Caller
from daemon.cli.sizes import limit_size, parse_size
from daemon.http.authentication import need_role
from daemon.http.backend import Backend
from daemon.web import links
from daemon.web.confirming import ask_first
from daemon.web.forms import Form
from daemon.web.rendering import redirect, render, render_fragment
from daemon.web.service_list import service_page
from daemon.web.sessions import need_session
from daemon.web.visits import AnyRequest, is_fragment, part

PAGE: Final = 50
_ABOUT_PLANS: Final = {
    QuotaPlan.LIGHTWEIGHT: "a few small databases",
    QuotaPlan.SERIOUS: "most projects",
    QuotaPlan.CUSTOM: "as much as you say, 1 TiB at most",
}


def project_pages(backend: Backend) -> Sequence[HTTPRouteHandler]:
    @get("/projects")
    async def projects(request: AnyRequest) -> Response[Any]:
        caller = need_session(request)
        overview = await backend.control.invoke(control.OVERVIEW, control.OverviewOf(), caller)
        search = request.query_params.get("search", "").strip().lower()[:60]
        found = [each for each in overview.projects if search in each.project]
        first = _number(request.query_params.get("before", ""))
        context: dict[str, Any] = {
            "projects": found[first : first + PAGE],
            "total": len(found),
            "before": first,
            "search": search,
            "url": links.with_query(links.PROJECTS, search=search, before=first),
            "first_url": links.with_query(links.PROJECTS, search=search),
            "next_url": links.with_query(links.PROJECTS, search=search, before=first + PAGE)
            if first + PAGE < len(found)
            else "",
        }
        if is_fragment(request):
            return render_fragment(request, "_project_table.html", **context)
        return render(request, "projects.html", **context)

    @get("/add-project")
    async def new(request: AnyRequest) -> Response[Any]:
        need_role(need_session(request), Role.ADMIN, what="creating a project")
        return _new_page(request, Form.filled(plan=str(QuotaPlan.SERIOUS)))

    @post("/add-project")
    async def create(request: AnyRequest) -> Response[Any]:
        caller = need_session(request)
        form = await Form.of(request)
        try:
            plan, quota_bytes = _quota(form)
            wanted = control.ProjectCreate(
                name=form.value("name"),
                recovery_recipients=form.lines("recipients"),
                plan=plan,
                quota_bytes=quota_bytes,
            )
            made = await backend.control.invoke(control.PROJECT_CREATE, wanted, caller)
        except StrongroomError as exc:
            form.refuse(
                exc,
                project="name",
                quota_bytes="quota",
                recovery_recipients="recipients",
                recovery_recipient="recipients",
            )
            return _new_page(request, form)
        return redirect(request, links.project(made.name), says=f"The project {made.name} is there, with a key of its own.")

    @get("/projects/{project:str}")
    async def show(request: AnyRequest) -> Response[Any]:
        project = part(request, "project")
        caller = need_session(request)
        record = await backend.control.invoke(control.PROJECT_SHOW, control.ProjectRef(project=project), caller)
        page = await service_page(backend, caller, request, links.project(project), project=project)
        if is_fragment(request) and request.headers.get("hx-target") == "services":
            return render_fragment(request, "_service_table.html", page=page, one_project=True)
        context: dict[str, Any] = {"record": record, "overview": await _standing(backend, caller, project)}
        if is_fragment(request):
            return render_fragment(request, "_project_head.html", **context)
        return render(
            request, "project.html", page=page, one_project=True, search=request.query_params.get("search", ""), **context
        )

    @get("/projects/{project:str}/usage")
    async def usage(request: AnyRequest) -> Response[Any]:
        project = part(request, "project")
        caller = need_session(request)
        check = request.query_params.get("check", "") == "1"
        wanted = control.ProjectUsage(project=project, check=check)
        found = await backend.control.invoke(control.PROJECT_USAGE, wanted, caller)
        services = sorted(found.services, key=lambda each: each.size_bytes, reverse=True)
        context: dict[str, Any] = {"usage": found, "services": services, "project": project}
        if is_fragment(request):
            return render_fragment(request, "_usage.html", **context)
        return render(request, "usage.html", **context)

    return [projects, new, create, show, usage, *_changes(backend)]


def _changes(backend: Backend) -> Sequence[HTTPRouteHandler]:
    @get("/projects/{project:str}/quota")
    async def quota(request: AnyRequest) -> Response[Any]:
        project = part(request, "project")
        caller = need_session(request)
        need_role(caller, Role.ADMIN, project=project, what="changing a quota")
        record = await backend.control.invoke(control.PROJECT_SHOW, control.ProjectRef(project=project), caller)
        custom = limit_size(record.quota_bytes) if record.plan is QuotaPlan.CUSTOM else ""
        form = Form.filled(plan=str(record.plan), quota=custom)
        return render(request, "project_quota.html", form=form, project=project, plans=_plans())

    @post("/projects/{project:str}/quota")
    async def set_quota(request: AnyRequest) -> Response[Any]:
        project = part(request, "project")
        caller = need_session(request)
        form = await Form.of(request)
        try:
            plan, quota_bytes = _quota(form)
            wanted = control.ProjectSetQuota(project=project, plan=plan, quota_bytes=quota_bytes)
            record = await backend.control.invoke(control.PROJECT_SET_QUOTA, wanted, caller)
        except StrongroomError as exc:
            form.refuse(exc, quota_bytes="quota")
            return render(request, "project_quota.html", status=422, form=form, project=project, plans=_plans())
        says = f"{project} may store {limit_size(record.quota_bytes)} now."
        return redirect(request, links.project(project), says=says)

    @get("/projects/{project:str}/delete")
    async def deletion(request: AnyRequest) -> Response[Any]:
        project = part(request, "project")
        return await _deletion_page(backend, request, project, Form())

    @post("/projects/{project:str}/delete")
    async def delete(request: AnyRequest) -> Response[Any]:
        project = part(request, "project")
        caller = need_session(request)
        form = await Form.of(request)
        if form.value("confirm") != project:
            form.field_errors["confirm"] = f"type {project} to delete it"
            return await _deletion_page(backend, request, project, form)
        try:
            record = await backend.control.invoke(control.PROJECT_DELETE, control.ProjectDelete(project=project), caller)
        except StrongroomError as exc:
            form.refuse(exc)
            return await _deletion_page(backend, request, project, form)
        assert record.deletion is not None
        until = f"{record.deletion.purge_at:%Y-%m-%d %H:%M} UTC"
        return redirect(request, links.project(project), says=f"{project} is deleted. Until {until} it can be had back.")

    @post("/projects/{project:str}/undelete")
    async def undelete(request: AnyRequest) -> Response[Any]:
        project = part(request, "project")
        caller = need_session(request)
        form = await Form.of(request)
        if not form.confirmed:
            return ask_first(
                request, form, f"Have {project} back?", text=_UNDELETE, yes="Have it back", back=links.project(project)
            )
        await backend.control.invoke(control.PROJECT_UNDELETE, control.ProjectDelete(project=project), caller)
        return redirect(request, links.project(project), says=f"{project} is back, and so are its schedules.")

    return [quota, set_quota, deletion, delete, undelete]


_UNDELETE: Final = "Its schedules go on from now; what was due meanwhile is not made up for."


async def _standing(backend: Backend, caller: Caller, project: str) -> control.ProjectOverview:
    """Raises: NotFound."""
    found = await backend.control.invoke(control.OVERVIEW, control.OverviewOf(project=project), caller)
    for each in found.projects:
        if each.project == project:
            return each
    raise NotFound("project.not_found", f"there is no project {project!r}", field="project")


async def _deletion_page(backend: Backend, request: AnyRequest, project: str, form: Form) -> Response[Any]:
    """With what would go, and until when it could be had back."""
    caller = need_session(request)
    need_role(caller, Role.ADMIN, project=project, what="deleting a project")
    standing = await _standing(backend, caller, project)
    status = await backend.control.invoke(control.STATUS, control.Nothing(), caller)
    return render(
        request,
        "project_delete.html",
        status=422 if form.errors else 200,
        form=form,
        project=standing,
        grace_days=status.grace_days,
    )


def _new_page(request: AnyRequest, form: Form) -> Response[Any]:
    return render(request, "project_new.html", status=422 if form.errors else 200, form=form, plans=_plans())


def _plans() -> list[tuple[str, str, str]]:
    """Value, words and a hint of each."""
    return [
        (
            str(plan),
            plan.capitalize() if plan is QuotaPlan.CUSTOM else f"{plan.capitalize()}, {limit_size(quota_of(plan))}",
            about,
        )
        for plan, about in _ABOUT_PLANS.items()
    ]


def _quota(form: Form) -> tuple[QuotaPlan, int | None]:
    """Raises: InvalidInput."""
    plan = QuotaPlan(form.value("plan")) if form.value("plan") in tuple(QuotaPlan) else QuotaPlan.CUSTOM
    text = form.value("quota") if plan is QuotaPlan.CUSTOM else ""
    quota_bytes = parse_size(text, "quota") if text else None
    quota_of(plan, quota_bytes)
    return plan, quota_bytes


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 9 else 0
