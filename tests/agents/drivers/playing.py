"""The data path's part in a driver's life, played in memory: what a backup leaves, and what a restore is given."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from agents.drivers.base import BackupPlan, Confirm, Driver, DumpSource, PlannedArtifact, RestoreSink, confirmed
from contracts.records import ArtifactRecord, Attributes, RestoreTarget

RUN_ID: Final = "20261122T000512Z-k7xq"
EDGE_BYTES: Final = 1024
_PIECE_BYTES: Final = 256 * 1024


@dataclass(frozen=True, kw_only=True)
class Backup:
    """All of a backup, in memory."""

    plan: BackupPlan
    artifacts: list[tuple[ArtifactRecord, bytes]]
    warnings: list[str]

    @property
    def records(self) -> list[ArtifactRecord]:
        return [record for record, _ in self.artifacts]

    def data_of(self, record: ArtifactRecord) -> bytes:
        return next(data for known, data in self.artifacts if known.name == record.name)


async def back_up(driver: Driver) -> Backup:
    """As `agents.backup` does it, one artifact after the other."""
    plan = await driver.plan_backup()
    artifacts: list[tuple[ArtifactRecord, bytes]] = []
    warnings = list(plan.warnings)
    async with driver.holding(plan):
        for planned in plan.artifacts:
            async with driver.dump(planned) as source:
                data = await asyncio.to_thread(read_all, source.fd)
                warnings += await finish_dump(source, data)
            artifacts.append((record_of(planned, data), data))
        warnings += await driver.finish_backup(plan)
    return Backup(plan=plan, artifacts=artifacts, warnings=warnings)


async def restore(
    driver: Driver,
    backup: Backup,
    target: RestoreTarget,
    *,
    only: Sequence[str] = (),
    run_id: str = RUN_ID,
    confirm: Confirm = confirmed,
) -> list[Attributes]:
    """As `agents.restore` does it: what each artifact's sink said.  `only` names artifacts."""
    records = [record for record in backup.records if not only or record.name in only]
    await driver.check_restore(records, target)
    outcomes: list[Attributes] = []
    for record in driver.restore_order(records):
        async with driver.restore(record, target, run_id, confirm=confirm) as sink:
            await feed(sink, backup.data_of(record))
            outcomes.append(await sink.finish())
    return outcomes


def record_of(planned: PlannedArtifact, data: bytes) -> ArtifactRecord:
    """As the coordinator would keep it, JSON in between."""
    record = ArtifactRecord(
        name=planned.name,
        kind=planned.kind,
        format=planned.format,
        object_key=f"acme/orders/1.{planned.suffix}",
        stored_bytes=len(data),
        plain_bytes=len(data),
        sha256="0" * 64,
        attributes=planned.attributes,
    )
    return msgspec.json.decode(msgspec.json.encode(record), type=ArtifactRecord)


async def finish_dump(source: DumpSource, data: bytes) -> list[str]:
    return await source.finish(len(data), data[:EDGE_BYTES], data[-EDGE_BYTES:])


async def feed(sink: RestoreSink, data: bytes) -> None:
    """Writes as the data path does: a tool that has ended is asked for its reason."""
    try:
        await asyncio.to_thread(write_all, sink.fd, data)
    except BrokenPipeError:
        sink.close_input()
        await sink.finish()
        raise
    sink.close_input()


def read_all(fd: int) -> bytes:
    parts = []
    while part := os.read(fd, 4 * _PIECE_BYTES):
        parts.append(part)
    return b"".join(parts)


def write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view[:_PIECE_BYTES]) :]
