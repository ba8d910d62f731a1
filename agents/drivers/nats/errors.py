"""What NATS says went wrong, in our codes and in sentences that help."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from contracts.errors import RunFailed

NOT_FOUND: Final = 10059
REPLICAS_NEED_A_CLUSTER: Final = 10074
NO_PEERS: Final = frozenset({10005, 10023})
"""No servers that fit the placement and the number of replicas."""
_NOT_ENABLED: Final = frozenset({10039, 10076})
_LEADERLESS: Final = frozenset({10008, 10009, 10118, 10194})
_NO_ROOM: Final = frozenset({10002, 10027, 10028, 10047, 10120, 10122})
_WRAPPING: Final = frozenset({10062, 10064})
"""Of a restore and a snapshot that failed; the reason's own code follows in parentheses, if it has one."""
_INNER: Final = re.compile(r"\((\d{5})\)")
_DENIED: Final = re.compile(r'permissions violation for (publish|subscription) to "([^"]*)"', re.IGNORECASE)
_REFUSED_LOGIN: Final = re.compile(r"authorization|authentication|credentials|nkey|signature", re.IGNORECASE)


class ApiRefused(RunFailed):
    """JetStream's answer was an error; `err_code` is its own number for it."""

    def __init__(self, code: str, message: str, err_code: int, words: str) -> None:
        super().__init__(code, message, detail=f"{words} ({err_code})" if err_code else words)
        self.err_code = err_code
        self.words = words


def refused(error: Any, doing: str, place: str) -> ApiRefused:
    """The `error` of an API answer; `doing` completes "while …"."""
    error = error if isinstance(error, dict) else {}
    words = str(error.get("description", "an unknown error"))
    number = error.get("err_code", 0)
    err_code = number if isinstance(number, int) else 0
    inner = _INNER.search(words)
    if err_code in _WRAPPING and inner:
        err_code = int(inner[1])
    if err_code in _NOT_ENABLED:
        what = f"JetStream is not enabled for this user's account at {place}"
        remedy = "enable it for the account (`jetstream: enabled`, or limits by nsc), or use a user of the right account"
        return ApiRefused("engine.refused", f"{what}: {remedy}", err_code, words)
    if err_code in _LEADERLESS:
        what = f"JetStream at {place} has no leader at the moment, or too few of its servers"
        return ApiRefused(
            "engine.degraded", f"{what}: check the cluster with `nats server report jetstream`", err_code, words
        )
    if err_code in _NO_ROOM:
        what = f"JetStream at {place} has no room left while {doing}: {words}"
        return ApiRefused("engine.refused", f"{what}; raise the limits of the account or of the server", err_code, words)
    return ApiRefused("engine.refused", f"JetStream at {place} refused while {doing}: {words}", err_code, words)


def denied(words: str, asked: Iterable[str], place: str) -> RunFailed | None:
    """For an asynchronous error of the connection that tells of a missing right.  `asked` are subjects of ours.

    The server's text is in small letters by the time it gets here, so the subject is looked up among ours.
    """
    match = _DENIED.search(words)
    if match is None:
        return None
    subject = next((each for each in asked if each.casefold() == match[2].casefold()), match[2])
    act = "publish" if match[1].casefold() == "publish" else "subscribe"
    what = f"the NATS user at {place} may not {act} to {subject}"
    return RunFailed("engine.permission", f"{what}: deploy/nats lists all permissions that it needs", detail=words)


def no_jetstream(place: str, domain: str) -> RunFailed:
    """For a request that nobody takes."""
    if domain:
        what = f"no JetStream answers in the domain {domain!r} at {place}: check `domain` in the service's file"
    else:
        what = f"no JetStream answers at {place}: enable it on the server, or set `domain` in the service's file"
    return RunFailed("engine.refused", what)


def connect_failed(words: str, place: str) -> RunFailed:
    """Why there is no connection."""
    if _REFUSED_LOGIN.search(words):
        what = f"the NATS server at {place} refused the credentials: check those in the service's file on this host"
        return RunFailed("engine.auth_failed", what, detail=words)
    if "certificate" in words or "SSL" in words or "tls" in words.casefold():
        what = f"no TLS connection to the NATS server at {place}: check url, ca_file and cert_file in the service's file"
        return RunFailed("engine.unreachable", what, detail=words)
    what = f"no NATS server answers at {place}: check that it runs and that url is right"
    return RunFailed("engine.unreachable", what, detail=words or None)


def connection_lost(place: str, words: str) -> RunFailed:
    """For a connection that was there."""
    if _REFUSED_LOGIN.search(words):
        what = f"the NATS server at {place} closed the connection: the user's credentials have expired or were revoked"
        return RunFailed("engine.auth_failed", what, detail=words)
    return RunFailed("engine.unreachable", f"the NATS server at {place} closed the connection", detail=words or None)


def no_answer(doing: str, place: str, timeout_s: float) -> RunFailed:
    what = f"JetStream at {place} did not answer within {timeout_s:g} s while {doing}"
    return RunFailed("engine.unreachable", f"{what}: check the cluster with `nats server report jetstream`")


def restore_refused(exc: ApiRefused, stream: str) -> RunFailed:
    """Why a server did not make a stream of an archive."""
    what = f"NATS could not restore stream {stream!r}: {exc.words}"
    if exc.code != "engine.refused":
        return exc
    if "invalid tar header" in exc.words:
        why = "the backup was made by nats-server 2.15 or later, which this server is too old for: upgrade it"
        return RunFailed("engine.version_skew", f"{what}; {why}", detail=exc.detail)
    if "unknown field" in exc.words:
        why = "the stream has a setting that this server is too old for: upgrade it"
        return RunFailed("engine.version_skew", f"{what}; {why}", detail=exc.detail)
    if "maximum payload size" in exc.words:
        why = "it has messages larger than this server allows: raise max_payload there"
    elif exc.err_code in _NO_ROOM or "resources exceeded" in exc.words or "insufficient" in exc.words:
        why = "there is no room for it: raise the limits of the account, or of the server's JetStream"
    elif exc.err_code in NO_PEERS:
        why = "there are not enough servers for it: see `nats server report jetstream`"
    else:
        why = "see the server's log"
    return RunFailed("restore.failed", f"{what}; {why}", detail=exc.detail)
