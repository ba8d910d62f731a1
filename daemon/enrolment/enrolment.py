"""Enrolment: hosts are invited, prove themselves, get credentials, renew them, and are shut out.

Order of writes when a host joins: the invitation is bound to its keys; the node's former account is closed; the new one is
made; the node's record names it; its services name the node.  Cut off anywhere, the same command again ends it; an account
that no record names is closed by `Authority.reconcile`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec
import structlog
from nats.aio.msg import Msg

from contracts import subjects
from contracts.control.nodes import InvitationView, Invited
from contracts.enrolment import (
    HELLO_SUBJECT,
    JOIN_SUBJECT,
    Admission,
    Challenge,
    JoinedService,
    Refused,
    Renewed,
    hello_decoder,
    join_decoder,
)
from contracts.errors import Conflict, Denied, ErrorInfo, NotFound, StrongroomError
from contracts.ids import check_slug, parse_service_ref
from contracts.records import InvitationRecord, NodeRecord, ServiceRecord
from contracts.services import kind_of
from contracts.wire import encode
from daemon.catalog.buckets import RecordChanged, key
from daemon.catalog.catalog import Catalog
from daemon.enrolment.invitations import Invitations
from daemon.enrolment.proofs import Proofs
from daemon.listening import Listener
from daemon.node_registry import NodeRegistry
from daemon.runs.events import EventPublisher
from daemon.trust.authority import Authority, KnownNode, NodeCredentials

log = structlog.get_logger()

_TRIES: Final = 8
"""Of a change that somebody else was quicker with."""


class Enrolment:
    """Of a coordinator with `[trust]`; any number of coordinators share the work."""

    def __init__(
        self,
        catalog: Catalog,
        registry: NodeRegistry,
        invitations: Invitations,
        proofs: Proofs,
        authority: Authority,
        events: EventPublisher,
        *,
        credentials: timedelta,
        now: Callable[[], datetime],
    ) -> None:
        self._catalog, self._registry, self._events, self._now = catalog, registry, events, now
        self._invitations, self._proofs, self._authority = invitations, proofs, authority
        self._valid_for = credentials

    async def listen(self, listener: Listener) -> None:
        await listener.listen(HELLO_SUBJECT, self._answering(self._hello))
        await listener.listen(JOIN_SUBJECT, self._answering(self._join))
        await listener.listen(subjects.RENEW_SUBJECTS, self._answering(self._renew))

    async def reconcile(self) -> None:
        """At the coordinator's start.  Raises: Unavailable `bus.unavailable`."""
        nodes = [stored.value for stored in await self._catalog.nodes.select()]
        known = [KnownNode(node=n.name, account=n.account, public_key=n.public_key) for n in nodes if n.account]
        await self._authority.reconcile(known, now=self._now())

    async def invite(self, node: str, services: Sequence[str], valid_for: timedelta, *, actor: str) -> Invited:
        """Registers the node when it is new.  Raises: InvalidInput, NotFound or Conflict for a service that there is not."""
        check_slug(node, "node")
        for ref in services:
            await self._catalog.need_live_service(*parse_service_ref(ref))
        try:
            await self._registry.add(node)
        except Conflict as exc:
            if exc.code != "node.exists":
                raise
        record, token = await self._invitations.make(node, services, valid_for, actor=actor)
        await self._tell("invited", node, record.id, actor=actor, id=record.id)
        return Invited(id=record.id, node=node, token=token, expires_at=record.expires_at)

    async def invitations(self) -> list[InvitationView]:
        """The newest first; those that ended stay for a while."""
        return [_view(record) for record in await self._invitations.all()]

    async def uninvite(self, invitation_id: str, *, actor: str) -> InvitationView:
        """Safe to repeat.  Raises: NotFound `invitation.not_found`."""
        return _view(await self._invitations.revoke(invitation_id, actor=actor))

    async def expel_removed(self, record: NodeRecord) -> None:
        """Closes what a node that was removed had.  Raises: Unavailable `bus.unavailable`."""
        if record.account:
            await self._authority.expel(record.name, record.account, now=self._now())

    async def admit(self, node: str, *, public_key: str, recipient: str) -> NodeCredentials:
        """Credentials for whoever holds the keys, which were proved; the node's former ones open nothing from now on.

        Repeated with the same keys, the account stays.  Raises: NotFound `node.not_found`, Unavailable `bus.unavailable`,
        Conflict `record.changed`.
        """
        for _ in range(_TRIES):
            stored = await self._catalog.need_node(node)
            record, now = stored.value, self._now()
            same = record.account and (record.public_key, record.recipient) == (public_key, recipient)
            if same:
                given = self._authority.renew(record.account, node, public_key, now=now, valid_for=self._valid_for)
            else:
                if record.account:
                    await self._authority.expel(node, record.account, now=now)
                given = await self._authority.admit(node, public_key, now=now, valid_for=self._valid_for)
            after = msgspec.structs.replace(
                record,
                public_key=public_key,
                recipient=recipient,
                account=given.account,
                enrolled_at=record.enrolled_at if same else now,
                credentials_until=given.expires_at,
                revoked_at=None,
            )
            try:
                await self._catalog.nodes.update(node, after, stored.revision)
            except RecordChanged:
                if not same:
                    await self._authority.expel(node, given.account, now=now)
                continue
            return given
        raise Conflict("record.changed", f"others kept changing node {node!r}: try again", field="node")

    async def revoke(self, node: str, *, actor: str) -> NodeRecord:
        """Shuts the node out at once and forgets its keys; its invitations end.  Safe to repeat.

        Raises: NotFound `node.not_found`, Unavailable `bus.unavailable`.
        """
        stored = await self._catalog.need_node(node)
        now = self._now()
        for invitation in await self._invitations.all():
            if invitation.node == node and invitation.revoked_at is None and invitation.expires_at > now:
                await self._invitations.revoke(invitation.id, actor=actor)
        # A repetition after an error closes the account again, which is safe; the record forgets it only afterwards.
        if stored.value.account:
            await self._authority.expel(node, stored.value.account, now=now)

        def forget(record: NodeRecord) -> NodeRecord:
            if record.account != stored.value.account or (record.revoked_at and not record.account):
                return record  # joined again meanwhile, or done before
            return msgspec.structs.replace(
                record, recipient="", public_key="", account="", credentials_until=None, revoked_at=now
            )

        record = await self._catalog.nodes.change(node, forget)
        if record is None:
            raise NotFound("node.not_found", f"there is no node {node!r}", field="node")
        await self._tell("revoked", node, f"{node}:{(record.revoked_at or now).isoformat()}", actor=actor)
        return record

    async def _hello(self, message: Msg) -> Challenge:
        hello = hello_decoder.decode(message.data)
        await self._invitations.need_open(hello.token_id)
        return self._proofs.challenge(hello, now=self._now())

    async def _join(self, message: Msg) -> Admission:
        join = join_decoder.decode(message.data)
        stored = await self._invitations.need_open(join.token_id)
        try:
            self._proofs.check(join, now=self._now())
            invitation = await self._invitations.bind(
                stored, join.secret, public_key=join.public_key, recipient=join.recipient
            )
        except (Denied, RecordChanged) as exc:
            now = self._now().isoformat()
            await self._tell("join_refused", stored.value.node, f"{join.token_id}:{now}", id=join.token_id, code=exc.code)
            raise
        given = await self.admit(invitation.node, public_key=join.public_key, recipient=join.recipient)
        services = await self._serve(invitation)
        await self._tell("joined", invitation.node, invitation.id, id=invitation.id, public_key=join.public_key)
        return Admission(
            node=invitation.node,
            user_jwt=given.user_jwt,
            expires_at=given.expires_at,
            services=[JoinedService(service=f"{s.project}/{s.name}", kind=kind_of(s.options)) for s in services],
        )

    async def _renew(self, message: Msg) -> Renewed:
        """The server vouches for the node; the credentials are for the key that it joined with, whoever asks."""
        node = subjects.node_of(message.subject)
        stored = await self._catalog.need_node(node)
        record, now = stored.value, self._now()
        if not record.account:
            raise Denied("node.not_enrolled", f"node {node} has no credentials here: enrol it again")
        given = self._authority.renew(record.account, node, record.public_key, now=now, valid_for=self._valid_for)

        def note(current: NodeRecord) -> NodeRecord:
            if current.account != record.account:
                return current
            return msgspec.structs.replace(current, credentials_until=given.expires_at)

        await self._catalog.nodes.change(node, note)
        await self._tell("renewed", node, f"{node}:{now.isoformat()}")
        return Renewed(user_jwt=given.user_jwt, expires_at=given.expires_at)

    async def _serve(self, invitation: InvitationRecord) -> list[ServiceRecord]:
        """Has the invitation's services name the node; gives all that do."""

        def with_node(record: ServiceRecord) -> ServiceRecord:
            if invitation.node in record.nodes:
                return record
            return msgspec.structs.replace(record, nodes=[*record.nodes, invitation.node])

        for ref in invitation.services:
            # One that was deleted meanwhile is no reason to refuse the host.
            await self._catalog.services.change(key(*parse_service_ref(ref)), with_node)
        found = [stored.value for stored in await self._catalog.services.select()]
        return [service for service in found if invitation.node in service.nodes and service.deletion is None]

    def _answering(self, answer: Callable[[Msg], Awaitable[object]]) -> Callable[[Msg], Awaitable[None]]:
        async def handle(message: Msg) -> None:
            if not subjects.is_reply_inbox(message.reply, agent=True):
                log.warning("enrolment.reply_refused", subject=message.subject)
                return
            try:
                said = await answer(message)
            except StrongroomError as exc:
                log.info("enrolment.refused", subject=message.subject, code=exc.code, reason=exc.message)
                said = Refused(error=exc.info)
            except Exception:
                log.exception("enrolment.failed", subject=message.subject)
                said = Refused(error=ErrorInfo(code="internal", message="the coordinator met an error; see its log"))
            await message.respond(encode(said))

        return handle

    async def _tell(self, what: str, node: str, unique: str, *, actor: str = "", **facts: str) -> None:
        at = self._now()
        await self._events.publish(
            f"node.{what}", key=unique, at=at, node=node, actor=actor or None, facts=dict(facts) or None
        )


def _view(record: InvitationRecord) -> InvitationView:
    return InvitationView(
        id=record.id,
        node=record.node,
        services=record.services,
        created_at=record.created_at,
        created_by=record.created_by,
        expires_at=record.expires_at,
        used_at=record.used_at,
        revoked_at=record.revoked_at,
    )
