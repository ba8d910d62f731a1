"""The control verbs on the bus: a NATS micro service whose endpoints are shared by all coordinators."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.micro import add_service
from nats.micro.request import Request
from nats.micro.service import EndpointConfig, Service, ServiceConfig

from contracts import control
from contracts.control import VERBS
from contracts.errors import ErrorInfo, NotFound, StrongroomError
from contracts.records import BackupRecord, NodeRecord, ProjectRecord, RunState, ServiceRecord
from contracts.subjects import CONTROL_SERVICE, control_subject, is_reply_inbox
from contracts.wire import Decoder, encode
from daemon.catalog.buckets import key
from daemon.catalog.catalog import Catalog
from daemon.library import Library
from daemon.node_registry import NodeRegistry
from daemon.projects import Projects
from daemon.runs.backups import Backups
from daemon.runs.deletions import Deletions
from daemon.runs.requesting import Requests
from daemon.runs.restores import Restores
from daemon.runs.tagging import Tagging
from daemon.services import Services
from daemon.usage import UsageReport

log = structlog.get_logger()

LATEST = "latest"


class Control:
    """What the verbs do; the HTTP API and the bus call the same functions."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        projects: Projects,
        services: Services,
        nodes: NodeRegistry,
        requests: Requests,
        backups: Backups,
        deletions: Deletions,
        tagging: Tagging,
        restores: Restores,
        library: Library,
        usage: UsageReport,
        grace: timedelta,
    ) -> None:
        self._catalog = catalog
        self._projects = projects
        self._services = services
        self._nodes = nodes
        self._requests = requests
        self._backups = backups
        self._deletions = deletions
        self._tagging = tagging
        self._restores = restores
        self._library = library
        self._usage = usage
        self._grace = grace
        # One method a verb, by its name: a verb without a method stops the coordinator at its start.
        self._handlers: dict[str, Callable[[Any], Awaitable[Any]]] = {
            name: getattr(self, name.replace(".", "_")) for name in VERBS
        }

    async def call(self, verb: str, data: bytes) -> bytes:
        """The encoded answer.  Raises: StrongroomError."""
        request = _DECODERS[verb].decode(data or b"{}")
        return encode(await self._handlers[verb](request))

    async def status(self, _: control.Nothing) -> control.Status:
        return control.Status(
            version=version(), server=await self._library.server(), grace_days=self._grace / timedelta(days=1)
        )

    async def project_create(self, q: control.ProjectCreate) -> ProjectRecord:
        return await self._projects.create(q.name, q.recovery_recipients, q.plan, q.quota_bytes)

    async def project_list(self, _: control.Nothing) -> control.Projects:
        return control.Projects(projects=await self._projects.all())

    async def project_show(self, q: control.ProjectRef) -> ProjectRecord:
        return (await self._catalog.need_project(q.project)).value

    async def project_delete(self, q: control.ProjectDelete) -> ProjectRecord:
        return await self._projects.delete(q.project, actor=q.actor)

    async def project_undelete(self, q: control.ProjectDelete) -> ProjectRecord:
        return await self._projects.undelete(q.project, actor=q.actor)

    async def project_set_quota(self, q: control.ProjectSetQuota) -> ProjectRecord:
        return await self._projects.set_quota(q.project, q.plan, q.quota_bytes, actor=q.actor)

    async def project_usage(self, q: control.ProjectUsage) -> control.Usage:
        return await self._usage.of(q.project, check=q.check)

    async def service_add(self, q: control.ServiceAdd) -> ServiceRecord:
        return await self._services.add(q.project, q.name, q.options, q.nodes, q.schedule, q.retention)

    async def service_change(self, q: control.ServiceChange) -> ServiceRecord:
        return await self._services.change(q.project, q.service, q.options, q.nodes)

    async def service_set_schedule(self, q: control.ServiceSetSchedule) -> ServiceRecord:
        return await self._services.set_schedule(q.project, q.service, q.schedule, actor=q.actor)

    async def service_set_retention(self, q: control.ServiceSetRetention) -> control.RetentionView:
        return await self._services.set_retention(
            q.project, q.service, q.retention, dry_run=q.dry_run, confirm=q.confirm, actor=q.actor
        )

    async def service_dues(self, q: control.ServiceDues) -> control.DueTimes:
        return await self._services.dues(q.project, q.service, ahead=q.next, past=q.past)

    async def service_list(self, q: control.ServiceList) -> control.Services:
        return control.Services(services=await self._services.views(q.project))

    async def service_show(self, q: control.ServiceRef) -> control.ServiceView:
        return await self._services.view(q.project, q.service)

    async def service_delete(self, q: control.ServiceDelete) -> ServiceRecord:
        return await self._services.delete(q.project, q.service, actor=q.actor)

    async def service_undelete(self, q: control.ServiceDelete) -> ServiceRecord:
        return await self._services.undelete(q.project, q.service, actor=q.actor)

    async def retention_plan(self, q: control.ServiceRef) -> control.RetentionView:
        return await self._services.retention(q.project, q.service)

    async def node_add(self, q: control.NodeRef) -> NodeRecord:
        return await self._nodes.add(q.node)

    async def node_list(self, _: control.Nothing) -> control.Nodes:
        return control.Nodes(nodes=await self._nodes.all())

    async def node_remove(self, q: control.NodeRef) -> control.Nothing:
        await self._nodes.remove(q.node)
        return control.Nothing()

    async def backup_create(self, q: control.BackupCreate) -> BackupRecord:
        return await self._requests.manual(q.project, q.service, node=q.node, tags=q.tags, actor=q.actor)

    async def backup_list(self, q: control.BackupList) -> control.Backups:
        return control.Backups(backups=await self._library.backups(q.project, q.service, q.limit))

    async def backup_record(self, q: control.RunRefRequest) -> BackupRecord:
        return await self._backup(q.project, q.service, q.id)

    async def backup_show(self, q: control.RunRefRequest) -> control.BackupDetail:
        return await self._library.detail(await self._backup(q.project, q.service, q.id))

    async def backup_cancel(self, q: control.RunRefRequest) -> BackupRecord:
        return await self._backups.cancel(q.project, q.service, q.id, actor=q.actor)

    async def backup_delete(self, q: control.BackupDelete) -> control.Nothing:
        await self._deletions.delete(q.project, q.service, q.id, reason=q.reason, actor=q.actor, even_protected=q.force)
        return control.Nothing()

    async def backup_tag(self, q: control.BackupTag) -> BackupRecord:
        return await self._tagging.change(q.project, q.service, q.id, add=q.add, remove=q.remove, actor=q.actor)

    async def backup_protect(self, q: control.BackupProtect) -> BackupRecord:
        return await self._tagging.protect(q.project, q.service, q.id, protect=q.protect, actor=q.actor)

    async def backup_download(self, q: control.BackupDownload) -> control.Download:
        backup = await self._backup(q.project, q.service, q.id)
        return await self._library.download(backup, q.artifact, q.recipient)

    async def restore_create(self, q: control.RestoreCreate) -> Any:
        return await self._restores.request(
            await self._backup(q.project, q.service, q.id),
            to_project=q.to_project or q.project,
            to_service=q.to_service or q.service,
            node=q.node,
            artifacts=q.artifacts,
            rename=q.rename,
            replace=q.replace,
            skip_roles=q.skip_roles,
            directory=q.directory,
            paths=q.paths,
            actor=q.actor,
        )

    async def restore_list(self, q: control.RestoreList) -> control.Restores:
        return control.Restores(restores=await self._library.restores(q.project, q.service, q.limit))

    async def restore_show(self, q: control.RunRefRequest) -> Any:
        return (await self._catalog.need_restore(q.project, q.service, q.id)).value

    async def restore_cancel(self, q: control.RunRefRequest) -> Any:
        return await self._restores.cancel(q.project, q.service, q.id, actor=q.actor)

    async def _backup(self, project: str, service: str, backup_id: str) -> BackupRecord:
        """The backup of that id, or the newest completed one for `latest`."""
        if backup_id != LATEST:
            return (await self._catalog.need_backup(project, service, backup_id)).value
        await self._catalog.need_service(project, service)
        found = [stored.value for stored in await self._catalog.backups.select(key(project, service))]
        completed = [backup for backup in found if backup.state is RunState.COMPLETED]
        if not completed:
            raise NotFound("backup.not_found", f"{project}/{service} has no completed backup", field="backup")
        return max(completed, key=lambda backup: backup.requested_at)


_DECODERS: dict[str, Decoder[Any]] = {name: Decoder(verb.request) for name, verb in VERBS.items()}


def version() -> str:
    """Of the installed distribution."""
    return importlib.metadata.version("strongroom")


def _too_much(message: str) -> ErrorInfo:
    return ErrorInfo(code="input.invalid", message=message, field="limit")


async def serve_control(client: Client, control_: Control, stack: AsyncExitStack) -> Service:
    """Adds the verbs to the bus until the stack is left."""
    service = await add_service(
        client,
        ServiceConfig(name=CONTROL_SERVICE, version=version(), description="Strongroom: the coordinator's control verbs"),
    )
    stack.push_async_callback(service.stop)

    def endpoint(verb: str) -> Callable[[Request], Awaitable[None]]:
        async def handle(request: Request) -> None:
            message: Msg = request._msg  # noqa: SLF001 - the library shows a handler no reply subject
            if not is_reply_inbox(message.reply, agent=False):
                log.warning("control.reply_refused", verb=verb)
                return
            try:
                answer = await control_.call(verb, request.data)
            except StrongroomError as exc:
                log.info("control.refused", verb=verb, code=exc.code, reason=exc.message)
                await request.respond_error(exc.code, exc.message, encode(exc.info))
            except Exception:
                log.exception("control.failed", verb=verb)
                info = ErrorInfo(code="internal", message="the coordinator met an unknown error; see its log")
                await request.respond_error(info.code, info.message, encode(info))
            else:
                if len(answer) > client.max_payload:
                    message_ = f"the answer has {len(answer)} bytes, more than one message may have: ask for less (limit)"
                    await request.respond_error("input.invalid", message_, encode(_too_much(message_)))
                else:
                    await request.respond(answer)

        return handle

    for verb in VERBS.values():
        await service.add_endpoint(
            EndpointConfig(
                name=verb.name.replace(".", "-"),
                subject=control_subject(verb.name),
                handler=endpoint(verb.name),
                metadata={"description": verb.doc},
            )
        )
    return service
