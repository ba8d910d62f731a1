"""What a bench prints: one row per case and metric, ours beside the peer's, always of the same run."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence

import msgspec

from scripts.benches.machine import machine, versions


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """`ratio` is ours divided by the peer's: below 1 means that ours takes less."""

    case: str
    metric: str
    """`wall`, `cpu`, `memory`, `stored` or `speed`; in the fleet bench the stage, and which figure of it."""
    unit: str
    ours: float
    peer: str = ""
    peer_value: float | None = None
    ratio: float | None = None


class _Result(msgspec.Struct, frozen=True, kw_only=True):
    bench: str
    machine: dict[str, str | int]
    versions: dict[str, str]
    rows: list[Row]


def row(case: str, metric: str, unit: str, ours: Sequence[float], peer: str = "", theirs: Sequence[float] = ()) -> Row:
    """Medians of the repetitions."""
    value = statistics.median(ours)
    peer_value = statistics.median(theirs) if theirs else None
    ratio = round(value / peer_value, 3) if peer_value else None
    rounded = None if peer_value is None else round(peer_value, 3)
    return Row(case=case, metric=metric, unit=unit, ours=round(value, 3), peer=peer, peer_value=rounded, ratio=ratio)


def say(text: str) -> None:
    """How far it is, for a person who waits; not part of the result."""
    print(text, file=sys.stderr, flush=True)


def print_json(bench: str, rows: list[Row]) -> None:
    result = _Result(bench=bench, machine=machine(), versions=versions(), rows=rows)
    print(msgspec.json.encode(result).decode())


def print_table(rows: list[Row]) -> None:
    print(" · ".join(f"{key} {value}" for key, value in {**machine(), **versions()}.items()) + "\n")
    head = ("case", "metric", "ours", "peer's", "unit", "ratio", "peer")
    cells = [head] + [
        (
            row.case,
            row.metric,
            _figure(row.ours),
            _figure(row.peer_value),
            row.unit,
            "" if row.ratio is None else f"{row.ratio:.2f}",
            row.peer,
        )
        for row in rows
    ]
    widths = [max(len(line[column]) for line in cells) for column in range(len(head))]
    for line in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _figure(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
