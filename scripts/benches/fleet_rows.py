"""The fleet bench's results as rows; where a row has a peer, that is the smallest fleet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from scripts.benches.fleet_plan import PlanResult
from scripts.benches.fleet_result import RoundResult, Size
from scripts.benches.fleet_startup import StartResult
from scripts.benches.fleet_times import Spread
from scripts.benches.rows import Row, row


def case_of(size: Size) -> str:
    """What sets a round apart."""
    parts = [f"{size.services:,} services"]
    if size.nodes != size.services:
        parts.append(f"{size.nodes:,} nodes")
    if size.coordinators > 1:
        parts.append(f"{size.coordinators} coordinators")
    if size.history:
        parts.append(f"{size.history} earlier each")
    if size.records:
        parts.append(f"{size.records:,} records more")
    return ", ".join(parts)


def round_rows(result: RoundResult, smallest: RoundResult | None) -> Iterator[Row]:
    """`smallest` is what the cost of a run is compared with; None for itself."""
    case = case_of(result.size)
    asked = "asked" if result.size.manual else "due"
    yield from _spread_rows(case, f"{asked} → request", result.due_to_request)
    yield from _spread_rows(case, "request → claimed", result.request_to_claim)
    for kind, found in result.asks.items():
        yield from _spread_rows(case, f"{'PUT' if kind == 'put' else f'ask {kind}'}", found)
    yield from _spread_rows(case, "report → completed", result.report_to_completed)
    yield from _spread_rows(case, f"{asked} → completed", result.due_to_completed)
    yield row(case, "all completed after", "s", [result.last_completed_s])
    yield row(case, "completed", "runs", [result.completed])
    yield row(case, "completed per second", "1/s", [result.completed / result.last_completed_s])
    peer, theirs = ("", []) if smallest is None else (case_of(smallest.size), [1000 * smallest.net_run_cpu_s])
    yield row(case, "coordinator CPU per run", "ms", [1000 * result.net_run_cpu_s], peer, theirs)
    runs = max(1, result.completed)
    yield row(case, "  with regular heartbeats", "ms", [1000 * result.run_cpu_s / runs])
    yield row(case, "coordinator CPU per heartbeat", "ms", [1000 * result.beat_cpu_s])
    yield row(case, "nats-server CPU per run", "ms", [1000 * result.server_cpu_s / runs])
    yield row(case, "coordinator at rest", "% core", [100 * result.rest_cpu])
    yield row(case, "  per node and second", "ms", [1000 * result.rest_cpu / result.size.nodes])
    yield row(case, "  soon after the runs", "% core", [100 * result.rest_after_cpu])
    yield row(case, "coordinator start", "s", [result.start_s])
    for name, mib in (
        ("coordinator alone", result.empty_mib),
        ("coordinator before", result.rest_mib),
        ("coordinator peak", result.peak_mib),
        ("coordinator after", result.after_mib),
        ("nats-server peak", result.server_peak_mib),
    ):
        yield row(case, f"memory: {name}", "MiB", [mib])
    for name, mib in (("before", result.rest_mib), ("after", result.after_mib)):
        per_service_kib = 1024 * (mib - result.empty_mib) / result.size.services
        yield row(case, f"memory: per service, {name}", "KiB", [per_service_kib])
    for what, counts in (("event", result.events), ("agents", result.troubles), ("coordinator log", result.warnings)):
        for name, count in sorted(counts.items()):
            yield row(case, f"{what}: {name}", "times", [count])


def start_rows(results: Sequence[StartResult]) -> Iterator[Row]:
    for result in results:
        case = f"start, {result.records:,} records"
        peer, theirs = ("", []) if result is results[0] else ("no records", [results[0].start_s])
        yield row(case, "wall until it answers", "s", [result.start_s], peer, theirs)
        yield row(case, "CPU of the first seconds", "s", [result.cpu_s])
        yield row(case, "memory: coordinator", "MiB", [result.coordinator_mib])
        yield row(case, "memory: nats-server", "MiB", [result.server_mib])


def plan_rows(result: PlanResult) -> Iterator[Row]:
    case = f"plan of {result.runs:,} runs"
    yield row(case, "wall", "s", [result.wall_s])
    yield row(case, "memory: runs", "MiB", [result.facts_mib])
    yield row(case, "memory: peak beside them", "MiB", [result.plan_mib])
    yield row(case, "expired", "runs", [result.expired])


def _spread_rows(case: str, stage: str, found: Spread | None) -> Iterator[Row]:
    if found is not None:
        for name, value in (("p50", found.p50), ("p95", found.p95), ("max", found.most)):
            yield row(case, f"{stage} {name}", "s", [value])
