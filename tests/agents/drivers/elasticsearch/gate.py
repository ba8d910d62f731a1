"""What stands before a real node in the tests: users with roles, faults on demand, and a record of every request."""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, Final

import aiohttp
from aiohttp import web
from yarl import URL

from daemon.embedded.ports import free_ports
from tests.agents.drivers.elasticsearch.rights import Role, role

PASSWORD: Final = "correct horse battery"
API_KEY: Final = "VnVhQ2ZHY0JDZGJrU:dG9wLXNlY3JldA"
_PASSED_ON: Final = ("Content-Type", "Accept-Encoding")

Forward = Callable[[], Awaitable[web.Response]]
Fault = Callable[[web.Request, bytes, Forward], Awaitable[web.Response]]


async def _nothing() -> None: ...


@dataclass
class _Trap:
    method: str
    path: str
    fault: Fault
    times: int


@dataclass
class Gate:
    """Made by `gate`."""

    url: str
    users: dict[str, Role]
    requests: list[tuple[str, str]] = field(default_factory=list)
    """(method, path) of all that came, in order."""
    pages: int = 0
    """Searches for documents among them."""
    close: Callable[[], Awaitable[None]] = _nothing
    """From then on nobody listens here any more."""
    _traps: list[_Trap] = field(default_factory=list)

    def on(self, method: str, path: str, fault: Fault, *, times: int = 1_000_000) -> None:
        """The fault meets requests whose path matches, query and all, the next `times` of them."""
        self._traps.append(_Trap(method, path, fault, times))

    def reset(self) -> None:
        self._traps.clear()
        self.requests.clear()

    def fault_for(self, method: str, path: str) -> Fault | None:
        for trap in self._traps:
            if trap.times > 0 and method == trap.method and re.search(trap.path, path):
                trap.times -= 1
                return trap.fault
        return None

    def count(self, method: str, path: str) -> int:
        return sum(1 for each in self.requests if each[0] == method and re.search(path, each[1]))


def answer(status: int, body: Any) -> Fault:
    """Instead of the node's."""

    async def fault(_request: web.Request, _body: bytes, _forward: Forward) -> web.Response:
        return web.json_response(body, status=status)

    return fault


def change(edit: Callable[[bytes], bytes]) -> Fault:
    """The node's own answer, changed."""

    async def fault(_request: web.Request, _body: bytes, forward: Forward) -> web.Response:
        found = await forward()
        assert isinstance(found.body, bytes)
        return web.Response(status=found.status, body=edit(found.body), content_type="application/json")

    return fault


async def cut(request: web.Request, _body: bytes, _forward: Forward) -> web.Response:
    """The connection breaks without an answer."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def busy(reason: str = "the queue is full") -> Fault:
    return answer(429, {"error": {"type": "es_rejected_execution_exception", "reason": reason}, "status": 429})


@asynccontextmanager
async def gate(node_url: str) -> AsyncIterator[Gate]:
    """A gate in front of the node.  Users `backup` and `restore` have the roles of `deploy/`, and the same password."""
    (port,) = free_ports(1)
    made = Gate(f"http://127.0.0.1:{port}", {"backup": role("backup-role"), "restore": role("restore-role")})
    async with aiohttp.ClientSession(auto_decompress=False, timeout=aiohttp.ClientTimeout(total=None)) as session:
        handler = _handler(made, session, node_url)
        runner = web.ServerRunner(web.Server(handler), shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        made.close = runner.cleanup
        try:
            yield made
        finally:
            await runner.cleanup()


def _handler(
    made: Gate, session: aiohttp.ClientSession, node_url: str
) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        body = await _body(request)
        raw = request.raw_path
        made.requests.append((request.method, raw))
        made.pages += request.method == "POST" and "/_search?" in raw and b'"size":0' not in body
        holder = _user(request)
        if holder is None or holder not in made.users:
            return _refusal(401, "security_exception", "unable to authenticate")
        if not made.users[holder].allows(request.method, raw.partition("?")[0]):
            return _refusal(403, "security_exception", f"action on [{raw}] is unauthorized for user [{holder}]")

        async def forward() -> web.Response:
            headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
            url = URL(node_url + raw, encoded=True)
            try:
                async with session.request(
                    request.method, url, data=BytesIO(body) if body else None, headers=headers
                ) as found:
                    return web.Response(
                        status=found.status, body=await found.read(), content_type=found.content_type or "text/plain"
                    )
            except aiohttp.ClientError:
                return await cut(request, body, forward)  # type: ignore[arg-type]

        fault = made.fault_for(request.method, raw)
        return await (fault(request, body, forward) if fault is not None else forward())  # type: ignore[arg-type]

    return handle


async def _body(request: web.BaseRequest) -> bytes:
    collected = bytearray()
    async for piece in request.content.iter_any():  # `read` has a limit
        collected += piece
    return bytes(collected)


def _user(request: web.BaseRequest) -> str | None:
    scheme, _, said = request.headers.get("Authorization", "").partition(" ")
    if scheme == "ApiKey" and said == API_KEY:
        return "backup"
    if scheme != "Basic":
        return None
    user, _, password = base64.b64decode(said).decode().partition(":")
    return user if password == PASSWORD else None


def _refusal(status: int, kind: str, reason: str) -> web.Response:
    return web.json_response({"error": {"type": kind, "reason": reason}, "status": status}, status=status)
