"""What the charts of a service draw: sizes and durations of its completed backups over time, column by column."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from contracts.records import BackupRecord, RunState
from daemon.web.service.backup_rows import took_s

MOST_POINTS: Final = 2_000
"""The newest: more than a screen has columns."""


class ChartData(msgspec.Struct, frozen=True, kw_only=True):
    """Columns of one length, the oldest first."""

    ids: list[str]
    at: list[int]
    """Seconds since 1970."""
    stored_bytes: list[int]
    plain_bytes: list[int]
    took_s: list[float | None]
    left_out: int = 0
    """How many older ones are not among them."""


def chart_data(records: Iterable[BackupRecord]) -> ChartData:
    """Of what completed, in whatever order it is given."""
    completed = sorted(
        (record for record in records if record.state is RunState.COMPLETED),
        key=lambda record: (record.due_at or record.requested_at, record.id),
    )
    shown = completed[-MOST_POINTS:]
    return ChartData(
        ids=[record.id for record in shown],
        at=[int((record.due_at or record.requested_at).timestamp()) for record in shown],
        stored_bytes=[record.size_bytes for record in shown],
        plain_bytes=[record.plain_bytes for record in shown],
        took_s=[None if (took := took_s(record)) is None else round(took, 3) for record in shown],
        left_out=len(completed) - len(shown),
    )
