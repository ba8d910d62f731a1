"""The SQL scripts beside this file: SQL is easier to read, and to check, as SQL."""

from __future__ import annotations

import importlib.resources


def sql_script(name: str) -> str:
    """The text of `sql/<name>.sql`."""
    return importlib.resources.files("daemon.demo").joinpath("sql", f"{name}.sql").read_text(encoding="utf-8")
