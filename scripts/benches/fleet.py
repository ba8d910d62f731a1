"""A fleet of simulated agents whose services are all due at once: what the coordinator makes of it, and what it costs.

N services and their agents, on a real nats-server, with the coordinator as a process of its own.  Agents speak the real
contracts and PUT one tiny part each; the nats-server's configuration lets one user act for all nodes (see
`scripts.benches.fleet_bus`).  The object store is one in memory unless told otherwise, since the real one would be what is
measured.  Everything is on the loopback interface, and gone afterwards.

CPU per run is the coordinator's own, user and system, from just before the due time until it was at rest again, less what
the regular heartbeats of that time cost, measured in a crowd of them.  Its ratio to the smallest fleet's shows whether the
cost of a run grows.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from contracts.logs import configure_logs
from scripts.benches.fleet_plan import measure_plan
from scripts.benches.fleet_result import RoundResult, Size
from scripts.benches.fleet_round import measure_round
from scripts.benches.fleet_rows import case_of, plan_rows, round_rows, start_rows
from scripts.benches.fleet_startup import measure_starts
from scripts.benches.fleet_store import MEMORY, STORES
from scripts.benches.rows import Row, say

SUMMARY = "a fleet whose services are due at once: latency of each stage, and the coordinator's CPU, memory and start"
_STAGES = ("runs", "start", "plan")
_MOST_SERVICES = 20_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--services", type=int, help=f"at most {_MOST_SERVICES:,}; default 1000, quick 50")
    parser.add_argument("--sizes", type=_numbers, help="fleets to compare; default half, once and twice --services")
    parser.add_argument("--nodes", type=int, help="that share the services; default one for each service")
    parser.add_argument("--coordinators", type=int, default=1)
    parser.add_argument(
        "--records",
        type=_numbers,
        help="backups that are there: the first number during a round, all for the start; default 100000,500000",
    )
    parser.add_argument("--history", type=int, default=0, help="earlier backups of each service, such as 50; default 0")
    parser.add_argument("--artifacts", type=int, default=1, help="of each backup; default 1")
    parser.add_argument(
        "--per-project", type=int, default=10, help="services of a project, which share its quota; default 10"
    )
    parser.add_argument("--spread", type=int, default=0, metavar="S", help="due within S seconds instead of in one")
    parser.add_argument("--heartbeat", type=float, default=5.0, metavar="S", help="between two of a node; default 5")
    parser.add_argument("--manual", action="store_true", help="asked for by an operator instead of by the schedule")
    parser.add_argument("--store", choices=STORES, default=MEMORY)
    parser.add_argument("--only", choices=_STAGES, action="append", help="may be given several times; default all")
    parser.add_argument("--plan-runs", type=int, help="that one retention plan is over; default 1000000")
    parser.add_argument("--profile", type=Path, metavar="DIR", help="write cProfile's figures of the coordinators below it")


def run(options: argparse.Namespace) -> Iterator[Row]:
    configure_logs(level="error")
    # Whoever ends the bench early ends what it has started, too.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    stages = options.only or _STAGES
    records = options.records or ([1_000, 5_000] if options.quick else [100_000, 500_000])
    if "runs" in stages:
        yield from _measure_rounds(options, records[0])
    if "start" in stages:
        starts = list(measure_starts([0, *records], 2 if options.quick else 3))
        yield from start_rows(starts)
    if "plan" in stages:
        runs = options.plan_runs or (10_000 if options.quick else 1_000_000)
        say(f"plan over {runs:,} runs")
        yield from plan_rows(measure_plan(runs))


def _measure_rounds(options: argparse.Namespace, records: int) -> Iterator[Row]:
    services = options.services or (50 if options.quick else 1_000)
    sizes = options.sizes or sorted({max(1, services // 2), services, 2 * services})
    if max(sizes) > _MOST_SERVICES:
        raise SystemExit(f"more than {_MOST_SERVICES:,} services are not a bench but a siege")
    first: RoundResult | None = None
    rounds = [_size(options, size, 0) for size in sizes]
    if records:
        rounds.append(_size(options, services if services in sizes else sizes[0], records))
    for size in rounds:
        say(case_of(size))
        result = measure_round(size, options.profile)
        yield from round_rows(result, first)
        first = first or result


def _size(options: argparse.Namespace, services: int, records: int) -> Size:
    return Size(
        services=services,
        nodes=min(services, options.nodes or services),
        coordinators=options.coordinators,
        records=records,
        history=options.history,
        artifacts=options.artifacts,
        per_project=options.per_project,
        spread_s=options.spread,
        beat_every_s=options.heartbeat,
        rest_s=3.0 if options.quick else 15.0,
        manual=options.manual,
        store=options.store,
    )


def _numbers(text: str) -> list[int]:
    return sorted(int(number) for number in text.split(","))
