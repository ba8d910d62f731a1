"""The retention rule over very many records, in a process of its own whose memory is nothing else's.

`python -m scripts.benches.fleet_plan RUNS` prints one `PlanResult` as JSON.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import msgspec

from contracts.policy.retention import RetentionPolicy, RunFacts, plan
from contracts.policy.tags import time_tags
from scripts.benches.fleet_store import ROOT, python_environment
from scripts.benches.procfs import peak_mib, reset_peak, resident_mib

_NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
_STEP = timedelta(minutes=5)


class PlanResult(msgspec.Struct, frozen=True, kw_only=True):
    runs: int
    wall_s: float
    facts_mib: float
    """What the plan is made of."""
    plan_mib: float
    """What it takes at its peak, beside that."""
    expired: int


def measure_plan(runs: int) -> PlanResult:
    """One plan over a service that was backed up every five minutes."""
    said = subprocess.run(
        [sys.executable, "-m", __name__, str(runs)], cwd=ROOT, env=python_environment(), capture_output=True, check=True
    )
    return msgspec.json.decode(said.stdout, type=PlanResult)


def main(runs: int) -> None:
    pid = os.getpid()
    empty_mib = resident_mib(pid)
    facts = _facts(runs)
    full_mib = resident_mib(pid)
    reset_peak(pid)
    began = time.perf_counter()
    planned = plan(facts, RetentionPolicy(), _NOW)
    wall_s = time.perf_counter() - began
    result = PlanResult(
        runs=runs,
        wall_s=wall_s,
        facts_mib=full_mib - empty_mib,
        plan_mib=peak_mib(pid) - full_mib,
        expired=len(planned.expired),
    )
    print(msgspec.json.encode(result).decode())


def _facts(runs: int) -> list[RunFacts]:
    first = _NOW - runs * _STEP
    facts: list[RunFacts] = []
    before: list[datetime] = []
    for number in range(runs):
        at = first + number * _STEP
        # As records come from the catalogue, each with tags of its own.
        tags = tuple(time_tags(before, at))
        facts.append(
            RunFacts(id=f"{at:%Y%m%dT%H%M%SZ}-{number % 2**20:04x}", at=at, size_bytes=1_000, tags=tags, automatic=True)
        )
        before = [at]
    return facts


if __name__ == "__main__":
    main(int(sys.argv[1]))
