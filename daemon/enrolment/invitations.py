"""Invitations: join tokens that were made, shown once, and known again by their digest."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec

from contracts.enrolment import JoinToken
from contracts.errors import Denied, InvalidInput, NotFound
from contracts.records import InvitationRecord
from contracts.settings import NatsSettings
from daemon.catalog.buckets import Stored
from daemon.catalog.catalog import Catalog
from daemon.trust.authority import Authority
from daemon.trust.settings import TrustSettings

_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz234567"
_ID_LENGTH: Final = 10
_ENDED_KEPT: Final = timedelta(days=90)
"""How long an invitation that has ended stays in lists."""
MOST_VALID: Final = timedelta(days=7)


class Invitations:
    """All of them, open or ended."""

    def __init__(
        self,
        catalog: Catalog,
        authority: Authority,
        nats: NatsSettings,
        trust: TrustSettings,
        now: Callable[[], datetime],
    ) -> None:
        self._catalog, self._authority, self._nats, self._trust, self._now = catalog, authority, nats, trust, now

    async def make(
        self, node: str, services: Sequence[str], valid_for: timedelta, *, actor: str
    ) -> tuple[InvitationRecord, str]:
        """The record and the token, which is kept nowhere.

        Raises: InvalidInput `input.invalid` for a time that is none, `config.invalid` for an unreadable `nats.ca_file`.
        """
        if not timedelta(minutes=1) <= valid_for <= MOST_VALID:
            raise InvalidInput("input.invalid", "a join token is good for one minute to seven days", field="valid_s")
        ca_pem = _read_ca(self._nats.ca_file)
        now = self._now()
        until = now + valid_for
        guest = self._authority.guest(now=now, until=until)
        secret = secrets.token_urlsafe(32)
        record = InvitationRecord(
            id="".join(secrets.choice(_ALPHABET) for _ in range(_ID_LENGTH)),
            node=node,
            secret_sha256=_digest(secret),
            services=list(services),
            created_at=now,
            created_by=actor,
            expires_at=until,
        )
        token = JoinToken(
            id=record.id,
            secret=secret,
            node=node,
            url=self._trust.agent_url or self._nats.url,
            guest_seed=guest.seed,
            guest_jwt=guest.user_jwt,
            expires_at=until,
            ca_pem=ca_pem,
        )
        await self._catalog.invitations.create(record.id, record, ttl_s=self._kept_s(record))
        return record, token.reveal()

    async def all(self) -> list[InvitationRecord]:
        """The newest first."""
        found = [stored.value for stored in await self._catalog.invitations.select(skip_unreadable=True)]
        return sorted(found, key=lambda record: record.created_at, reverse=True)

    async def revoke(self, invitation_id: str, *, actor: str) -> InvitationRecord:
        """Nobody gets in by it any more; who did stays.  Safe to repeat.  Raises: NotFound `invitation.not_found`."""

        def end(record: InvitationRecord) -> InvitationRecord:
            if record.revoked_at is not None:
                return record
            return msgspec.structs.replace(record, revoked_at=self._now(), revoked_by=actor)

        ended = await self._catalog.invitations.change(invitation_id, end, ttl_s=int(_ENDED_KEPT.total_seconds()))
        if ended is None:
            raise NotFound("invitation.not_found", f"there is no invitation with the id {invitation_id!r}", field="id")
        return ended

    async def need_open(self, invitation_id: str) -> Stored[InvitationRecord]:
        """Raises: Denied `join.refused`, `join.expired`."""
        stored = await self._catalog.invitations.get(invitation_id)
        if stored is None:
            raise Denied("join.refused", "this join token is not known here: ask an admin for another one")
        if stored.value.revoked_at is not None:
            raise Denied("join.expired", "this join token was revoked: ask an admin for another one")
        if stored.value.expires_at <= self._now():
            raise Denied("join.expired", "this join token is no longer good: `strongroom node enroll` makes another one")
        return stored

    async def bind(
        self, stored: Stored[InvitationRecord], secret: str, *, public_key: str, recipient: str
    ) -> InvitationRecord:
        """The invitation, which from now on is good for these keys only.

        Raises: Denied `join.refused`, RecordChanged when another host was quicker or it was revoked meanwhile.
        """
        record = stored.value
        if not hmac.compare_digest(record.secret_sha256, _digest(secret)):
            raise Denied("join.refused", "this join token is not known here: ask an admin for another one")
        if record.used_at is not None:
            if (record.public_key, record.recipient) == (public_key, recipient):
                return record
            raise Denied("join.refused", "this join token was used by another host, or by this one with other keys")
        used = msgspec.structs.replace(record, used_at=self._now(), public_key=public_key, recipient=recipient)
        await self._catalog.invitations.update(stored.key, used, stored.revision, ttl_s=self._kept_s(record))
        return used

    def _kept_s(self, record: InvitationRecord) -> int:
        return int((record.expires_at - self._now() + _ENDED_KEPT).total_seconds())


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _read_ca(path: str) -> str:
    if not path:
        return ""
    try:
        return Path(path).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as exc:
        raise InvalidInput("config.invalid", f"nats.ca_file: {path} cannot be read: {exc}", field="nats.ca_file") from None
