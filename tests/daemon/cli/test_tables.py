"""Tables leave out what matters least before anything is cut, and nothing that will be copied is ever cut."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.text import Text

from daemon.cli import tables
from daemon.cli.tables import Column, plan_columns, print_facts, print_table
from daemon.cli.terminal import THEME
from tests.daemon.cli.drawing import drawn

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


def test_what_never_goes_stays_on_one_line_beside_words_that_may_be_folded() -> None:
    rows = [["acme/orders/20261122T000512Z-k7xq", "completed", "", "a note that is much longer than there is room for"]]
    lines = printed(72, rows).splitlines()
    assert len(lines) > 2
    assert lines[1].startswith(f"{rows[0][0]}  completed  a note that")


def test_a_table_that_fits_looks_the_same_as_one_that_the_library_laid_out(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [["short", "completed", "db1", "nö 語"], ["acme/orders/20261122T000512Z-k7xq", "x", "", "three warnings"]]
    columns = [*COLUMNS[:3], Column("SIZE", align="right")]
    ours = drawn(lambda console: print_table(console, columns, rows))
    monkeypatch.setattr(tables, "_fitting", lambda *_: None)
    assert drawn(lambda console: print_table(console, columns, rows)) == ours
    assert ours.splitlines()[1].endswith("         nö 語")
