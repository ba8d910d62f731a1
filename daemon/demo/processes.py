"""Running other programs, alone or joined by pipes: without a shell, and never left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TAIL_BYTES: Final = 4096
_READ_BYTES: Final = 1 << 18
_END_WAIT_S: Final = 10.0


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a program ended."""

    program: str
    status: int
    """Negative for a signal."""
    stderr_tail: str

    @property
    def words(self) -> str:
        """`psql ended with status 3`."""
        if self.status < 0:
            return f"{self.program} was ended by signal {-self.status}"
        return f"{self.program} ended with status {self.status}"


def tool_environment(**more: str) -> dict[str, str]:
    """What programs need, and nothing that would point them at another server or change what they print."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC", **more}


async def run_program(
    argv: Sequence[str], *, environment: Mapping[str, str], given: bytes = b"", directory: Path | None = None
) -> tuple[Ended, bytes]:
    """How it ended, and what it wrote to standard output.  Cancelling ends the program."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        env=dict(environment),
        cwd=directory,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await process.communicate(given)
    finally:
        await _end([process])
    return Ended(program=_name(argv), status=await process.wait(), stderr_tail=_tail(err)), out


async def run_pipeline(
    stages: Sequence[Sequence[str]], *, environment: Mapping[str, str], take: Callable[[bytes], None]
) -> list[Ended]:
    """How each stage ended; `take` is given what the last one writes, as it comes.

    As in a shell, a stage whose reader stops early is ended by SIGPIPE: that is for the caller to judge.
    """
    processes: list[asyncio.subprocess.Process] = []
    upstream: int = -1
    try:
        for number, argv in enumerate(stages, 1):
            last = number == len(stages)
            reader, writer = (-1, -1) if last else os.pipe()
            try:
                process = await asyncio.create_subprocess_exec(
                    *argv,
                    env=dict(environment),
                    stdin=asyncio.subprocess.DEVNULL if upstream < 0 else upstream,
                    stdout=asyncio.subprocess.PIPE if last else writer,
                    stderr=asyncio.subprocess.PIPE,
                )
            finally:
                # The stages hold their ends now: ours must go, or nobody would ever see an end of file.
                for descriptor in (upstream, writer):
                    if descriptor >= 0:
                        os.close(descriptor)
                upstream = reader
            processes.append(process)
        async with asyncio.TaskGroup() as group:
            tails = [group.create_task(_read_tail(process.stderr), name=f"stderr:{process.pid}") for process in processes]
            await _take_all(processes[-1].stdout, take)
        statuses = [await process.wait() for process in processes]
    finally:
        if upstream >= 0:
            os.close(upstream)
        await _end(processes)
    return [
        Ended(program=_name(argv), status=status, stderr_tail=_tail(tail.result()))
        for argv, status, tail in zip(stages, statuses, tails, strict=True)
    ]


async def _take_all(reader: asyncio.StreamReader | None, take: Callable[[bytes], None]) -> None:
    assert reader is not None
    while chunk := await reader.read(_READ_BYTES):
        take(chunk)


async def _read_tail(reader: asyncio.StreamReader | None) -> bytes:
    assert reader is not None
    tail = b""
    while chunk := await reader.read(_READ_BYTES):
        tail = (tail + chunk)[-_TAIL_BYTES:]
    return tail


async def _end(processes: Sequence[asyncio.subprocess.Process]) -> None:
    for process in processes:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
    async with asyncio.timeout(_END_WAIT_S):  # longer only for a process that hangs in the kernel
        for process in processes:
            await process.wait()


def _name(argv: Sequence[str]) -> str:
    return Path(argv[0]).name


def _tail(text: bytes) -> str:
    return text[-_TAIL_BYTES:].decode(errors="replace").strip()
