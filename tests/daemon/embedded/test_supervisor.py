"""Children that are kept alive, and that never outlive their parent."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest

from daemon.embedded.children import Child
from daemon.embedded.errors import ChildFailed
from daemon.embedded.supervisor import Backoff, Supervisor
from tests.daemon.embedded.programs import DEAF, DIES, FLAKY, child
from tests.servers.process import is_alive
from tests.servers.waiting import eventually

QUICK = Backoff(first_s=0.01, longest_s=0.05, attempts=3)


async def test_a_child_killed_from_outside_comes_back(tmp_path: Path) -> None:
    async with Supervisor(QUICK) as supervisor:
        server = child(tmp_path)
        await supervisor.start(server)
        first = server.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await eventually(lambda: server.restarts == 1)
        assert server.running
        assert server.pid != first
    assert not server.running


async def test_children_are_stopped_in_reverse(tmp_path: Path) -> None:
    ended: list[str] = []
    async with Supervisor(QUICK) as supervisor:
        for name in ("first", "second", "third"):
            await supervisor.start(child(tmp_path / name, name=name, cleanup=partial(ended.append, name)))
        assert [server.name for server in supervisor.children] == ["first", "second", "third"]
    assert list(dict.fromkeys(ended)) == ["third", "second", "first"]


async def run(*servers: Child, then: Callable[[], Awaitable[object]]) -> None:
    """Starts the servers under a supervisor, and does something."""
    async with Supervisor(QUICK) as supervisor:
        for server in servers:
            await supervisor.start(server)
        await then()


async def for_long() -> None:
    await asyncio.sleep(60)


async def not_at_all() -> None:
    pass


async def test_a_stop_that_fails_does_not_keep_the_others_running(tmp_path: Path) -> None:
    def fail() -> None:
        raise OSError("cannot clean up")

    first, last = child(tmp_path / "a", name="a"), child(tmp_path / "b", name="b", cleanup=fail)
    with pytest.raises(OSError, match="cannot clean up"):
        await run(first, last, then=not_at_all)
    assert not first.running
    assert not last.running


async def test_a_child_that_keeps_dying_ends_the_block_with_its_reason(tmp_path: Path) -> None:
    healthy, broken = child(tmp_path / "a", name="healthy"), child(tmp_path / "b", FLAKY, name="broken")
    with pytest.raises(ChildFailed, match="broken keeps dying") as caught:
        await run(healthy, broken, then=for_long)
    assert "disk is gone" in caught.value.log_tail
    assert broken.restarts == QUICK.attempts
    assert not healthy.running
    assert not broken.running


async def test_a_child_that_never_started_is_not_kept(tmp_path: Path) -> None:
    async with Supervisor(QUICK) as supervisor:
        with pytest.raises(ChildFailed):
            await supervisor.start(child(tmp_path, DIES))
        assert supervisor.children == ()


async def test_an_error_of_the_block_comes_out_as_it_is(tmp_path: Path) -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    server = child(tmp_path)
    with pytest.raises(ZeroDivisionError):
        await run(server, then=fail)
    assert not server.running


async def test_a_second_cancellation_kills_what_would_take_long_to_stop(tmp_path: Path) -> None:
    first, last = (child(tmp_path / name, DEAF, name=name, stop_grace_s=60) for name in ("a", "b"))
    started = asyncio.Event()

    async def begin() -> None:
        started.set()
        await for_long()

    running = asyncio.create_task(run(first, last, then=begin), name="run")
    await started.wait()
    running.cancel()
    await asyncio.sleep(0.2)  # the polite stop has begun, and would take a minute
    assert last.running
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, 5)
    assert not first.running
    assert not last.running


def test_the_waits_before_restarts_grow_to_a_limit() -> None:
    backoff = Backoff(first_s=1, longest_s=5)
    assert [backoff.delay_s(attempt) for attempt in (1, 2, 3, 4, 20)] == [1, 2, 4, 5, 5]


PARENT = """
import asyncio, pathlib, sys
from daemon.embedded.supervisor import Supervisor
from tests.daemon.embedded.programs import child

async def main():
    base = pathlib.Path(sys.argv[1])
    async with Supervisor() as supervisor:
        for name in ("a", "b"):
            await supervisor.start(child(base / name, name=name))
        (base / "pids").write_text(" ".join(str(server.pid) for server in supervisor.children))
        (base / "all-started").touch()
        await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
async def test_no_child_outlives_its_parent(tmp_path: Path, number: signal.Signals) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, str(tmp_path), cwd=Path(__file__).parents[3], stdout=DEVNULL, stderr=DEVNULL
    )
    try:
        await eventually((tmp_path / "all-started").exists)
        pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
        assert all(is_alive(pid) for pid in pids)
        parent.send_signal(number)
        await eventually(lambda: not any(is_alive(pid) for pid in pids))
    finally:
        if parent.returncode is None:
            parent.kill()
        await parent.wait()
