"""Real services that messages arrive at: a webhook over HTTP, and a mail server."""

from __future__ import annotations

import asyncio
import email
import email.policy
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any

from aiohttp import web


@dataclass
class Call:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        import json

        return json.loads(self.body)


@dataclass
class Webhook:
    """Takes whatever comes, or answers as it is told to."""

    port: int = 0
    calls: list[Call] = field(default_factory=list)
    answer: Callable[[Call], int | str] = lambda _: 200
    """A status, or where to redirect to."""
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    """Cleared, it keeps whoever calls waiting."""

    def address(self, path: str = "hook") -> str:
        """Of a channel."""
        return f"json://127.0.0.1:{self.port}/{path}"

    def url(self, path: str = "ping/token-of-the-ping") -> str:
        return f"http://127.0.0.1:{self.port}/{path}"

    @property
    def titles(self) -> list[str]:
        return [call.json["title"].removeprefix("[Strongroom] ") for call in self.calls]

    @property
    def texts(self) -> list[str]:
        return [call.json["message"] for call in self.calls]

    async def handle(self, request: web.Request) -> web.Response:
        call = Call(request.method, request.path_qs, dict(request.headers), await request.read())
        self.calls.append(call)
        await self.may_answer.wait()
        answer = self.answer(call)
        if isinstance(answer, str):
            return web.Response(status=302, headers={"Location": answer})
        return web.Response(status=answer)


@asynccontextmanager
async def webhook() -> AsyncIterator[Webhook]:
    hook = Webhook()
    hook.may_answer.set()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", hook.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    hook.port = runner.addresses[0][1]
    try:
        yield hook
    finally:
        hook.may_answer.set()
        await runner.cleanup()


@dataclass
class MailServer:
    """As much of SMTP as a sender needs.  Source: RFC 5321."""

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    refuses: bool = False

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def say(line: str) -> None:
            writer.write(f"{line}\r\n".encode())
            await writer.drain()

        await say("220 test")
        while line := (await reader.readline()).decode().strip():
            verb = line.split(" ")[0].upper()
            if verb == "EHLO":
                await say("250 test")
            elif verb == "RCPT":
                self.recipients.append(line.partition(":")[2].strip("<>"))
                await say("550 no such user" if self.refuses else "250 ok")
            elif verb == "DATA":
                await say("354 go on")
                raw = await reader.readuntil(b"\r\n.\r\n")
                self.mails.append(email.message_from_bytes(raw[:-5], policy=email.policy.default))
                await say("250 taken")
            elif verb == "QUIT":
                await say("221 bye")
                break
            else:
                await say("250 ok")
        writer.close()


@asynccontextmanager
async def mail_server() -> AsyncIterator[MailServer]:
    mail = MailServer()
    server = await asyncio.start_server(mail.handle, "127.0.0.1", 0)
    mail.port = server.sockets[0].getsockname()[1]
    async with server:
        yield mail
