"""The coordinator's power over who may connect: nodes are admitted, renewed and expelled while the servers run.

Every node gets an account of its own, which reaches CORE by three service imports and nothing else.  The account's own
key is thrown away as soon as it is made; its JWT is signed by the operator's signing key and given to the servers'
resolver over the system account, so no file of a server changes.  What an agent connects with is a user JWT for the key
that never left its host, signed by the one key that every node's account names for that.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import structlog

from contracts.errors import Corrupt, InvalidInput
from contracts.ids import check_slug
from contracts.settings import NatsSettings
from daemon.trust import claims, jwt
from daemon.trust.book import CoordinatorKeys, TrustBook, read_book, read_keys
from daemon.trust.keys import KeyKind, KeyPair, check_public_key
from daemon.trust.system import SystemAccount, system_account

log = structlog.get_logger()

_ADMISSION: Final = timedelta(hours=1)
"""Longer than it takes from the making of an account to the record that names it."""


@dataclass(frozen=True, kw_only=True)
class NodeCredentials:
    """What an agent needs beside its own seed.  None of it is secret: without that seed it opens nothing."""

    account: str
    """The public key of the node's account, `A…`: to be kept with the node, for `renew`, `expel` and `reconcile`."""
    user_jwt: str
    expires_at: datetime | None
    """None: never.  A connection is closed by the server at that moment."""


@dataclass(frozen=True, kw_only=True)
class GuestCredentials:
    """What a join token carries, for the one connection by which a host asks to be let in."""

    seed: str = field(repr=False)
    user_jwt: str


@dataclass(frozen=True, kw_only=True)
class KnownNode:
    """A node as the coordinator's records have it."""

    node: str
    account: str
    public_key: str


class Authority:
    """Makes and ends the accounts of nodes.  Every coordinator may do so; none of them keeps anything in memory.

    Each call that tells the servers something has its own short connection to the system account.
    """

    def __init__(self, book: TrustBook, keys: CoordinatorKeys, nats: NatsSettings) -> None:
        self._book, self._keys, self._nats = book, keys, nats
        self._core = claims.Exporter(account=book.core.account, signer=keys.core)

    @classmethod
    def open(cls, directory: Path, nats: NatsSettings) -> Authority:
        """Reads the directory's keys; connects to nothing.  Of `nats`, only `url` and `ca_file` count.

        Raises: InvalidInput `config.invalid` naming the file that is absent or malformed.
        """
        return cls(read_book(directory), read_keys(directory), nats)

    async def admit(self, node: str, public_key: str, *, now: datetime, valid_for: timedelta | None) -> NodeCredentials:
        """A fresh account for the node, known to the servers, and credentials for the holder of `public_key` (`U…`).

        They work at once.  Called twice, there are two accounts: expel the one that is not kept (`reconcile` closes an
        account that no record names).  Raises: InvalidInput for a name that is no slug (`input.invalid`) or a malformed
        key (`key.invalid`); Unavailable `bus.unavailable`, and then the same call may simply be made again.
        """
        check_slug(node, "node")
        check_public_key(public_key, KeyKind.USER)
        account = KeyPair.generate(KeyKind.ACCOUNT).public  # nobody needs its seed: others sign for it
        async with self._system() as servers:
            await servers.update(self._node_account(node, account, now))
        log.info("trust.admitted", node=node, account=account)
        return self.renew(account, node, public_key, now=now, valid_for=valid_for)

    def renew(
        self, account: str, node: str, public_key: str, *, now: datetime, valid_for: timedelta | None
    ) -> NodeCredentials:
        """Fresh credentials in the account that the node has.  Tells the servers nothing.

        Whoever calls it has looked up that the node was not expelled; for an account that was, they open nothing.
        Raises: InvalidInput `key.invalid`.
        """
        check_public_key(account, KeyKind.ACCOUNT, "account")
        check_public_key(public_key, KeyKind.USER)
        expires_at = None if valid_for is None else (now + valid_for).replace(microsecond=0)
        user_jwt = jwt.encode(
            self._keys.agents,
            type_="user",
            subject=public_key,
            name=node,
            claims=claims.scoped_user_claims(account),
            issued_at=now,
            expires_at=expires_at,
        )
        return NodeCredentials(account=account, user_jwt=user_jwt, expires_at=expires_at)

    async def expel(self, node: str, account: str, *, now: datetime) -> None:
        """Closes the node's connections at once; whatever was signed for the account is refused from then on, for good.

        Safe to repeat, also for an account the servers do not know.  What stays of it is a note of some hundred bytes
        that it is over: were it deleted instead, a server that was away meanwhile would bring it back to the others.
        Raises: InvalidInput `key.invalid` for what is no account; Unavailable `bus.unavailable`.
        """
        check_public_key(account, KeyKind.ACCOUNT, "account")
        if account in self._fixed:
            raise InvalidInput("key.invalid", "an account that is always there cannot be expelled", field="account")
        async with self._system() as servers:
            await self._close(servers, node, account, await servers.lookup(account), now)

    async def reconcile(self, nodes: Iterable[KnownNode], *, now: datetime) -> None:
        """At the coordinator's start: the servers know the accounts of these nodes again if they lost them, and the
        accounts that are always there have the rights that this version gives them.  Accounts of nodes that none of these
        names, older than an hour, are closed: somebody was cut off between admitting and noting it down.

        Raises: Unavailable `bus.unavailable`; what was done by then stays done.
        """
        wanted = {known.account: known.node for known in nodes}
        async with self._system() as servers:
            there = await servers.accounts()
            for account, text in self._fixed_now(now).items():
                if account not in there or _differ(text, await servers.lookup(account)):
                    await servers.update(text)
                    log.warning("trust.account_restored", account=account)
            for account, node in sorted(wanted.items()):
                text = self._node_account(node, account, now)
                if account not in there or _differ(text, await servers.lookup(account)):
                    await servers.update(text)
                    log.warning("trust.account_restored", account=account, node=node)
            for account in sorted(there - wanted.keys() - self._fixed):
                known = await servers.lookup(account)
                if known is not None and self._is_forgotten(known, now):
                    await self._close(servers, str(jwt.decode(known)["name"]).removeprefix("AG_"), account, known, now)

    def guest(self, *, now: datetime, until: datetime) -> GuestCredentials:
        """Credentials that open `strongroom.enrol.>` to questions, until then, and nothing else.

        Whoever uses them listens below `contracts.subjects.guest_inbox(<the seed's public key>)`.
        """
        user = KeyPair.generate(KeyKind.USER)
        user_jwt = jwt.encode(
            self._keys.guests,
            type_="user",
            subject=user.public,
            name="guest",
            claims=claims.scoped_user_claims(self._book.guests.account),
            issued_at=now,
            expires_at=until,
        )
        return GuestCredentials(seed=user.reveal(), user_jwt=user_jwt)

    @property
    def _fixed(self) -> set[str]:
        return {fixed.account for fixed in self._book.accounts}

    def _system(self) -> AbstractAsyncContextManager[SystemAccount]:
        return system_account(self._nats, self._keys.system, self._keys.system_jwt)

    def _node_account(self, node: str, account: str, now: datetime) -> str:
        content = claims.node_claims(node, account, self._keys.agents.public, self._core, now)
        return self._account(claims.node_account_name(node), account, content, now)

    def _fixed_now(self, now: datetime) -> dict[str, str]:
        book = self._book
        core, operators, guests = book.core, book.operators, book.guests
        contents = (
            (claims.CORE, core, claims.core_claims(core.signing_key)),
            (
                claims.OPS,
                operators,
                claims.operators_claims(operators.account, operators.signing_key, self._core, now),
            ),
            (claims.ENROL, guests, claims.guests_claims(guests.account, guests.signing_key, self._core, now)),
        )
        return {fixed.account: self._account(name, fixed.account, content, now) for name, fixed, content in contents}

    def _account(self, name: str, account: str, content: dict[str, Any], now: datetime) -> str:
        return jwt.encode(self._keys.operator, type_="account", subject=account, name=name, claims=content, issued_at=now)

    async def _close(self, servers: SystemAccount, node: str, account: str, known: str | None, now: datetime) -> None:
        # The servers of a cluster believe the newest JWT, by whole seconds and whatever clock made the one before.
        issued_at = now + timedelta(seconds=1)
        if known is not None:
            issued_at = max(issued_at, datetime.fromtimestamp(int(jwt.decode(known)["iat"]) + 1, UTC))
        name = claims.node_account_name(node)
        await servers.update(self._account(name, account, claims.closed_claims(issued_at), issued_at))
        log.info("trust.expelled", node=node, account=account)

    def _is_forgotten(self, account_jwt: str, now: datetime) -> bool:
        """Whether it is an open account of a node of ours, and not one that is being admitted just now."""
        try:
            known = jwt.decode(account_jwt)
        except Corrupt:
            return False  # another tenant's, in some form of its own
        ours = any(key.get("key") == self._keys.agents.public for key in _scopes(known))
        return ours and datetime.fromtimestamp(int(known["iat"]), UTC) < now - _ADMISSION


def _scopes(known: dict[str, Any]) -> list[dict[str, Any]]:
    return [key for key in known["nats"].get("signing_keys", []) if isinstance(key, dict)]


def _differ(wanted: str, known: str | None) -> bool:
    """Whether the two grant different things; when they were issued does not count."""
    return known is None or _granted(wanted) != _granted(known)


def _granted(account_jwt: str) -> dict[str, Any]:
    content = dict(jwt.decode(account_jwt)["nats"])
    tokens = [str(entry.get("token", "")) for entry in content.get("imports", [])]
    content["imports"] = [
        {**entry, "token": {key: value for key, value in jwt.decode(token).items() if key not in ("iat", "jti")}}
        for entry, token in zip(content.get("imports", []), tokens, strict=True)
    ]
    return content
