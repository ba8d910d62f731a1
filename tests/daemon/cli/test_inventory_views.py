"""What is in a backup, whatever its kind."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from daemon.cli.inventory_views import draw_inventory
from daemon.cli.terminal import THEME


def drawn(inventory: Any) -> str:
    file = io.StringIO()
    draw_inventory(Console(file=file, width=120, theme=THEME), inventory)
    return file.getvalue()


def test_databases_are_shown_with_their_tables() -> None:
    table = {"schema": "public", "name": "orders", "kind": "table", "bytes": 2048, "rows": 30_000}
    objects = {"table_count": 1, "tables": [table], "view_count": 2}
    text = drawn({"databases": [{"name": "shop", "owner": "me", "size_bytes": 1, "objects": objects}], "counts": {}})
    assert "1 table, 2 views" in text
    assert "public.orders" in text
    assert "30,000" in text


def test_other_kinds_are_shown_by_their_counts_the_largest_first() -> None:
    text = drawn({"counts": {"few [bold]": 3, "many": 1234}, "streams": []})
    assert text.index("many") < text.index("few [bold]")
    assert "1,234" in text


def test_of_many_the_rest_is_counted() -> None:
    assert "and 30 more with --json" in drawn({"counts": {f"c{number}": 1 for number in range(50)}})


@pytest.mark.parametrize("inventory", [{}, [], None, {"counts": "many"}, {"databases": [1]}])
def test_what_is_not_known_is_said(inventory: Any) -> None:
    assert "--json shows it" in drawn(inventory)
