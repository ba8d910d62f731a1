"""Running other programs: what they wrote, how they ended, and that none is left."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from daemon.demo.processes import run_pipeline, run_program, tool_environment
from tests.servers.waiting import eventually


async def test_a_program_gets_its_input_and_gives_its_output() -> None:
    ended, out = await run_program(["tr", "a-z", "A-Z"], environment=tool_environment(), given=b"abc")
    assert (ended.status, out) == (0, b"ABC")


async def test_a_failed_program_is_told_with_its_words() -> None:
    ended, _ = await run_program(["ls", "/no/such/place"], environment=tool_environment())
    assert ended.words == "ls ended with status 2"
    assert "No such file" in ended.stderr_tail


async def test_the_environment_is_only_what_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "production.example")
    _, out = await run_program(["env"], environment=tool_environment(MORE="1"))
    assert {line.partition(b"=")[0] for line in out.splitlines()} == {b"PATH", b"LC_ALL", b"TZ", b"MORE"}


async def test_stages_are_joined_by_pipes() -> None:
    taken: list[bytes] = []
    stages = [["seq", "1", "200000"], ["grep", "7"], ["wc", "-l"]]
    ended = await run_pipeline(stages, environment=tool_environment(), take=taken.append)
    assert [one.status for one in ended] == [0, 0, 0]
    assert int(b"".join(taken)) == sum("7" in str(n) for n in range(1, 200001))


async def test_a_reader_that_stops_ends_the_stages_before_it() -> None:
    taken: list[bytes] = []
    ended = await run_pipeline([["yes"], ["head", "-n", "1"]], environment=tool_environment(), take=taken.append)
    assert b"".join(taken) == b"y\n"
    assert ended[0].words == "yes was ended by signal 13"
    assert ended[1].status == 0


async def test_a_stage_that_cannot_be_started_leaves_none_of_the_others(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await run_pipeline([["sleep", "613"], ["no-such-program"]], environment=tool_environment(), take=_ignore)
    assert not running("613")


async def test_a_cancelled_pipeline_leaves_no_process() -> None:
    pipeline = asyncio.create_task(
        run_pipeline([["sleep", "614"], ["cat"]], environment=tool_environment(), take=_ignore), name="pipeline"
    )
    await eventually(lambda: running("614"))
    pipeline.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pipeline
    assert not running("614")


def running(argument: str) -> bool:
    """Whether a `sleep` with this argument runs."""
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if command[:2] == [b"sleep", argument.encode()]:
            return True
    return False


def _ignore(_: bytes) -> None:
    """Takes what comes."""
