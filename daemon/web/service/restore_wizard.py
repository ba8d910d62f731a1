"""The restore wizard: what goes where, the plan in words, and a confirmation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler

from contracts import control
from contracts.access import Role
from contracts.control import RestoreCreate, ServiceView
from contracts.errors import Conflict, InvalidInput, NotFound, StrongroomError
from contracts.ids import parse_service_ref
from contracts.records import BackupRecord, RunState
from daemon.http.authentication import need_role
from daemon.http.backend import Backend
from daemon.web.forms import Form
from daemon.web.rendering import redirect, render_fragment
from daemon.web.service.backup_page import need_backup
from daemon.web.service.restore_abilities import is_renamable, restore_abilities
from daemon.web.service.restore_plan import restore_plan
from daemon.web.service.restore_request import CHOSEN, blank_form, rename_field, restore_request
from daemon.web.service.scope import Scope, scope_of, service_page
from daemon.web.visits import AnyRequest, is_fragment

_TARGETS: Final = 200
"""Services that are offered as targets; any other can be typed."""
_OF_BACKUP: Final = "/projects/{project:str}/services/{service:str}/backups/{id:str}/restore"
_FIELDS: Final = ("to", "node", CHOSEN, "directory", "paths", "replace", "skip_roles")


def restore_wizard(backend: Backend) -> Sequence[HTTPRouteHandler]:
    async def begin(request: AnyRequest) -> tuple[Scope, BackupRecord]:
        names = request.path_params
        scope = await scope_of(backend, request)
        need_role(scope.caller, Role.OPERATOR, project=scope.project, what="a restore")
        return scope, await need_backup(backend, scope, names["id"])

    @get(_OF_BACKUP)
    async def wizard(request: AnyRequest) -> Response[Any]:
        """Filled in anew when another target is chosen: its nodes are others."""
        scope, record = await begin(request)
        sent = Form({name: [value] for name, value in request.query_params.items()})
        form = blank_form(record)
        if sent.value("to"):
            form.values = {**form.values, "to": [sent.value("to")]}
        if is_fragment(request):
            _, target = await _target(backend, scope, record, form)
            return render_fragment(request, "service/_restore_nodes.html", form=form, target=target)
        return await _ask(backend, request, scope, record, form)

    @post(_OF_BACKUP)
    async def plan(request: AnyRequest) -> Response[Any]:
        """The plan of what the form says; with `step=restore` it is carried out."""
        scope, record = await begin(request)
        form = await Form.of(request)
        if form.value("step") == "edit":
            return await _ask(backend, request, scope, record, form)
        try:
            wanted = restore_request(record, form)
            await _need_target(backend, scope, record, wanted)
            if form.value("step") == "restore":
                _check_word(form, wanted)
                made = await backend.control.invoke(control.RESTORE_CREATE, wanted, scope.caller)
                return redirect(request, scope.places.restore(made.id), says="The restore was asked for.")
        except StrongroomError as exc:
            form.refuse(exc, fields=(*_FIELDS, "typed"), artifacts=CHOSEN)
            if not form.error("typed"):
                return await _ask(backend, request, scope, record, form)
        return await _show_plan(backend, request, scope, record, form)

    return [wizard, plan]


async def _ask(backend: Backend, request: AnyRequest, scope: Scope, record: BackupRecord, form: Form) -> Response[Any]:
    """The form."""
    targets, target = await _target(backend, scope, record, form)
    return service_page(
        request,
        scope,
        "restore_form.html",
        status=422 if form.errors else 200,
        record=record,
        form=form,
        can=restore_abilities(record.kind, record.artifacts),
        targets=targets,
        target=target,
        is_renamable=is_renamable,
        rename_field=rename_field,
        why_not=_why_not(record),
    )


async def _show_plan(backend: Backend, request: AnyRequest, scope: Scope, record: BackupRecord, form: Form) -> Response[Any]:
    wanted = restore_request(record, form)
    target = await _need_target(backend, scope, record, wanted)
    planned = restore_plan(record, wanted, await _known_there(backend, scope, target))
    sent = [(name, value) for name, values in form.values.items() if name not in ("typed", "step") for value in values]
    return service_page(
        request,
        scope,
        "restore_plan.html",
        status=422 if form.errors else 200,
        record=record,
        form=form,
        plan=planned,
        target=target,
        sent=sent,
    )


def _why_not(record: BackupRecord) -> str:
    """Why the coordinator cannot restore it; empty where it can."""
    if record.state is not RunState.COMPLETED:
        return f"This backup is {record.state}: only a completed one can be restored."
    if not record.key_id:
        return (
            "The identity that opens this project's backups is not held by the coordinator. Whoever holds it can decrypt "
            "the artifacts on the backup's page, or restore them with the stock commands that stand there."
        )
    return ""


def _check_word(form: Form, wanted: RestoreCreate) -> None:
    """Raises: InvalidInput where something may be replaced and the target's name was not typed."""
    name = f"{wanted.to_project}/{wanted.to_service}"
    if wanted.replace and form.value("typed") != name:
        raise InvalidInput("input.invalid", f"type {name} to replace what is there", field="typed")


async def _target(backend: Backend, scope: Scope, record: BackupRecord, form: Form) -> tuple[list[str], ServiceView | None]:
    """What can be chosen as a target, and the one that is chosen, if there is such a service."""
    request = control.ServiceList(project=scope.caller.project, search=record.kind, limit=_TARGETS)
    found = (await backend.control.invoke(control.SERVICE_LIST, request, scope.caller)).services
    targets = [
        f"{view.record.project}/{view.record.name}"
        for view in found
        if view.kind == record.kind and view.record.deletion is None
    ]
    try:
        project, service = parse_service_ref(form.value("to"), "to")
        reference = control.ServiceRef(project=project, service=service)
        return targets, await backend.control.invoke(control.SERVICE_SHOW, reference, scope.caller)
    except StrongroomError:
        return targets, None


async def _need_target(backend: Backend, scope: Scope, record: BackupRecord, wanted: RestoreCreate) -> ServiceView:
    """Raises: InvalidInput, NotFound, Denied, each naming a field of the form."""
    reference = control.ServiceRef(project=wanted.to_project, service=wanted.to_service)
    try:
        target = await backend.control.invoke(control.SERVICE_SHOW, reference, scope.caller)
    except NotFound as exc:
        raise NotFound(exc.code, exc.message, field="to") from exc
    if target.kind != record.kind:
        name = f"{wanted.to_project}/{wanted.to_service}"
        raise InvalidInput("input.invalid", f"{name} is {target.kind}, but the backup is of {record.kind}", field="to")
    if wanted.node and wanted.node not in target.record.nodes:
        nodes = ", ".join(target.record.nodes)
        raise InvalidInput(
            "input.invalid", f"{wanted.node} is none of the nodes of that service: there are {nodes}", field="node"
        )
    if why_not := _why_not(record):
        raise Conflict("backup.not_completed", why_not)
    return target


async def _known_there(backend: Backend, scope: Scope, target: ServiceView) -> set[str]:
    """Names of what the target's newest backup holds: the coordinator never looks into a database itself."""
    if target.last_completed is None:
        return set()
    reference = control.RunRefRequest(project=target.record.project, service=target.record.name, id=target.last_completed.id)
    try:
        newest = await backend.control.invoke(control.BACKUP_RECORD, reference, scope.caller)
    except StrongroomError:
        return set()
    return {artifact.name for artifact in newest.artifacts}
