"""Programs as the agent runs them: nothing of them is left, whatever happens."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from agents.processes import (
    PIPE_BYTES,
    STDERR_TAIL_BYTES,
    Command,
    ExitStatus,
    OutputTooLargeError,
    run,
    start,
    uncancelled,
)
from contracts.errors import RunFailed
from tests.servers.waiting import eventually


def sh(script: str, **options: object) -> Command:
    return Command(argv=["sh", "-c", script], **options)  # type: ignore[arg-type]


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def open_fds() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


async def test_what_a_program_reads_and_writes_goes_through_raw_pipes() -> None:
    async with start(Command(argv=["cat"]), stdin=True, stdout=True) as child:
        assert os.get_blocking(child.stdin_fd)
        assert os.get_blocking(child.stdout_fd)
        await asyncio.to_thread(os.write, child.stdin_fd, b"hello")
        child.close_stdin()
        assert await asyncio.to_thread(os.read, child.stdout_fd, 100) == b"hello"
        assert await asyncio.to_thread(os.read, child.stdout_fd, 100) == b""
        assert await child.wait() == ExitStatus(code=0)


async def test_pipes_hold_a_mebibyte_so_that_a_program_need_not_wait_for_its_reader() -> None:
    async with start(sh(f"head -c {PIPE_BYTES} /dev/zero"), stdout=True) as child:
        assert (await child.wait()).ok


async def test_exit_codes_and_signals_are_told_apart() -> None:
    async with start(sh("exit 7")) as child:
        status = await child.wait()
    assert (status.code, status.signal, status.ok, str(status)) == (7, None, False, "ended with status 7")
    async with start(sh("kill -KILL $$")) as child:
        status = await child.wait()
    assert (status.code, status.signal, status.ok, str(status)) == (None, 9, False, "was killed by SIGKILL")


async def test_waiting_twice_gives_the_same_status() -> None:
    async with start(sh("exit 3")) as child:
        assert await child.wait() == await child.wait() == ExitStatus(code=3)


async def test_a_cancelled_wait_leaves_the_program_alone() -> None:
    async with start(sh("read line; exit 4"), stdin=True) as child:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(child.wait(), 0.05)
        assert child.running
        child.close_stdin()
        assert await child.wait() == ExitStatus(code=4)


async def test_a_missing_program_is_named_with_its_package() -> None:
    with pytest.raises(
        RunFailed, match="pg_nothing is not installed: install it with apt-get install postgresql-client"
    ) as caught:
        async with start(Command(argv=["pg_nothing"], package="postgresql-client")):
            pass
    assert caught.value.code == "engine.tool_missing"


async def test_a_file_that_may_not_be_executed_is_named(tmp_path: Path) -> None:
    path = tmp_path / "tool"
    path.write_text("#!/bin/sh\n")
    with pytest.raises(RunFailed, match="may not be executed") as caught:
        await run(Command(argv=[str(path)]), timeout_s=5)
    assert caught.value.code == "engine.tool_missing"


async def test_leaving_ends_the_program_and_whatever_it_started(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    async with start(sh(f"sleep 1000 & echo $! > {pid_file}; wait")) as child:
        await eventually(lambda: pid_file.exists() and pid_file.read_text().strip())
    grandchild = int(pid_file.read_text())
    assert not is_alive(child.pid)
    await eventually(lambda: not is_alive(grandchild))


async def test_what_a_program_leaves_running_ends_with_it(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    async with start(sh(f"sleep 1000 & echo $! > {pid_file}; exit 0"), stdout=True) as child:
        # The grandchild holds the pipe open; end of file comes nevertheless.
        assert await asyncio.to_thread(os.read, child.stdout_fd, 1) == b""
        assert (await child.wait()).ok
    grandchild = int(pid_file.read_text())
    await eventually(lambda: not is_alive(grandchild))


async def test_a_program_that_ignores_the_first_signal_is_killed_after_the_grace() -> None:
    began = time.monotonic()
    async with start(sh("trap '' TERM; echo ready; while :; do sleep 1000; done", grace_s=0.2), stdout=True) as child:
        await asyncio.to_thread(os.read, child.stdout_fd, 100)
    assert (await child.wait()).signal == signal.SIGKILL
    assert 0.2 <= time.monotonic() - began < 5


async def test_the_first_signal_can_be_chosen() -> None:
    script = "trap 'exit 42' INT; trap '' TERM; echo ready; while :; do sleep 0.01; done"
    async with start(sh(script, stop_signal=signal.SIGINT), stdout=True) as child:
        await asyncio.to_thread(os.read, child.stdout_fd, 100)
    assert await child.wait() == ExitStatus(code=42)


async def test_a_stopped_program_can_be_ended() -> None:
    async with start(sh("kill -STOP $$; sleep 1000")) as child:
        stat = Path(f"/proc/{child.pid}/stat")
        await eventually(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T")
    assert (await child.wait()).signal == signal.SIGTERM


async def test_cancellation_ends_and_reaps_the_program_before_it_is_raised() -> None:
    pids: list[int] = []

    async def work() -> None:
        async with start(sh("sleep 1000")) as child:
            pids.append(child.pid)
            await child.wait()

    task = asyncio.create_task(work())
    await eventually(lambda: bool(pids))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not Path(f"/proc/{pids[0]}").exists()


async def test_a_second_cancellation_during_the_grace_does_not_leave_the_program_behind() -> None:
    pids: list[int] = []

    async def work() -> None:
        command = sh("trap '' TERM; echo ready; while :; do sleep 1000; done", grace_s=0.5)
        async with start(command, stdout=True) as child:
            await asyncio.to_thread(os.read, child.stdout_fd, 100)
            pids.append(child.pid)
            await child.wait()

    task = asyncio.create_task(work())
    await eventually(lambda: bool(pids))
    task.cancel()
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not Path(f"/proc/{pids[0]}").exists()


async def test_no_descriptor_is_left_open() -> None:
    await run(sh("exit 0"), timeout_s=5)
    before = open_fds()
    for script in ("exit 0", "exit 1", "sleep 1000"):
        async with start(sh(script), stdin=True, stdout=True):
            pass
    with pytest.raises(RunFailed):
        await run(Command(argv=["no-such-program"]), timeout_s=5)
    assert open_fds() == before


async def test_standard_error_is_drained_and_only_its_end_is_kept() -> None:
    script = "i=0; while [ $i -lt 20000 ]; do echo line number $i >&2; i=$((i+1)); done; exit 1"
    async with start(sh(script)) as child:
        assert await child.wait() == ExitStatus(code=1)
    lines = child.stderr.splitlines()
    assert lines[-1] == "line number 19999"
    assert lines[0].startswith("line number ")
    assert STDERR_TAIL_BYTES - 100 < len(child.stderr) <= STDERR_TAIL_BYTES


async def test_all_of_standard_error_can_be_heard_as_it_comes() -> None:
    heard: list[bytes] = []
    script = "i=0; while [ $i -lt 5000 ]; do echo line $i >&2; i=$((i+1)); done"
    async with start(sh(script, hear=heard.append)) as child:
        assert (await child.wait()).ok
    assert b"".join(heard) == b"".join(b"line %d\n" % number for number in range(5000))


async def test_bytes_on_standard_error_that_are_no_text_do_no_harm() -> None:
    async with start(sh("printf 'a\\377b' >&2; exit 1")) as child:
        await child.wait()
    assert child.stderr == "a\ufffdb"


def hide(text: str) -> str:
    return text.replace("geheim-und-lang", "…")


async def test_secrets_are_redacted_in_standard_error() -> None:
    async with start(sh("echo the password is geheim-und-lang >&2", redact=hide)) as child:
        await child.wait()
    assert child.stderr == "the password is …"


@pytest.mark.parametrize("shift", range(16))
async def test_no_half_secret_shows_where_the_tail_was_cut(shift: int) -> None:
    filler = STDERR_TAIL_BYTES + 4096 - shift
    script = f"printf geheim-und-lang >&2; head -c {filler} /dev/zero | tr '\\0' x >&2"
    async with start(sh(script, redact=hide)) as child:
        await child.wait()
    assert set(child.stderr) <= {"x"}
    assert child.stderr


async def test_the_environment_is_minimal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "secret")
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    finished = await run(Command(argv=["env"], env={"PGHOST": "/run"}), timeout_s=5)
    names = {line.partition("=")[0]: line.partition("=")[2] for line in finished.stdout.decode().splitlines()}
    assert names == {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "LANG": "C.UTF-8", "PGHOST": "/run"}


async def test_arguments_and_variables_are_utf_8_in_any_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsencode", lambda text: text if isinstance(text, bytes) else text.encode("latin-1"))
    finished = await run(Command(argv=["sh", "-c", 'printf %s:%s "$0" "$X"', "größer"], env={"X": "数据库"}), timeout_s=5)
    assert finished.stdout.decode() == "größer:数据库"


async def test_other_descriptors_are_not_inherited_except_those_named() -> None:
    reading, writing = os.pipe()
    os.set_inheritable(reading, True)
    try:
        script = "import os; print(sorted(int(fd) for fd in os.listdir('/proc/self/fd')))"
        argv = [sys.executable, "-c", script]
        assert str(writing) not in (await run(Command(argv=argv), timeout_s=10)).stdout.decode()
        passed = await run(Command(argv=argv, pass_fds=(writing,)), timeout_s=10)
        assert f" {writing}" in passed.stdout.decode()
    finally:
        os.close(reading)
        os.close(writing)


async def test_run_feeds_and_collects_more_than_pipes_hold() -> None:
    data = bytes(range(256)) * 20_000
    finished = await run(Command(argv=["cat"]), stdin=data, timeout_s=10)
    assert finished.status.ok
    assert finished.stdout == data


async def test_run_accepts_a_program_that_reads_nothing() -> None:
    finished = await run(sh("echo done"), stdin=b"x" * 5_000_000, timeout_s=10)
    assert (finished.status.ok, finished.stdout) == (True, b"done\n")


async def test_run_ends_a_program_that_takes_too_long() -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        await run(sh("sleep 1000"), timeout_s=0.1)
    assert time.monotonic() - began < 5


async def test_run_ends_a_program_that_writes_too_much() -> None:
    with pytest.raises(OutputTooLargeError):
        await run(Command(argv=["cat", "/dev/zero"]), timeout_s=10, limit_bytes=1_000_000)


async def test_an_old_kernel_without_pidfd_works_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(pid: int, flags: int = 0) -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(os, "pidfd_open", unknown)
    finished = await run(sh("cat; echo words >&2; exit 5"), stdin=b"in", timeout_s=5)
    assert finished.status == ExitStatus(code=5)
    assert (finished.stdout, finished.stderr) == (b"in", "words")
    async with start(sh("sleep 1000")) as child:
        pass
    assert not is_alive(child.pid)


async def test_uncancelled_work_ends_before_the_cancellation_is_raised() -> None:
    done: list[str] = []

    async def work() -> None:
        await asyncio.sleep(0.1)
        done.append("yes")

    task = asyncio.create_task(uncancelled(work(), name="work"))
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == ["yes"]


async def test_uncancelled_work_gives_its_result_or_its_error() -> None:
    async def give() -> int:
        return 5

    async def fail() -> None:
        raise ValueError("no")

    assert await uncancelled(give(), name="give") == 5
    with pytest.raises(ValueError, match="no"):
        await uncancelled(fail(), name="fail")
