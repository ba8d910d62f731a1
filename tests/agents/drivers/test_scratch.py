"""Servers for rehearsals: waited for, started on another port when one was taken, and nothing left of them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agents.drivers.scratch import emptied, started_on_free_port, until_ready
from agents.processes import Command, start
from contracts.errors import RunFailed


def shell(script: str) -> Command:
    return Command(argv=["sh", "-c", script])


async def never() -> bool:
    return False


async def test_a_server_that_ends_instead_is_told_in_its_own_words() -> None:
    async with start(shell("echo no such option >&2; exit 7")) as server:
        with pytest.raises(RunFailed, match="the scratch server ended with status 7 instead") as caught:
            await until_ready(server, never, timeout_s=10)
    assert caught.value.code == "restore.failed"
    assert caught.value.detail == "no such option"


async def test_a_server_that_is_too_slow_is_told_with_what_helps() -> None:
    async with start(shell("echo busy >&2; exec sleep 60")) as server:
        with pytest.raises(RunFailed, match=r"an engine was not ready after 0\.2 s; wait longer") as caught:
            await until_ready(server, never, timeout_s=0.2, name="an engine", hint="; wait longer")
    assert caught.value.detail == "busy"


async def test_an_answer_counts_only_while_the_server_lives() -> None:
    """Otherwise somebody else gave it, who has the port."""

    async def answered_by_another() -> str:
        await server.wait()
        return "here"

    async with start(shell("exit 1")) as server:
        with pytest.raises(RunFailed, match="ended with status 1"):
            await until_ready(server, answered_by_another, timeout_s=10)


async def test_a_port_that_somebody_else_took_is_given_up_for_another() -> None:
    ports: list[int] = []

    def prepare(port: int) -> Command:
        ports.append(port)
        return shell("exec sleep 60" if len(ports) == 3 else "echo Address already In Use >&2; exit 1")

    async def third(port: int) -> bool:
        return port == ports[-1] and len(ports) == 3

    async with started_on_free_port(prepare, third, timeout_s=10) as port:
        assert port == ports[2]


async def test_a_server_that_fails_for_another_reason_is_not_started_again() -> None:
    started: list[int] = []

    def prepare(port: int) -> Command:
        started.append(port)
        return shell("echo no room >&2; exit 1")

    async def ready(port: int) -> bool:
        return bool(port) and await never()

    with pytest.raises(RunFailed, match="ended with status 1"):
        async with started_on_free_port(prepare, ready, timeout_s=10):
            raise AssertionError("it started")
    assert len(started) == 1


async def test_nothing_is_left_in_the_directory_and_nothing_is_followed_out_of_it(tmp_path: Path) -> None:
    scratch, outside = tmp_path / "scratch", tmp_path / "outside"
    (scratch / "deep" / "closed").mkdir(parents=True)
    (scratch / "deep" / "closed").chmod(0)
    (scratch / "file").touch()
    outside.mkdir()
    (outside / "kept").touch()
    (scratch / "link").symlink_to(outside)
    with pytest.raises(asyncio.CancelledError):
        async with emptied(scratch):
            raise asyncio.CancelledError
    assert list(scratch.iterdir()) == []
    assert (outside / "kept").exists()
