"""What is kept of a service and why: the policy, what a change of it would delete, and a calendar of what it will keep."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler

from contracts import control
from contracts.control import RetentionView
from contracts.errors import StrongroomError
from contracts.policy.retention import Rule
from contracts.policy.retention_policy import RetentionPolicy
from daemon.cli.policy_views import policy_lines
from daemon.http.backend import Backend
from daemon.retention import within_quota
from daemon.web.forms import Form
from daemon.web.rendering import redirect, render_fragment
from daemon.web.service.backup_rows import CLASS_WORDS
from daemon.web.service.calendar_picture import STRETCHES, Calendar, play_calendar
from daemon.web.service.retention_form import CLASSES, read_policy, retention_form
from daemon.web.service.scope import Scope, scope_of, service_context, service_page
from daemon.web.visits import AnyRequest

_PATH: Final = "/projects/{project:str}/services/{service:str}/retention"
_DAYS: Final = 90
_IMAGINED_BYTES: Final = 1_000_000_000
"""Of a backup, where there is none yet."""
_DELETING: Final = frozenset({Rule.CLASS_MAXIMUM, Rule.TOTAL_SIZE, Rule.TOTAL_COUNT, Rule.FROZEN})
"""What goes, now or when retention does not hold still any more."""


def retention_page(backend: Backend) -> Sequence[HTTPRouteHandler]:
    @get(_PATH)
    async def retention(request: AnyRequest) -> Response[Any]:
        scope = await scope_of(backend, request)
        policy = scope.view.record.retention
        form = retention_form(policy)
        form.values = {**form.values, "days": [request.query_params.get("days", "")]}
        return await _show(backend, request, scope, form, policy, await _stands(backend, scope))

    @post(f"{_PATH}/preview")
    async def previewed(request: AnyRequest) -> Response[Any]:
        """What the form would delete and keep, as a part of the page, while somebody fills it in."""
        scope = await scope_of(backend, request)
        form = await Form.of(request)
        try:
            policy = read_policy(form)
            planned = await _would(backend, scope, policy)
        except StrongroomError as exc:
            return render_fragment(
                request, "service/_retention_answer.html", **service_context(scope), wrong=exc.message, planned=None
            )
        return render_fragment(
            request,
            "service/_retention_answer.html",
            **service_context(scope),
            **await _picture(backend, scope, form, policy, planned),
        )

    @post(_PATH)
    async def save(request: AnyRequest) -> Response[Any]:
        """A change that deletes is shown first, and carried out when that was agreed to."""
        scope = await scope_of(backend, request)
        form = await Form.of(request)
        stands = scope.view.record.retention
        try:
            policy = read_policy(form)
            planned = await _would(backend, scope, policy)
            goes = deleted_by(planned)
            if goes and form.value("agreed") != str(len(goes)):
                return service_page(
                    request,
                    scope,
                    "retention_confirm.html",
                    tab="retention",
                    planned=planned,
                    goes=goes,
                    sent=_sent(form),
                    class_words=CLASS_WORDS,
                    lines=policy_lines(policy),
                )
            change = control.ServiceSetRetention(
                project=scope.project, service=scope.service, retention=policy, confirm=bool(goes)
            )
            await backend.control.invoke(control.SERVICE_SET_RETENTION, change, scope.caller)
        except StrongroomError as exc:
            form.refuse(exc)
            return await _show(backend, request, scope, form, stands, await _stands(backend, scope))
        says = "The policy was changed" + (
            f", and {len(goes):,} backups go." if len(goes) > 1 else ", and a backup goes." if goes else "."
        )
        return redirect(request, scope.places.retention, says=says)

    return [retention, previewed, save]


def deleted_by(planned: RetentionView) -> list[control.BackupVerdict]:
    """What a policy deletes, now or as soon as it is not frozen any more; oldest first."""
    return [verdict for verdict in reversed(planned.verdicts) if verdict.rule in _DELETING]


def _sent(form: Form) -> list[tuple[str, str]]:
    """The form once more, without what was agreed to."""
    return [(name, value) for name, values in form.values.items() if name != "agreed" for value in values]


async def _show(
    backend: Backend, request: AnyRequest, scope: Scope, form: Form, policy: RetentionPolicy, planned: RetentionView
) -> Response[Any]:
    picture = await _picture(backend, scope, form, policy, planned)
    return service_page(
        request,
        scope,
        "retention.html",
        tab="retention",
        status=422 if form.errors else 200,
        form=form,
        lines=policy_lines(policy),
        classes=CLASSES,
        stretches=STRETCHES,
        **picture,
    )


async def _picture(
    backend: Backend, scope: Scope, form: Form, policy: RetentionPolicy, planned: RetentionView
) -> dict[str, Any]:
    """What the preview shows."""
    days = next((each for each in STRETCHES if str(each) == form.value("days")), _DAYS)
    owner = await backend.control.invoke(control.PROJECT_SHOW, control.ProjectRef(project=scope.project), scope.caller)
    newest = scope.view.last_completed
    size_bytes = newest.size_bytes if newest is not None and newest.size_bytes else _IMAGINED_BYTES

    def play() -> Calendar:
        schedule = scope.view.record.effective_schedule
        return play_calendar(schedule, within_quota(policy, owner), now=backend.now(), days=days, size_bytes=size_bytes)

    return {
        "planned": planned,
        "goes": deleted_by(planned),
        "wrong": "",
        "calendar": await asyncio.to_thread(play),
        "days": days,
        "imagined_bytes": size_bytes,
        "is_size_known": newest is not None,
        "is_change": policy != scope.view.record.retention,
        "class_words": CLASS_WORDS,
    }


async def _stands(backend: Backend, scope: Scope) -> RetentionView:
    """The policy that there is, held against the backups."""
    reference = control.ServiceRef(project=scope.project, service=scope.service)
    return await backend.control.invoke(control.RETENTION_PLAN, reference, scope.caller)


async def _would(backend: Backend, scope: Scope, policy: RetentionPolicy) -> RetentionView:
    """Another policy held against them; nothing is changed.  Raises: Denied for whoever may not change it."""
    question = control.ServiceSetRetention(project=scope.project, service=scope.service, retention=policy, dry_run=True)
    return await backend.control.invoke(control.SERVICE_SET_RETENTION, question, scope.caller)
