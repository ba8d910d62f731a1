"""One child process: its start, its end, its log."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import time
from pathlib import Path

import pytest

from daemon.embedded.child_log import ChildLog
from daemon.embedded.errors import ChildFailed, PortTaken
from tests.daemon.embedded.programs import DEAF, DIES, NEVER_READY, PARENT, SERVES, child
from tests.servers.process import is_alive
from tests.servers.waiting import eventually


async def test_a_child_is_started_when_it_is_ready_and_stopped_without_a_trace(tmp_path: Path) -> None:
    cleaned: list[str] = []
    server = child(tmp_path, cleanup=lambda: cleaned.append("cleaned"))
    await server.start()
    pid = server.pid
    assert pid is not None
    assert is_alive(pid)
    assert os.getsid(pid) == pid, "a session of its own: Ctrl-C must not reach it"
    await server.stop()
    assert not Path(f"/proc/{pid}").exists(), "not even a zombie"
    assert await server.wait() == -signal.SIGTERM
    assert cleaned
    await server.stop()  # repeating it does no harm


async def test_a_child_that_dies_at_start_says_why_at_once(tmp_path: Path) -> None:
    server = child(tmp_path, DIES)
    started = time.monotonic()
    with pytest.raises(ChildFailed, match="ended with status 3") as caught:
        await server.start()
    assert time.monotonic() - started < 5
    assert caught.value.log_tail == "first line\nno such database"
    assert caught.value.status == 3
    assert "no such database" in str(caught.value)
    assert caught.value.info.detail == caught.value.log_tail
    assert not server.running


async def test_a_probe_that_hangs_does_not_hide_a_death(tmp_path: Path) -> None:
    async def hang() -> bool:
        await asyncio.sleep(60)
        return True

    with pytest.raises(ChildFailed, match="ended with status 3"):
        await child(tmp_path, DIES, ready=hang).start()


async def test_a_child_that_is_never_ready_is_killed(tmp_path: Path) -> None:
    server = child(tmp_path, NEVER_READY, ready_timeout_s=1.0)
    with pytest.raises(ChildFailed, match="not ready after 1 s") as caught:
        await server.start()
    assert caught.value.log_tail == "thinking"
    assert not server.running


async def test_a_start_that_is_cancelled_leaves_nothing(tmp_path: Path) -> None:
    server = child(tmp_path, NEVER_READY)
    starting = asyncio.create_task(server.start(), name="start")
    await eventually(lambda: server.running and server.log.tail() == "thinking")
    pid = server.pid
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert pid is not None
    assert not is_alive(pid)


async def test_an_error_in_the_probe_is_the_starters_error(tmp_path: Path) -> None:
    async def broken() -> bool:
        raise ZeroDivisionError

    server = child(tmp_path, ready=broken)
    with pytest.raises(ZeroDivisionError):
        await server.start()
    assert not server.running


async def test_a_child_deaf_to_sigterm_is_killed_after_the_grace(tmp_path: Path) -> None:
    server = child(tmp_path, DEAF, stop_grace_s=0.3)
    await server.start()
    started = time.monotonic()
    await server.stop()
    assert 0.3 <= time.monotonic() - started < 5
    assert await server.wait() == -signal.SIGKILL


async def test_what_a_child_started_is_killed_with_it(tmp_path: Path) -> None:
    server = child(tmp_path, PARENT)
    await server.start()
    grandchild = int((tmp_path / "grandchild").read_text())
    await server.kill()
    await eventually(lambda: not is_alive(grandchild))


async def test_a_missing_program_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = child(tmp_path)
    monkeypatch.setattr("shutil.which", lambda _: None)  # without setpriv the kernel reports it to us
    object.__setattr__(server.spec, "argv", ("/no/such/program",))
    with pytest.raises(ChildFailed, match="could not be started"):
        await server.start()


async def test_a_taken_port_is_told_apart(tmp_path: Path) -> None:
    program = "import sys; sys.exit('listen tcp 127.0.0.1:1: bind: address already in use')"
    with pytest.raises(PortTaken):
        await child(tmp_path, program).start()


async def test_a_child_hears_nothing_of_our_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA")
    server = child(tmp_path, f"import os; print(sorted(os.environ), flush=True); {SERVES}")
    await server.start()
    await eventually(lambda: "serving" in server.log.tail())
    await server.stop()
    assert "PATH" in server.log.tail()
    assert "AWS" not in server.log.tail()


async def test_the_log_is_private_and_goes_on_over_restarts(tmp_path: Path) -> None:
    server = child(tmp_path)
    for _ in range(2):
        (tmp_path / "ready").unlink(missing_ok=True)
        await server.start()
        await eventually(lambda: server.log.tail() == "serving")  # of this start alone
        await server.stop()
    path = tmp_path / "server.log"
    assert path.read_text() == "serving\n" * 2
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_log_that_grew_too_large_is_moved_aside(tmp_path: Path) -> None:
    log = ChildLog(tmp_path / "x.log", max_bytes=10)
    descriptor = log.open()
    try:
        os.write(descriptor, b"0123456789")
        assert not log.trim()
        os.write(descriptor, b"more\n")
        assert log.trim()
        os.write(descriptor, b"after\n")
    finally:
        os.close(descriptor)
    assert (tmp_path / "x.log.1").read_text() == "0123456789more\n"
    assert log.tail() == "after"


def test_the_tail_of_a_long_log_begins_at_a_line(tmp_path: Path) -> None:
    log = ChildLog(tmp_path / "x.log")
    descriptor = log.open()
    os.write(descriptor, b"".join(b"line %06d\n" % number for number in range(1000)))
    os.close(descriptor)
    lines = log.tail().splitlines()
    assert lines[-1] == "line 000999"
    assert all(line.startswith("line ") for line in lines)
    assert 300 < len(lines) < 400
