"""Whether two databases are the same by content: a pure comparison of two snapshots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum

import msgspec

from daemon.demo.snapshot import DatabaseSnapshot

_SHOWN_CHARACTERS = 400


class How(StrEnum):
    """How a copy differs from its original in one object."""

    MISSING = "missing"
    EXTRA = "extra"
    CHANGED = "changed"


class TableResult(msgspec.Struct, frozen=True, kw_only=True):
    """One table, before and after; None where it does not exist."""

    name: str
    rows: int | None
    restored_rows: int | None
    equal: bool
    """By content, not only by count."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One object that is not the same."""

    kind: str
    """Such as `table`, `index`, `sequence value`, `policy`."""
    name: str
    how: How
    expected: str | None = None
    found: str | None = None

    def __str__(self) -> str:
        if self.how is How.CHANGED:
            return f"{self.kind} {self.name} differs: {_short(self.expected)} became {_short(self.found)}"
        return f"{self.kind} {self.name} is {'missing' if self.how is How.MISSING else 'there but should not be'}"


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """What was compared, and everything that is not the same."""

    tables: list[TableResult]
    rows: int
    """Of the original, all tables."""
    objects: dict[str, int]
    """How many of each kind were compared."""
    differences: list[Difference]

    @property
    def equal(self) -> bool:
        return not self.differences


def compare_snapshots(original: DatabaseSnapshot, copy: DatabaseSnapshot) -> Comparison:
    """Total and deterministic: every object of either side is accounted for, in order of kind and name."""
    before = {name: _content(table.rows, table.content_sum) for name, table in original.tables.items()}
    after = {name: _content(table.rows, table.content_sum) for name, table in copy.tables.items()}
    differences = list(_differences("table", before, after))
    kinds = list(dict.fromkeys([*original.objects, *copy.objects]))
    for kind in kinds:
        differences += _differences(kind, original.objects.get(kind, {}), copy.objects.get(kind, {}))
    unequal = {difference.name for difference in differences if difference.kind == "table"}
    tables = [
        TableResult(
            name=name,
            rows=original.tables[name].rows if name in original.tables else None,
            restored_rows=copy.tables[name].rows if name in copy.tables else None,
            equal=name not in unequal,
        )
        for name in sorted(before.keys() | after.keys())
    ]
    return Comparison(
        tables=tables,
        rows=sum(table.rows for table in original.tables.values()),
        objects={kind: len(original.objects.get(kind, {})) for kind in kinds},
        differences=differences,
    )


def _differences(kind: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Difference]:
    for name in sorted(before.keys() | after.keys()):
        if name not in after:
            yield Difference(kind=kind, name=name, how=How.MISSING, expected=before[name])
        elif name not in before:
            yield Difference(kind=kind, name=name, how=How.EXTRA, found=after[name])
        elif before[name] != after[name]:
            yield Difference(kind=kind, name=name, how=How.CHANGED, expected=before[name], found=after[name])


def _content(rows: int, content_sum: str) -> str:
    return f"{rows} rows with content sum {content_sum}"


def _short(text: str | None) -> str:
    text = " ".join((text or "").split())
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
