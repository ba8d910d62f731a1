"""Tables leave out what matters least before anything is cut, and nothing that will be copied is ever cut."""

from __future__ import annotations

import io

from rich.console import Console
from rich.text import Text

from daemon.cli.tables import Column, plan_columns, print_facts, print_table
from daemon.cli.terminal import THEME

COLUMNS = [Column("BACKUP"), Column("STATE", rank=1), Column("NODE", rank=3), Column("NOTES", rank=2, fold=True)]
ROWS = [["acme/orders/20261122T000512Z-k7xq", "completed", "db1", "three warnings"]]


def texts(rows: list[list[str]]) -> list[list[Text]]:
    return [[Text(cell) for cell in row] for row in rows]


def printed(width: int, rows: list[list[str]]) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False, theme=THEME)
    print_table(console, COLUMNS, rows)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_columns_go_in_the_order_of_their_ranks() -> None:
    assert plan_columns(COLUMNS, texts(ROWS), 100) == [0, 1, 2, 3]
    assert plan_columns(COLUMNS, texts(ROWS), 62) == [0, 1, 3]
    assert plan_columns(COLUMNS, texts(ROWS), 50) == [0, 1]
    assert plan_columns(COLUMNS, texts(ROWS), 40) == [0]
    assert plan_columns(COLUMNS, texts(ROWS), 10) == [0]


def test_a_column_of_empty_cells_is_left_out_however_wide_the_terminal() -> None:
    assert plan_columns(COLUMNS, texts([["x", "completed", "", ""]]), 200) == [0, 1]


def test_ids_are_whole_in_a_file_and_lines_have_no_blanks_at_their_ends() -> None:
    lines = printed(4096, ROWS).splitlines()
    assert ROWS[0][0] in lines[1]
    assert all(line == line.rstrip() for line in lines)


def test_names_with_control_characters_are_spelled_out() -> None:
    assert "\\x1b[2J" in printed(200, [["\x1b[2J", "completed", "", ""]])
    assert "\x1b" not in printed(200, [["\x1b[2J", "completed", "", ""]])


def test_facts_without_a_value_are_left_out() -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=False, theme=THEME)
    print_facts(console, [("kind", "postgresql"), ("tags", ""), ("error", Text())])
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == "kind  postgresql\n"
