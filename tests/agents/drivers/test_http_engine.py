"""What an operator may have written into a service's file, as far as it concerns HTTP."""

from __future__ import annotations

import asyncio
import socket

import pytest

from agents.drivers import http_engine
from agents.drivers.http_engine import open_engine
from contracts.errors import InvalidInput, RunFailed


@pytest.mark.parametrize("url", ["http://engine:port", "http://engine:99999", "http://[::1"])
async def test_a_url_that_is_none_is_told(url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        async with open_engine(url, name="Engine"):
            pass
    assert caught.value.field == "connection.url"
    assert url in caught.value.message


@pytest.mark.parametrize("secret", ["s3cr3t\nk3y", "s3cr3t\tk3y", "s3cr3t\r", "s3cr3t\0"])
async def test_a_secret_of_several_lines_is_told_and_not_shown(secret: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        async with open_engine("http://127.0.0.1:1", name="Engine", headers={"api-key": secret}):
            pass
    assert caught.value.code == "config.invalid"
    assert "line break" in caught.value.message
    assert not any(part in caught.value.message for part in secret.split())


async def test_an_engine_that_takes_no_connections_is_told_from_one_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first is known after the time for connecting, not after that of the request, which may be days."""
    monkeypatch.setattr(http_engine, "_CONNECT_TIMEOUT_S", 0.2)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        waiting = [socket.socket() for _ in range(3)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(listener.getsockname())
        try:
            async with asyncio.timeout(10), open_engine(url, name="Engine") as engine:
                with pytest.raises(RunFailed) as caught:
                    await engine.send("GET", "/", timeout_s=86_400)
        finally:
            for each in waiting:
                each.close()
    assert caught.value.code == "engine.unreachable"
    assert "86400" not in caught.value.message
