"""The stock programs that open a stored artifact, whatever the engine: age and zstd."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from contracts.errors import RunFailed


@dataclass(frozen=True, kw_only=True)
class StockPrograms:
    """Absolute paths."""

    age: str
    zstd: str


def find_stock_programs() -> StockPrograms:
    """Raises: RunFailed `engine.tool_missing` naming what is missing and how to get it."""
    found = {name: shutil.which(name) for name in ("age", "zstd")}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        what = f"{' and '.join(missing)} {verb} not installed: apt-get install {' '.join(missing)}"
        raise RunFailed("engine.tool_missing", what)
    return StockPrograms(age=found["age"] or "", zstd=found["zstd"] or "")
