"""Sending a message to an address: in a thread of its own, within a time, and with an outcome in words."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Final, NamedTuple, TypeVar

from apprise import NotifyFormat, NotifyType, OverflowMode

from contracts.errors import InvalidInput
from contracts.notifications import Severity
from daemon.notifications.confined import confined
from daemon.notifications.hearing import hearing
from daemon.notifications.messages import Message
from daemon.notifications.reasons import reason_of
from daemon.notifications.settings import NotificationSettings
from daemon.notifications.targets import make_plugin

T = TypeVar("T")

_AT_ONCE: Final = 16
_TYPES: Final = {
    Severity.CRITICAL: NotifyType.FAILURE,
    Severity.WARNING: NotifyType.WARNING,
    Severity.INFO: NotifyType.INFO,
}


class Outcome(NamedTuple):
    """What became of a message."""

    ok: bool
    words: str
    """A sentence that holds no secret."""


class Sender:
    """Sends; one message to a channel at a time."""

    def __init__(self, settings: NotificationSettings) -> None:
        self._settings = settings
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._under_way: dict[str, asyncio.Future[Outcome]] = {}

    async def send(self, channel_id: str, url: str, message: Message) -> Outcome:
        """Never raises; what takes too long is left to itself, and until it has ended its channel takes no other message."""
        if channel_id in self._under_way:
            return Outcome(False, "the message before is still under way: the host takes it, and does not answer")
        async with self._slots:
            sending = _in_a_thread(lambda: self._send(url, message), name=f"message:{channel_id}")
            self._under_way[channel_id] = sending
            sending.add_done_callback(lambda _: self._under_way.pop(channel_id, None))
            done, _ = await asyncio.wait({sending}, timeout=self._settings.send_timeout_s)
        if not done:
            return Outcome(False, f"the host did not answer within {self._settings.send_timeout_s:.0f} s")
        return sending.result()

    def _send(self, url: str, message: Message) -> Outcome:
        allow_private = self._settings.allow_private
        with hearing() as lines:
            try:
                plugin = make_plugin(url, allow_private=allow_private)
                wants_markdown = plugin.resolve_format(None) is NotifyFormat.MARKDOWN
                with confined(allow_private=allow_private):
                    done = plugin.notify(
                        title=message.title,
                        body=message.markdown if wants_markdown else message.text,
                        body_format=NotifyFormat.MARKDOWN if wants_markdown else NotifyFormat.TEXT,
                        notify_type=NotifyType.SUCCESS if message.is_good_news else _TYPES[message.severity],
                        # What does not fit is cut off at the end, where what matters least stands.
                        overflow=OverflowMode.TRUNCATE,
                    )
            except InvalidInput as exc:
                return Outcome(False, exc.message)
            except Exception as exc:  # noqa: BLE001 - two hundred plugins fail in as many ways, and none may end a loop
                return Outcome(False, reason_of([*lines, f"{type(exc).__name__}: {exc}"]))
            return Outcome(True, "the message was taken") if done else Outcome(False, reason_of(lines))


def _in_a_thread(work: Callable[[], T], *, name: str) -> asyncio.Future[T]:
    """The work's result to come.  Not in the loop's own threads: what hangs must not take them from others, nor keep the
    process from ending."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T) -> None:
        if not future.done():
            future.set_result(result)

    def run() -> None:
        result = work()
        # A loop that was closed meanwhile has nobody who waits.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, result)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future
