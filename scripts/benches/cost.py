"""What moving one stream took."""

from __future__ import annotations

import msgspec


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    wall_s: float
    cpu_s: float
    """Of all processes on the measured side, the dump tool included, the servers not."""
    memory_mib: float
    """The largest resident set: ours of the agent, the peer's of its programs added up; the dump tool in neither."""
    stored_bytes: int
    spooled_parts: int = 0

    def __str__(self) -> str:
        spooled = f", {self.spooled_parts} parts spooled" if self.spooled_parts else ""
        figures = f"{self.wall_s:.2f} s wall, {self.cpu_s:.2f} s CPU, {self.memory_mib:.0f} MiB"
        return f"{figures}, {self.stored_bytes:,} bytes{spooled}"
