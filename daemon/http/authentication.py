"""Who sends a request: by the token in its `Authorization` header, or by the session of a browser.

Whoever shows a wrong token is counted by address; an address that fails too often has to wait, whatever it shows meanwhile.
"""

from __future__ import annotations

import ipaddress
import secrets
from typing import Any, Final, TypeAlias

import structlog
from litestar import Request

from contracts.access import Role
from contracts.errors import Denied, StrongroomError
from daemon.access.caller import Caller, Via
from daemon.http.backend import Backend
from daemon.runs.events import EventPublisher
from daemon.web.sessions import caller_of_session

log = structlog.get_logger()

AnyRequest: TypeAlias = Request[Any, Any, Any]

_NETWORK_BITS: Final = 64
"""What one customer of IPv6 has to himself: whoever has one address of it has all of them."""


async def caller_of(backend: Backend, request: AnyRequest) -> Caller:
    """Who asks; a token in the header counts before a session's cookie, which has to come with its CSRF header.

    Raises: Denied `access.unauthenticated`, Denied `access.forbidden` without the CSRF header, Unavailable `access.limited`.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return await caller_of_token(backend, request, token.strip(), Via.HTTP)
    if request.cookies and (caller := await caller_of_session(backend, request)) is not None:
        return caller
    log.info("http.refused", address=address_of(request), path=request.url.path, reason="no token was shown")
    raise Denied("access.unauthenticated", "show a token in the header `Authorization: Bearer srm_...`")


async def caller_of_token(backend: Backend, request: AnyRequest, token: str, via: Via) -> Caller:
    """Whose token it is; a wrong one is counted, logged, and told of in the audit log.

    Raises: Denied `access.unauthenticated`, Unavailable `access.limited`.
    """
    address = address_of(request)
    at_s = backend.clock_s()
    try:
        backend.attempts.check(address, at_s)
        return await backend.tokens.authenticate(token, via)
    except Denied as exc:
        backend.attempts.note(address, at_s)
        await _tell_refusal(backend, address, via, exc)
        raise
    except StrongroomError as exc:
        if exc.code == "access.limited":
            await _tell_refusal(backend, address, via, exc)
        raise


def need_role(caller: Caller, role: Role, *, project: str = "", what: str) -> None:
    """For routes that are no verbs.  Raises: Denied `access.forbidden` for a lower role or another project."""
    if not caller.role.covers(role):
        raise Denied("access.forbidden", f"{what} needs the role {role}, and {caller.actor} has {caller.role}")
    if caller.project and project != caller.project:
        raise Denied("access.forbidden", f"{caller.actor} is let in for project {caller.project} only", field="project")


def address_of(request: AnyRequest) -> str:
    """What failures are counted by: the client's address, of IPv6 the network that is one customer's."""
    host = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host or "unknown"
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, _NETWORK_BITS), strict=False))


async def _tell_refusal(backend: Backend, address: str, via: Via, refusal: StrongroomError) -> None:
    """Every one is in the log; the audit log has one a minute and address, with how many they were."""
    log.warning("http.refused", address=address, via=str(via), code=refusal.code, reason=refusal.message)
    number = backend.refusals.note(address, backend.clock_s())
    if number is None:
        return
    facts: dict[str, str | int] = {"address": address, "via": str(via), "code": refusal.code, "refusals": number}
    try:
        await EventPublisher(backend.js, backend.metrics.note_event).publish(
            "access.refused", key=secrets.token_hex(8), at=backend.now(), reason=refusal.message, facts=facts
        )
    except StrongroomError as exc:
        # The answer is the same whether or not the bus takes the event.
        log.error("http.refusal_untold", code=exc.code, reason=exc.message)
