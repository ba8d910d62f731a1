"""When a service is backed up: the schedule in words, what is due next, and the editor of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler

from contracts import control
from contracts.errors import InvalidInput, StrongroomError
from contracts.policy.schedule import Off, Weekday, default_schedule
from contracts.policy.schedule_words import schedule_words
from daemon.http.backend import Backend
from daemon.web.forms import Form
from daemon.web.rendering import redirect, render_fragment
from daemon.web.service.schedule_form import NEXT, SchedulePreview, preview, read_schedule, schedule_form
from daemon.web.service.scope import Scope, scope_of, service_page
from daemon.web.visits import AnyRequest

_PATH: Final = "/projects/{project:str}/services/{service:str}/schedule"
_PAST: Final = 20
_FIELDS: Final = {
    "schedule_at": "at",
    "schedule_day": "day",
    "schedule_weekday": "weekday",
    "schedule_expression": "expression",
}


def schedule_page(backend: Backend) -> Sequence[HTTPRouteHandler]:
    @get(_PATH)
    async def schedule(request: AnyRequest) -> Response[Any]:
        scope = await scope_of(backend, request)
        return await _show(backend, request, scope, schedule_form(scope.project, scope.service, scope.view.record.schedule))

    @get(f"{_PATH}/preview")
    async def previewed(request: AnyRequest) -> Response[Any]:
        """What the form would mean, as a part of the page, while somebody fills it in."""
        scope = await scope_of(backend, request)
        form = Form({name: [value] for name, value in request.query_params.items()})
        return render_fragment(request, "service/_schedule_preview.html", **_preview(backend, scope, form))

    @post(_PATH)
    async def save(request: AnyRequest) -> Response[Any]:
        scope = await scope_of(backend, request)
        form = await Form.of(request)
        try:
            change = control.ServiceSetSchedule(project=scope.project, service=scope.service, schedule=read_schedule(form))
            record = await backend.control.invoke(control.SERVICE_SET_SCHEDULE, change, scope.caller)
        except StrongroomError as exc:
            form.refuse(exc, **_FIELDS)
            return await _show(backend, request, scope, form)
        words = schedule_words(record.effective_schedule)
        off = isinstance(record.effective_schedule, Off)
        says = "It is not backed up by itself any more." if off else f"It is backed up {words} UTC from now on."
        return redirect(request, scope.places.schedule, says=says)

    return [schedule, previewed, save]


async def _show(backend: Backend, request: AnyRequest, scope: Scope, form: Form) -> Response[Any]:
    wanted = control.ServiceDues(project=scope.project, service=scope.service, next=NEXT, past=_PAST)
    dues = await backend.control.invoke(control.SERVICE_DUES, wanted, scope.caller)
    return service_page(
        request,
        scope,
        "schedule.html",
        tab="schedule",
        status=422 if form.errors else 200,
        form=form,
        dues=dues,
        words=schedule_words(dues.schedule),
        default_words=schedule_words(default_schedule(scope.project, scope.service)),
        weekdays=[(day.value, day.capitalize()) for day in Weekday],
        **_preview(backend, scope, form),
    )


def _preview(backend: Backend, scope: Scope, form: Form) -> dict[str, Any]:
    """What comes of the form, or what is wrong with it."""
    found: SchedulePreview | None = None
    wrong = ""
    try:
        schedule = read_schedule(form)
        if schedule is None:
            schedule = default_schedule(scope.project, scope.service)
        found = preview(schedule, scope.view.record.retention, backend.now())
    except InvalidInput as exc:
        # An expression that nobody has begun to write yet is not wrong.
        is_begun = form.value("choice") != "cron" or form.value("expression")
        wrong = exc.message if is_begun else "Write the five fields: minute, hour, day, month, weekday."
    return {"preview": found, "wrong": wrong}
