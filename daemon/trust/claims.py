"""The claims of every account, as pure functions: what it may reach, what reaches it, and its limits.

    SYS     the servers' own; the coordinator tells them there of accounts
    CORE    JetStream and the coordinator; gives out services by token only, so that no account without one can import
    OPS     operators: control verbs, and reading events and logs
    ENROL   guests with a join token: `strongroom.enrol.>` and nothing else
    AG_…    one for each node: its own three services

Source: github.com/nats-io/jwt, v2/account_claims.go, exports.go, imports.go, activation_claims.go, signingkeys.go.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from contracts.subjects import guest_inbox
from daemon.trust import jwt, rights
from daemon.trust.keys import KeyPair

SYS, CORE, OPS, ENROL = "SYS", "CORE", "OPS", "ENROL"
_UNLIMITED: Final = -1
_ACTIVE_AGENTS: Final = 8
"""Connections of one node at once: one, and while it is replaced or renews its credentials two."""
_AGENT_SUBSCRIPTIONS: Final = 1000


@dataclass(frozen=True, kw_only=True)
class Exporter:
    """CORE, as whoever imports from it needs it."""

    account: str
    signer: KeyPair


def node_account_name(node: str) -> str:
    return f"AG_{node}"


def operator_claims(system_account: str, signing_key: str) -> dict[str, Any]:
    return {"signing_keys": [signing_key], "system_account": system_account}


def system_claims(signing_key: str) -> dict[str, Any]:
    """As the servers' own tools make it: services and events of the servers, for its own users alone."""
    return _account(limits=_limits(conn=64), signing_keys=[signing_key])


def core_claims(signing_key: str) -> dict[str, Any]:
    exports = [_service_export(subject) for subject in _exported_services()]
    exports += [{"name": s, "subject": s, "type": "stream", "token_req": True} for s in rights.OPERATOR_STREAMS]
    limits = _limits(conn=_UNLIMITED, exports=_UNLIMITED, wildcards=True)
    limits |= {"mem_storage": _UNLIMITED, "disk_storage": _UNLIMITED, "streams": _UNLIMITED, "consumer": _UNLIMITED}
    return _account(limits=limits, signing_keys=[signing_key], exports=exports)


def operators_claims(account: str, signing_key: str, core: Exporter, now: datetime) -> dict[str, Any]:
    services = (rights.JETSTREAM_SHADOW, *rights.operator_services())
    imports = [_import(core, account, subject, "service", now) for subject in services]
    imports += [_import(core, account, subject, "stream", now) for subject in rights.OPERATOR_STREAMS]
    scope = _scope(
        signing_key,
        role="operator",
        publish=rights.operator_services(),
        subscribe=rights.OPERATOR_LISTENS,
    )
    return _account(limits=_limits(conn=1000, imports=len(imports)), signing_keys=[scope], imports=imports)


def guests_claims(account: str, signing_key: str, core: Exporter, now: datetime) -> dict[str, Any]:
    imports = [_import(core, account, subject, "service", now) for subject in rights.GUEST_SERVICES]
    scope = _scope(
        signing_key,
        role="guest",
        publish=rights.GUEST_SERVICES,
        # Its own inbox: what one guest is answered, the others need not hear.
        subscribe=[f"{guest_inbox('{{subject()}}')}.>"],
        subscriptions=4,
        payload=rights.GUEST_PAYLOAD_BYTES,
    )
    limits = _limits(
        conn=rights.GUEST_CONNECTIONS,
        imports=len(imports),
        subs=4 * rights.GUEST_CONNECTIONS,
        payload=rights.GUEST_PAYLOAD_BYTES,
    )
    return _account(limits=limits, signing_keys=[scope], imports=imports)


def node_claims(node: str, account: str, signing_key: str, core: Exporter, now: datetime) -> dict[str, Any]:
    """Users signed by `signing_key` have the rights of this node's agent, whatever their JWT says."""
    subjects = rights.node_subjects(node)
    imports = [_import(core, account, subject, "service", now) for subject in subjects]
    scope = _scope(signing_key, role="agent", publish=subjects, subscribe=rights.node_listens(node))
    limits = _limits(conn=_ACTIVE_AGENTS, imports=len(imports), subs=_AGENT_SUBSCRIPTIONS)
    return _account(limits=limits, signing_keys=[scope], imports=imports)


def closed_claims(now: datetime) -> dict[str, Any]:
    """An account that is over: no key signs for it, whatever was signed before is revoked, and it reaches nothing."""
    return _account(limits=_limits(conn=0), signing_keys=[], revocations={"*": int(now.timestamp())})


def user_claims(issuer_account: str, *, publish: Iterable[str] = (), subscribe: Iterable[str] = ()) -> dict[str, Any]:
    """A user with these permissions (none: all that the account may do), signed by one of the account's signing keys."""
    return {
        "pub": _allow(publish),
        "sub": _allow(subscribe),
        "subs": _UNLIMITED,
        "data": _UNLIMITED,
        "payload": _UNLIMITED,
        "issuer_account": issuer_account,
    }


def scoped_user_claims(issuer_account: str) -> dict[str, Any]:
    """A user whose rights are those of the signing key's scope: the server refuses one that names any itself."""
    return {"pub": {}, "sub": {}, "issuer_account": issuer_account}


def system_user_claims(system_account: str) -> dict[str, Any]:
    """The coordinator at the servers: it tells, looks up and lists accounts, and hears answers."""
    return user_claims(
        system_account,
        publish=["$SYS.REQ.CLAIMS.UPDATE", "$SYS.REQ.CLAIMS.LIST", "$SYS.REQ.ACCOUNT.*.CLAIMS.LOOKUP"],
        subscribe=[f"{SYSTEM_INBOX}.>"],
    )


SYSTEM_INBOX: Final = "_INBOX_trust"


def _exported_services() -> tuple[str, ...]:
    asked = (*rights.operator_services(), rights.JETSTREAM_SHADOW)
    return (*rights.node_subjects("*"), *asked, *rights.GUEST_SERVICES)


def _service_export(subject: str) -> dict[str, Any]:
    response = "Singleton" if subject in rights.SINGLE_ANSWER else "Stream"
    return {"name": subject, "subject": subject, "type": "service", "token_req": True, "response_type": response}


def _import(core: Exporter, importer: str, subject: str, type_: str, now: datetime) -> dict[str, Any]:
    activation = jwt.encode(
        core.signer,
        type_="activation",
        subject=importer,
        name=subject,
        claims={"subject": subject, "kind": type_, "issuer_account": core.account},
        issued_at=now,
    )
    return {"name": subject, "subject": subject, "account": core.account, "token": activation, "type": type_}


def _scope(
    key: str,
    *,
    role: str,
    publish: Iterable[str],
    subscribe: Iterable[str],
    subscriptions: int = _UNLIMITED,
    payload: int = _UNLIMITED,
) -> dict[str, Any]:
    template = {
        "pub": _allow(publish),
        "sub": _allow(subscribe),
        "subs": subscriptions,
        "data": _UNLIMITED,
        "payload": payload,
    }
    return {"kind": "user_scope", "key": key, "role": role, "template": template, "description": ""}


def _allow(subjects: Iterable[str]) -> dict[str, list[str]]:
    allowed = list(subjects)
    return {"allow": allowed} if allowed else {}


def _limits(
    *,
    conn: int,
    imports: int = 0,
    exports: int = 0,
    wildcards: bool = False,
    subs: int = _UNLIMITED,
    payload: int = _UNLIMITED,
) -> dict[str, Any]:
    """No leaf nodes, no JetStream of its own, no bearer tokens: an account has what it needs."""
    return {
        "subs": subs,
        "data": _UNLIMITED,
        "payload": payload,
        "imports": imports,
        "exports": exports,
        "wildcards": wildcards,
        "conn": conn,
        "leaf": 0,
        "disallow_bearer": True,
    }


def _account(
    *,
    limits: dict[str, Any],
    signing_keys: list[Any],
    imports: list[dict[str, Any]] | None = None,
    exports: list[dict[str, Any]] | None = None,
    revocations: dict[str, int] | None = None,
) -> dict[str, Any]:
    claims: dict[str, Any] = {
        "limits": limits,
        "signing_keys": signing_keys,
        "default_permissions": {"pub": {}, "sub": {}},
        "authorization": {},
    }
    if imports:
        claims["imports"] = imports
    if exports:
        claims["exports"] = exports
    if revocations:
        claims["revocations"] = revocations
    return claims
