"""The control verbs on the bus: a NATS micro service whose endpoints are shared by all coordinators."""

from __future__ import annotations

import importlib.metadata
import secrets
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, AsyncExitStack, nullcontext
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

import msgspec
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.micro import add_service
from nats.micro.request import Request
from nats.micro.service import EndpointConfig, EndpointStats, Service, ServiceConfig

from contracts import control
from contracts.control import ACCESS_SELF, VERBS, Verb
from contracts.errors import ErrorInfo, NotFound, StrongroomError
from contracts.ids import is_slug
from contracts.records import BackupRecord, NodeRecord, ProjectRecord, RunState, ServiceRecord
from contracts.schemas import message_schema
from contracts.subjects import CONTROL_SERVICE, control_subject, is_reply_inbox
from contracts.tracing import SpanKind, continued, span
from contracts.wire import Decoder, encode
from daemon.access.authority import authorize
from daemon.access.caller import Caller, nats_operator
from daemon.access.tokens import Tokens
from daemon.catalog.buckets import key
from daemon.catalog.catalog import Catalog
from daemon.fleet import Fleet
from daemon.library import Library
from daemon.metrics.metrics import Metrics
from daemon.node_registry import NodeRegistry
from daemon.notifications.channels import ChannelBook
from daemon.notifications.pings import PingBook
from daemon.projects import Projects
from daemon.runs.backups import Backups
from daemon.runs.deletions import Deletions
from daemon.runs.events import EventPublisher
from daemon.runs.requesting import Requests
from daemon.runs.restores import Restores
from daemon.runs.tagging import Tagging
from daemon.services import Services
from daemon.usage import UsageReport

log = structlog.get_logger()

Q = TypeVar("Q")
A = TypeVar("A")

LATEST: Final = "latest"
_MOST_FACT: Final = 100
"""Characters of a name in the audit log, whatever somebody sends."""


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
        fleet: Fleet,
        tokens: Tokens,
        channels: ChannelBook,
        pings: PingBook,
        events: EventPublisher,
        metrics: Metrics,
        grace: timedelta,
        now: Callable[[], datetime],
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
        self._fleet = fleet
        self._tokens = tokens
        self._channels = channels
        self._pings = pings
        self._events = events
        self._metrics = metrics
        self._grace = grace
        self._now = now
        # One method a verb, by its name: a verb without a method stops the coordinator at its start.
        self._handlers: dict[str, Callable[[Any], Awaitable[Any]]] = {
            name: getattr(self, name.replace(".", "_")) for name in VERBS
        }

    async def call(self, verb: str, data: bytes, caller: Caller) -> bytes:
        """The encoded answer to an encoded request.  Raises: StrongroomError."""
        return encode(await self.invoke(VERBS[verb], _DECODERS[verb].decode(data or b"{}"), caller))

    async def invoke(self, verb: Verb[Q, A], request: Q, caller: Caller) -> A:
        """Does what the verb says, if the caller may ask for it; calls that change or hand out something are written down.

        Raises: StrongroomError, Denied `access.forbidden` for what the caller may not do.
        """
        with self._traced(verb, caller):
            return await self._invoke(verb, request, caller)

    async def _invoke(self, verb: Verb[Q, A], request: Q, caller: Caller) -> A:
        outcome = "internal"
        try:
            allowed = authorize(verb, request, caller)
            answer: A = await self._handlers[verb.name](caller if verb.name == ACCESS_SELF.name else allowed)
            outcome = "done"
        except StrongroomError as exc:
            outcome = exc.code
            raise
        finally:
            self._metrics.note_call(verb.name, caller.via, outcome)
            if verb.is_audited and not getattr(request, "dry_run", False):
                await self._write_down(verb, request, caller, outcome)
        return answer

    @staticmethod
    def _traced(verb: Verb[Any, Any], caller: Caller) -> AbstractContextManager[object]:
        """Calls that change something may begin traces; of the others, programs make thousands."""
        if not verb.changes:
            return nullcontext()
        return span("control.call", kind=SpanKind.SERVER, verb=verb.name, via=str(caller.via))

    async def _write_down(self, verb: Verb[Any, Any], request: Any, caller: Caller, outcome: str) -> None:
        """The audit log has who asked for what over which way, and what came of it."""
        facts: dict[str, Any] = {"verb": verb.name, "via": str(caller.via), "role": str(caller.role), "outcome": outcome}
        for name in ("id", "node", "name", "artifact", "recipient"):
            if isinstance(value := getattr(request, name, None), str) and value:
                facts[name] = value[:_MOST_FACT]
        if caller.token_id:
            facts["token_id"] = caller.token_id
        ref: dict[str, Any] = {name: getattr(request, name, "") for name in ("project", "service")}
        if not all(not value or is_slug(value) for value in ref.values()):
            ref = {}
        await self._events.publish(
            "access.called", key=secrets.token_hex(8), at=self._now(), actor=caller.actor, facts=facts, **ref
        )

    async def access_self(self, caller: Caller) -> control.Self:
        return control.Self(actor=caller.actor, role=caller.role, project=caller.project, expires_at=caller.expires_at)

    async def schema_show(self, q: control.SchemaOf) -> control.MessageSchema:
        return control.MessageSchema(name=q.name, schema=message_schema(q.name))

    async def overview(self, q: control.OverviewOf) -> control.Overview:
        return await self._fleet.overview(q.project)

    async def event_list(self, q: control.EventList) -> control.Events:
        return await self._library.events(q)

    async def token_create(self, q: control.TokenCreate) -> control.NewToken:
        return await self._tokens.create(q)

    async def token_list(self, q: control.TokenList) -> control.Tokens:
        return control.Tokens(tokens=await self._tokens.all(q.project))

    async def token_revoke(self, q: control.TokenRef) -> control.TokenView:
        return await self._tokens.revoke(q)

    async def channel_create(self, q: control.ChannelCreate) -> control.ChannelView:
        return await self._channels.create(q)

    async def channel_list(self, q: control.ChannelList) -> control.Channels:
        return await self._channels.all(q)

    async def channel_change(self, q: control.ChannelChange) -> control.ChannelView:
        return await self._channels.change(q)

    async def channel_delete(self, q: control.ChannelRef) -> control.Nothing:
        await self._channels.delete(q)
        return control.Nothing()

    async def channel_test(self, q: control.ChannelRef) -> control.ChannelTest:
        return await self._channels.test(q)

    async def ping_set(self, q: control.PingSet) -> control.PingView:
        return await self._pings.set(q)

    async def ping_show(self, q: control.ServiceRef) -> control.PingView:
        return await self._pings.show(q)

    async def ping_remove(self, q: control.PingRef) -> control.Nothing:
        await self._pings.remove(q)
        return control.Nothing()

    async def status(self, _: control.Nothing) -> control.Status:
        return control.Status(
            version=version(), server=await self._library.server(), grace_days=self._grace / timedelta(days=1)
        )

    async def project_create(self, q: control.ProjectCreate) -> ProjectRecord:
        return await self._projects.create(q.name, q.recovery_recipients, q.plan, q.quota_bytes)

    async def project_list(self, q: control.ProjectList) -> control.Projects:
        projects = await self._projects.all()
        return control.Projects(projects=[each for each in projects if q.project in ("", each.name)])

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
        return await self._fleet.page(q)

    async def service_show(self, q: control.ServiceRef) -> control.ServiceView:
        return await self._fleet.view(q.project, q.service)

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
        return await self._library.backups(q)

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
        return await self._library.restores(q)

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


def _actor_of(data: bytes) -> str:
    """What an operator on the bus calls itself, whatever else it asks for."""
    try:
        return msgspec.json.decode(data, type=_Actor).actor
    except msgspec.DecodeError:
        return ""


class _Actor(msgspec.Struct):
    actor: str = ""


def _too_much(message: str) -> ErrorInfo:
    return ErrorInfo(code="input.invalid", message=message, field="limit")


def _endpoint_name(verb: str) -> str:
    """A name of the micro service has no dots."""
    return verb.replace(".", "-")


async def serve_control(client: Client, control_: Control, stack: AsyncExitStack) -> Service:
    """Adds the verbs to the bus until the stack is left."""
    refusals: dict[str, tuple[int, str]] = {}

    def refused(verb: str, code: str) -> None:
        refusals[_endpoint_name(verb)] = (refusals.get(_endpoint_name(verb), (0, ""))[0] + 1, code)

    def count_refusals(stats: EndpointStats) -> dict[str, Any]:
        """The library counts only what a handler raises; ours answer for themselves."""
        stats.num_errors, stats.last_error = refusals.get(stats.name, (0, ""))
        return {}

    service = await add_service(
        client,
        ServiceConfig(
            name=CONTROL_SERVICE,
            version=version(),
            description="Strongroom: the coordinator's control verbs",
            metadata={"schemas": f"{control_subject(control.SCHEMA_SHOW.name)} with the name of a message"},
            stats_handler=count_refusals,
        ),
    )
    stack.push_async_callback(service.stop)

    def endpoint(verb: str) -> Callable[[Request], Awaitable[None]]:
        async def handle(request: Request) -> None:
            message: Msg = request._msg  # noqa: SLF001 - the library shows a handler no reply subject
            if not is_reply_inbox(message.reply, agent=False):
                log.warning("control.reply_refused", verb=verb)
                return
            try:
                with continued(request.headers):
                    answer = await control_.call(verb, request.data, nats_operator(_actor_of(request.data)))
            except StrongroomError as exc:
                log.info("control.refused", verb=verb, code=exc.code, reason=exc.message)
                refused(verb, exc.code)
                await request.respond_error(exc.code, exc.message, encode(exc.info))
            except Exception:
                log.exception("control.failed", verb=verb)
                refused(verb, "internal")
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
                name=_endpoint_name(verb.name),
                subject=control_subject(verb.name),
                handler=endpoint(verb.name),
                # Source: ADR-32 leaves schemas to the metadata.
                metadata={
                    "description": verb.doc,
                    "role": str(verb.role),
                    "request_schema": verb.request.__name__,
                    "response_schema": verb.answer.__name__,
                },
            )
        )
    return service
