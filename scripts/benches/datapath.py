"""The agent's data path against the pipeline of zstd, age and rclone: same database, same store, same level."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import msgspec

from agents.datapath import UploadLimits
from contracts.multipart import MIB
from scripts.benches import database, generate
from scripts.benches.agent_side import Cost, RunningAgent, running_agent
from scripts.benches.peer_side import PEER, Pipeline
from scripts.benches.rows import Row, row, say
from tests.agents.datapath.coordinator import FakeCoordinator, coordinator_on
from tests.conftest import _running_postgres, _running_s3
from tests.servers.s3 import Bucket
from tests.servers.tools import pg_bin

SUMMARY = "dump to object store: wall, CPU and memory of a running agent, beside zstd | age | rclone"
_LARGE_PART_BYTES = 525 * MIB
"""What an object of 5 TiB needs."""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One stream to be moved, several times by each side."""

    name: str
    argv: list[str]
    environment: dict[str, str] = {}
    base_part_bytes: int = 8 * MIB
    repetitions: int
    with_peer: bool = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size-mib", type=int, help="of the database's dump; default 700, quick 64")
    parser.add_argument("--repetitions", type=int, help="of each side, in turns; default 5, quick 2")
    parser.add_argument("--level", type=int, default=3, help="of zstd, for both sides")
    parser.add_argument("--only", default="", help="cases whose name contains this")


def run(options: argparse.Namespace) -> Iterator[Row]:
    with ExitStack() as stack:
        bucket = stack.enter_context(_running_s3()).create_bucket()
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="strongroom-bench-")))
        cases = [case for case in _streams(options, directory) if options.only in case.name]
        if options.only in "PostgreSQL":
            say("filling the database")
            cluster = stack.enter_context(_running_postgres(max_wal_size="4GB", autovacuum="off"))
            cases.insert(0, _database_case(database.fill(cluster, _size_mib(options)), options))
        yield from asyncio.run(_measure(cases, bucket, str(directory / "spool"), options.level))


def _size_mib(options: argparse.Namespace) -> int:
    return int(options.size_mib or (64 if options.quick else 700))


def _repetitions(options: argparse.Namespace) -> int:
    return int(options.repetitions or (2 if options.quick else 5))


def _database_case(filled: database.Database, options: argparse.Namespace) -> Case:
    argv, environment = database.dump_command(filled, pg_bin("pg_dump"))
    return Case(
        name=f"PostgreSQL {_size_mib(options)} MiB", argv=argv, environment=environment, repetitions=_repetitions(options)
    )


def _streams(options: argparse.Namespace, directory: Path) -> list[Case]:
    def stream(name: str, mib: int, percent_random: int, **rest: int | bool) -> Case:
        argv = generate.stream_command(directory, mib, percent_random)
        return Case(name=name, argv=argv, **{"repetitions": max(2, _repetitions(options) // 2), **rest})  # type: ignore[arg-type]

    small, large, huge = (16, 64, 64) if options.quick else (256, 4096, 1600)
    return [
        stream(f"stream {small} MiB, compressible", small, 5, repetitions=_repetitions(options)),
        stream(f"stream {small} MiB, random", small, 100, repetitions=_repetitions(options)),
        stream(f"stream {large} MiB, half random", large, 50),
        stream(f"stream {huge} MiB, parts of 525 MiB", huge, 100, base_part_bytes=_LARGE_PART_BYTES, with_peer=False),
    ]


async def _measure(cases: list[Case], bucket: Bucket, spool: str, level: int) -> list[Row]:
    limits = UploadLimits(spool_dir=spool, zstd_level=level)
    async with coordinator_on(bucket) as coordinator, running_agent(coordinator) as agent:
        rows = [row("agent at rest", "memory", "MiB", [agent.resident_mib])]
        pipeline = Pipeline(bucket, str(coordinator.project.recipient), level)
        for case in cases:
            say(case.name)
            ours, theirs = await _take_turns(case, agent, coordinator, pipeline, limits)
            rows += _rows(case, ours, theirs)
        rows.append(row("agent at rest afterwards", "memory", "MiB", [agent.resident_mib]))
    return rows


async def _take_turns(
    case: Case, agent: RunningAgent, coordinator: FakeCoordinator, pipeline: Pipeline, limits: UploadLimits
) -> tuple[list[Cost], list[Cost]]:
    ours: list[Cost] = []
    theirs: list[Cost] = []
    coordinator.base_part_bytes = case.base_part_bytes
    for _ in range(case.repetitions):
        async with _forgotten_afterwards(coordinator):
            ours.append(await agent.upload(case.argv, case.environment, limits))
        say(f"  ours {_words(ours[-1])}")
        if case.with_peer:
            theirs.append(await asyncio.to_thread(pipeline.upload, case.argv, case.environment))
            say(f"  peer {_words(theirs[-1])}")
    return ours, theirs


@asynccontextmanager
async def _forgotten_afterwards(coordinator: FakeCoordinator) -> AsyncIterator[None]:
    """The disk should not fill with what was measured."""
    yield
    for key in coordinator.bucket.list_keys():
        coordinator.bucket.server.blocking_client.delete_object(Bucket=coordinator.bucket.name, Key=key)


def _rows(case: Case, ours: list[Cost], theirs: list[Cost]) -> list[Row]:
    peer = PEER if theirs else ""
    return [
        row(case.name, "wall", "s", [cost.wall_s for cost in ours], peer, [cost.wall_s for cost in theirs]),
        row(case.name, "cpu", "s", [cost.cpu_s for cost in ours], peer, [cost.cpu_s for cost in theirs]),
        row(case.name, "memory", "MiB", [cost.memory_mib for cost in ours], peer, [cost.memory_mib for cost in theirs]),
        row(
            case.name, "stored", "bytes", [cost.stored_bytes for cost in ours], peer, [cost.stored_bytes for cost in theirs]
        ),
    ]


def _words(cost: Cost) -> str:
    spooled = f", {cost.spooled_parts} parts spooled" if cost.spooled_parts else ""
    return (
        f"{cost.wall_s:.2f} s wall, {cost.cpu_s:.2f} s CPU, {cost.memory_mib:.0f} MiB, {cost.stored_bytes:,} bytes{spooled}"
    )
