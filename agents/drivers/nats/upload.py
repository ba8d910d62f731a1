"""Giving a server an archive to make a stream of.  Source: nats-server, server/jetstream_api.go, `processStreamRestore`."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Final

from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from agents.drivers.nats.configs import lighter_config
from agents.drivers.nats.errors import ApiRefused
from agents.drivers.nats.session import Session
from agents.drivers.nats.streams import delete_unfinished, mark_of
from agents.drivers.unnamed_file import UnnamedFile
from contracts.errors import RunFailed

CHUNK_BYTES: Final = 128 * 1024
IN_FLIGHT: Final = 16
"""Chunks that the server has not yet answered."""
_ACK_TIMEOUT_S: Final = 120.0
_END_TIMEOUT_S: Final = 3600.0
"""Servers before 2.15 begin with their work only when they have all of the archive."""


async def make_stream(
    session: Session, config: dict[str, Any], raw_state: dict[str, Any], archive: UnnamedFile
) -> list[str]:
    """The stream, of which there must be none; warnings of what had to be left out for want of servers.

    When this raises RunFailed, a part of the stream may be left: from 2.15 on, servers leave it where it broke off.
    """
    warnings: list[str] = []
    while True:
        try:
            await _send(session, config, raw_state, archive)
            return warnings
        except ApiRefused as exc:
            lighter = lighter_config(config, exc.err_code)
            if lighter is None:
                raise
            config, warning = lighter
            warnings.append(warning)
        if run_id := mark_of(config):
            await delete_unfinished(session, config["name"], run_id)


async def _send(session: Session, config: dict[str, Any], raw_state: dict[str, Any], archive: UnnamedFile) -> None:
    name = config["name"]
    doing = f"restoring stream {name!r}"
    answer = await session.ask(f"STREAM.RESTORE.{name}", {"config": config, "state": raw_state}, doing=doing, timeout_s=60.0)
    subject = answer.get("deliver_subject")
    if not isinstance(subject, str):
        raise RunFailed("engine.refused", f"JetStream at {session.place} did not say where to send the archive of {name!r}")
    answers: asyncio.Queue[Msg] = asyncio.Queue()
    inbox = session.client.new_inbox()

    async def answered(message: Msg) -> None:
        answers.put_nowait(message)

    try:
        subscription = await session.guard(session.client.subscribe(inbox, cb=answered))
    except NatsError as exc:
        raise await session.lost(exc) from exc
    try:
        await _send_chunks(session, subject, inbox, archive, answers, doing)
        await session.publish(subject, b"", reply=inbox)
        ending = await _next(session, answers, doing, _END_TIMEOUT_S)
        session.answer(ending.data, doing)
    finally:
        with suppress(NatsError):  # the connection is gone: there is nothing to end
            await subscription.unsubscribe()


async def _send_chunks(
    session: Session, subject: str, inbox: str, archive: UnnamedFile, answers: asyncio.Queue[Msg], doing: str
) -> None:
    chunk_bytes = min(CHUNK_BYTES, session.client.max_payload)
    in_flight = 0
    async for piece in archive.pieces():
        view = memoryview(piece)
        while view:
            if in_flight == IN_FLIGHT:
                await _taken(session, answers, doing)
                in_flight -= 1
            await session.publish(subject, view[:chunk_bytes], reply=inbox)
            view = view[chunk_bytes:]
            in_flight += 1
    for _ in range(in_flight):
        await _taken(session, answers, doing)


async def _taken(session: Session, answers: asyncio.Queue[Msg], doing: str) -> None:
    """An answer to a chunk says nothing, or why there is no going on."""
    message = await _next(session, answers, doing, _ACK_TIMEOUT_S)
    if message.data:
        session.answer(message.data, doing)
    elif (message.headers or {}).get("Status"):
        raise RunFailed("restore.failed", f"the server gave up while {doing}: see its log")


async def _next(session: Session, answers: asyncio.Queue[Msg], doing: str, timeout_s: float) -> Msg:
    if not answers.empty():
        return answers.get_nowait()
    try:
        async with asyncio.timeout(timeout_s):
            return await session.guard(answers.get())
    except TimeoutError:
        what = f"NATS at {session.place} did not answer within {timeout_s:g} s while {doing}"
        raise RunFailed("restore.failed", f"{what}: see the server's log") from None
