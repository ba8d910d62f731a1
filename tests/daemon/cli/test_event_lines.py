"""Events as lines: what happened, to what, and why."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from contracts.events import EVENT_TYPES, Event
from daemon.cli.event_views import draw_event
from tests.daemon.cli.drawing import drawn

AT = datetime(2026, 11, 22, 0, 5, 12, tzinfo=UTC)
RUN = "20261122T000512Z-k7xq"


def line(type_: str, **fields: Any) -> str:
    event = Event(id="x", type=type_, at=AT, project="acme", **fields)
    return drawn(lambda console: draw_event(console, event), width=4000).removesuffix("\n")


def test_what_schedules_and_retention_did_is_told_with_its_reason() -> None:
    missed = line("backup.missed", service="orders", backup_id=RUN, reason="no agent was alive")
    assert missed == f"2026-11-22 00:05:12  backup.missed       acme/orders/{RUN}  no agent was alive"
    frozen = line("retention.frozen", service="orders", reason="the newest due run failed")
    assert frozen == "2026-11-22 00:05:12  retention.frozen    acme/orders  the newest due run failed"
    deleted = line("backup.deleted", service="orders", backup_id=RUN, size_bytes=2048, reason="expired: beyond 50")
    assert deleted == f"2026-11-22 00:05:12  backup.deleted      acme/orders/{RUN}  2.00 KiB, expired: beyond 50"


def test_names_of_facts_are_words() -> None:
    assert line("project.changed", actor="ada@host", facts={"quota_bytes": 5}).endswith("  by ada@host, quota bytes 5")
    assert line("backup.tagged", facts={"added": ["a", "b"], "removed": []}).endswith("  added a b")
    deleted = line("project.deleted", facts={"purge_at": "2026-11-29T00:05:12.371109+00:00", "kind": "postgresql"})
    assert deleted.endswith("  purge at 2026-11-29 00:05:12 UTC, kind postgresql")


@pytest.mark.parametrize("type_", EVENT_TYPES)
def test_every_type_fits_its_column(type_: str) -> None:
    assert line(type_).startswith(f"2026-11-22 00:05:12  {type_:<18}  acme")
