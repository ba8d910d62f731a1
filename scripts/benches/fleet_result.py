"""What a round of the fleet bench is about, and what came of it."""

from __future__ import annotations

import msgspec

from scripts.benches.fleet_times import Spread


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """What a round is about."""

    services: int
    nodes: int
    coordinators: int = 1
    records: int = 0
    """Backups of other services that are there already."""
    history: int = 0
    """Earlier backups of every service of the fleet."""
    artifacts: int = 1
    per_project: int = 10
    spread_s: int = 0
    """Over how many seconds the due times are spread; 0: all in the same."""
    beat_every_s: float = 5.0
    rest_s: float = 10.0
    manual: bool = False
    """Asked for by an operator instead of being due."""
    store: str = "memory"


class RoundResult(msgspec.Struct, frozen=True, kw_only=True):
    """Times in seconds, memory in MiB."""

    size: Size
    due_to_request: Spread | None
    request_to_claim: Spread | None
    report_to_completed: Spread | None
    due_to_completed: Spread | None
    asks: dict[str, Spread]
    last_completed_s: float
    """After the (first) due time."""
    completed: int
    run_cpu_s: float
    """Of all coordinators, from just before the due time until they were at rest again; heartbeats included."""
    beats: int
    """Regular heartbeats of that time."""
    beat_cpu_s: float
    """Of one heartbeat among very many: that is how they come while the coordinators are busy with runs."""
    rest_cpu: float
    """Cores that all coordinators use while nothing is due."""
    rest_after_cpu: float
    """The same soon after the runs, when what they left behind in the buckets has not faded yet."""
    server_cpu_s: float
    empty_mib: float
    """A coordinator that knows of nothing."""
    rest_mib: float
    peak_mib: float
    after_mib: float
    server_peak_mib: float
    start_s: float
    """Until a coordinator answered, with the services and records of the round there."""
    events: dict[str, int]
    troubles: dict[str, int]
    warnings: dict[str, int]

    @property
    def net_run_cpu_s(self) -> float:
        """CPU of one run without what the regular heartbeats of the same time cost."""
        return max(0.0, self.run_cpu_s - self.beats * self.beat_cpu_s) / max(1, self.completed)
