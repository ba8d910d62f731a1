"""All of an account's streams, read message by message by a client that is not ours, to be compared with `==`."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from typing import Any, Final

import msgspec
from nats.aio.client import Client

_NO_MESSAGE: Final = 10037
_AT_ONCE: Final = 64


class ApiError(Exception):
    """JetStream's answer was an error."""

    def __init__(self, verb: str, error: dict[str, Any]) -> None:
        super().__init__(f"{verb}: {error}")
        self.err_code: int = error.get("err_code", 0)


async def api(client: Client, verb: str, body: object = None, *, timeout_s: float = 20.0) -> dict[str, Any]:
    """JetStream's answer.  Raises: ApiError."""
    payload = msgspec.json.encode(body) if body is not None else b""
    message = await client.request(f"$JS.API.{verb}", payload, timeout=timeout_s)
    answer: dict[str, Any] = msgspec.json.decode(message.data)
    if "error" in answer:
        raise ApiError(verb, answer["error"])
    return answer


async def stream_names(client: Client) -> list[str]:
    return sorted((await api(client, "STREAM.NAMES"))["streams"] or [])


async def content_of(client: Client) -> dict[str, Any]:
    """By stream: configuration, messages by sequence, consumers."""
    return {name: await stream_content(client, name) for name in await stream_names(client)}


async def stream_content(client: Client, name: str) -> dict[str, Any]:
    info = await api(client, f"STREAM.INFO.{name}")
    state = info["state"]
    return {
        "config": _plain(info["config"]),
        # A server counts a stream that never had a message from 0, and from 1 after a restart or restore.
        "range": (state["first_seq"] or 1, state["last_seq"], state["messages"]),
        "messages": await messages_of(client, name, state["first_seq"], state["last_seq"]),
        "consumers": {each["name"]: _consumer(each) for each in await consumers_of(client, name)},
    }


async def messages_of(client: Client, stream: str, first: int, last: int) -> dict[int, tuple[str, str, str, str]]:
    """By sequence: subject, headers, hash of the payload, time.  Those that were deleted are not among them."""
    found: dict[int, tuple[str, str, str, str]] = {}

    async def get(sequence: int) -> None:
        try:
            message = (await api(client, f"STREAM.MSG.GET.{stream}", {"seq": sequence}))["message"]
        except ApiError as exc:
            if exc.err_code != _NO_MESSAGE:
                raise
            return
        data = base64.b64decode(message.get("data", ""))
        headers = base64.b64decode(message.get("hdrs", "")).decode()
        found[sequence] = (message["subject"], headers, hashlib.sha256(data).hexdigest(), message["time"])

    sequences = range(first, last + 1) if first else range(0)
    for start in range(0, len(sequences), _AT_ONCE):
        await asyncio.gather(*map(get, sequences[start : start + _AT_ONCE]))
    return dict(sorted(found.items()))


async def consumers_of(client: Client, stream: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await api(client, f"CONSUMER.LIST.{stream}"))["consumers"] or []
    return found


def _plain(config: dict[str, Any]) -> dict[str, Any]:
    """Without what a server adds of its own: its version, by which it knows who may still read the stream."""
    metadata = {key: value for key, value in (config.get("metadata") or {}).items() if not key.startswith("_nats.")}
    return {**config, "metadata": metadata}


def _consumer(info: dict[str, Any]) -> dict[str, Any]:
    places = {key: {one: info[key][one] for one in ("consumer_seq", "stream_seq")} for key in ("delivered", "ack_floor")}
    return {
        "config": _plain(info["config"]),
        **places,
        **{key: info.get(key) for key in ("num_ack_pending", "num_redelivered", "num_pending")},
    }
