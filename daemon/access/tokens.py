"""Tokens: made, shown once, known again by their digest, ended.

A token reads `srm_<id>_<secret>`: the id finds its record, the secret is 256 random bits.  Secret scanners can look for
`srm_[a-z2-7]{10}_[A-Za-z0-9_-]{43}`.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import msgspec

from contracts.access import TokenRecord, TokenState
from contracts.control import NewToken, TokenCreate, TokenRef, TokenView
from contracts.errors import Denied, NotFound
from daemon.access.caller import Caller, Via
from daemon.catalog.buckets import Stored
from daemon.catalog.catalog import Catalog
from daemon.runs.events import EventPublisher

_TOKEN: Final = re.compile(r"srm_([a-z2-7]{10})_([A-Za-z0-9_-]{43})")
_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz234567"
_ID_LENGTH: Final = 10
_ENDED_KEPT: Final = timedelta(days=90)
"""How long a token that has ended stays in lists."""


class Tokens:
    """All tokens of all projects."""

    def __init__(self, catalog: Catalog, events: EventPublisher, now: Callable[[], datetime]) -> None:
        self._catalog = catalog
        self._events = events
        self._now = now

    async def create(self, q: TokenCreate) -> NewToken:
        """Raises: NotFound, Conflict for a project that there is not."""
        if q.project:
            await self._catalog.need_live_project(q.project)
        now = self._now()
        secret = secrets.token_urlsafe(32)
        lifetime = timedelta(days=q.expires_in_days) if q.expires_in_days is not None else None
        record = TokenRecord(
            id="".join(secrets.choice(_ALPHABET) for _ in range(_ID_LENGTH)),
            name=q.name,
            role=q.role,
            project=q.project,
            secret_sha256=_digest(secret),
            created_at=now,
            created_by=q.actor,
            expires_at=now + lifetime if lifetime else None,
        )
        kept_s = int((lifetime + _ENDED_KEPT).total_seconds()) if lifetime else None
        await self._catalog.tokens.create(record.id, record, ttl_s=kept_s)
        await self._tell("created", record, actor=q.actor)
        return NewToken(view=self._view(record), token=f"srm_{record.id}_{secret}")

    async def all(self, project: str) -> list[TokenView]:
        """Those of a project, or all; the newest first."""
        found = [stored.value for stored in await self._catalog.tokens.select()]
        chosen = [record for record in found if not project or record.project == project]
        return [self._view(record) for record in sorted(chosen, key=lambda record: record.created_at, reverse=True)]

    async def revoke(self, q: TokenRef) -> TokenView:
        """Safe to repeat.  Raises: NotFound `token.not_found`."""
        now = self._now()
        stored = await self._need(q.id, q.project)
        if stored.value.revoked_at is not None:
            return self._view(stored.value)
        record = msgspec.structs.replace(stored.value, revoked_at=now, revoked_by=q.actor)
        await self._catalog.tokens.update(stored.key, record, stored.revision, ttl_s=int(_ENDED_KEPT.total_seconds()))
        await self._tell("revoked", record, actor=q.actor)
        return self._view(record)

    async def authenticate(self, token: str, via: Via) -> Caller:
        """Whose token it is.  Raises: Denied `access.unauthenticated`, the same for all that is wrong with it."""
        match = _TOKEN.fullmatch(token)
        stored = await self._catalog.tokens.get(match[1]) if match else None
        if match is None or stored is None or not hmac.compare_digest(stored.value.secret_sha256, _digest(match[2])):
            raise Denied("access.unauthenticated", "this is not a token that was made here: look for a missing end")
        return self._caller(stored.value, via)

    async def caller_of(self, token_id: str, via: Via) -> Caller:
        """Of a token that was shown before.  Raises: Denied `access.unauthenticated` when it has ended since."""
        stored = await self._catalog.tokens.get(token_id)
        if stored is None:
            raise Denied("access.unauthenticated", "the token that was shown here is no more")
        return self._caller(stored.value, via)

    def _caller(self, record: TokenRecord, via: Via) -> Caller:
        state = record.state_at(self._now())
        if state is not TokenState.ACTIVE:
            raise Denied("access.unauthenticated", f"the token {record.name!r} is {state}: ask an admin for another one")
        return Caller(
            actor=f"token:{record.name}",
            role=record.role,
            via=via,
            project=record.project,
            token_id=record.id,
            expires_at=record.expires_at,
        )

    async def _need(self, token_id: str, project: str) -> Stored[TokenRecord]:
        stored = await self._catalog.tokens.get(token_id)
        if stored is None or (project and stored.value.project != project):
            raise NotFound("token.not_found", f"there is no token with the id {token_id!r}", field="id")
        return stored

    def _view(self, record: TokenRecord) -> TokenView:
        return TokenView(
            id=record.id,
            name=record.name,
            role=record.role,
            project=record.project,
            state=record.state_at(self._now()),
            created_at=record.created_at,
            created_by=record.created_by,
            expires_at=record.expires_at,
            revoked_at=record.revoked_at,
        )

    async def _tell(self, verb: str, record: TokenRecord, *, actor: str) -> None:
        await self._events.publish(
            f"token.{verb}",
            key=record.id,
            at=self._now(),
            project=record.project,
            actor=actor or None,
            facts={"id": record.id, "name": record.name, "role": str(record.role)},
        )


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
