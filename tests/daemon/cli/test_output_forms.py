"""One answer in three forms: drawn, one document, or a document a line; and colours only where they are wanted."""

from __future__ import annotations

import io
import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text

from contracts.errors import InvalidInput
from daemon.cli.plain_text import escaped, visible
from daemon.cli.terminal import Output, chosen_output, console_for, foreseen_output, wants_colour
from tests.daemon.cli.calling import Strongroom

COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-7]m")


def lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_list_is_one_document_or_a_document_for_each_thing(strongroom: Strongroom, project: str, node: str) -> None:
    for name in ("a", "b", "c"):
        strongroom("service", "add", f"{project}/{name}", "--kind", "postgresql", "--node", node).ok()
    listing = ("service", "list", project)
    document = strongroom(*listing, "--output", "json").ok().document
    assert [view["record"]["name"] for view in document["services"]] == ["a", "b", "c"]
    assert document["total"] == 3
    assert lines(strongroom(*listing, "-o", "ndjson").ok().out) == document["services"]
    assert strongroom(*listing, "--json").ok().out == strongroom(*listing, "--output=json").ok().out
    assert strongroom(*listing, "--output", "table", STRONGROOM_OUTPUT="json").ok().out.startswith("SERVICE")
    assert lines(strongroom(*listing, STRONGROOM_OUTPUT="ndjson").ok().out) == document["services"]


def test_every_list_has_lines_for_programs(strongroom: Strongroom, service: str, node: str) -> None:
    strongroom("backup", "create", service).ok()
    for argv, field in (
        (("project", "list"), "projects"),
        (("backup", "list", service), "backups"),
        (("restores", "list", service), "restores"),
    ):
        document = strongroom(*argv, "--json").ok().document
        assert lines(strongroom(*argv, "--output", "ndjson").ok().out) == document[field], argv


def test_what_is_no_list_is_one_line(strongroom: Strongroom, project: str) -> None:
    shown = strongroom("--output", "ndjson", "project", "show", project).ok()
    assert lines(shown.out) == [strongroom.json("project", "show", project)]


def test_an_error_is_told_in_the_form_that_was_asked_for(strongroom: Strongroom) -> None:
    for form in ("json", "ndjson"):
        for argv in (("project", "show", "nowhere"), ("project", "show"), ("nonsense",)):
            ended = strongroom(*argv, "--output", form)
            assert ended.out == ""
            assert ended.error["message"], argv
        assert (
            strongroom("project", "show", "nowhere", STRONGROOM_OUTPUT=form).failed(3).error["code"] == "project.not_found"
        )


def test_a_form_that_does_not_exist_is_refused_by_its_name(strongroom: Strongroom) -> None:
    assert "STRONGROOM_OUTPUT" in strongroom("node", "list", STRONGROOM_OUTPUT="xml").failed(2).err
    assert "xml" in strongroom("node", "list", "--output", "xml").failed(2).err


@pytest.mark.parametrize(
    ("line", "variable", "form"),
    [
        ("node list", "", Output.TABLE),
        ("node list --json", "", Output.JSON),
        ("--json node list", "", Output.JSON),
        ("node list --output ndjson", "json", Output.NDJSON),
        ("node list --output=ndjson", "", Output.NDJSON),
        ("node list -o json", "", Output.JSON),
        ("node list --output", "", Output.TABLE),
        ("node list --output table", "json", Output.TABLE),
        ("backup download acme/orders/latest --output dir", "", Output.TABLE),
        ("node list -- --json", "", Output.TABLE),
        ("node list", "ndjson", Output.NDJSON),
        ("node list", "nonsense", Output.TABLE),
        ("", "", Output.TABLE),
    ],
)
def test_the_form_of_errors_is_known_before_the_line_is_understood(line: str, variable: str, form: Output) -> None:
    assert foreseen_output(line.split(), {"STRONGROOM_OUTPUT": variable}) is form


def test_what_is_given_beats_what_the_environment_says() -> None:
    assert chosen_output(Output.TABLE, {"STRONGROOM_OUTPUT": "json"}) is Output.TABLE
    assert chosen_output(None, {"STRONGROOM_OUTPUT": "json"}) is Output.JSON
    with pytest.raises(InvalidInput):
        chosen_output(None, {"STRONGROOM_OUTPUT": "yaml"})


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, None),
        ({"NO_COLOR": ""}, None),
        ({"NO_COLOR": "1"}, False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
        ({"FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": "0"}, None),
        ({"CLICOLOR_FORCE": "1", "CLICOLOR": "0"}, True),
        ({"CLICOLOR": "0"}, False),
        ({"CLICOLOR": "1"}, None),
    ],
)
def test_colours_follow_the_environment(environ: dict[str, str], wanted: bool | None) -> None:
    assert wants_colour(environ) is wanted


def test_colours_can_be_had_in_a_pipe_and_done_without_on_a_terminal(strongroom: Strongroom, node: str) -> None:
    argv = ("node", "list")
    assert "\x1b" not in strongroom(*argv).ok().out
    forced = strongroom(*argv, FORCE_COLOR="1").ok().out
    assert COLOUR.search(forced)
    assert re.sub(r"\x1b\[[0-9;]*m", "", forced).startswith("NODE ")
    assert COLOUR.search(strongroom.on_terminal(*argv).ok().out)
    assert not COLOUR.search(strongroom.on_terminal(*argv, "--no-color").ok().out)
    assert not COLOUR.search(strongroom.on_terminal(*argv, NO_COLOR="1").ok().out)
    assert not COLOUR.search(strongroom.on_terminal(*argv, CLICOLOR="0").ok().out)
    assert not COLOUR.search(strongroom("--no-color", *argv, FORCE_COLOR="1").ok().out)
    assert not COLOUR.search(strongroom.on_terminal("--help", "--no-color").ok().out)


@given(st.dictionaries(st.text(), st.text() | st.integers()))
def test_a_document_holds_the_same_without_anything_that_a_terminal_obeys(document: dict[str, Any]) -> None:
    encoded = msgspec.json.format(msgspec.json.encode(document), indent=2).decode()
    safe = escaped(encoded)
    assert json.loads(safe) == document
    assert all(character == "\n" or character.isprintable() for character in safe)


@given(st.text(alphabet=st.characters(codec="utf-8")), st.booleans())
def test_nothing_that_is_shown_moves_a_cursor_or_turns_text_around(text: str, one_line: bool) -> None:
    shown = visible(text, one_line=one_line)
    assert all(character.isprintable() or (character == "\n" and not one_line) for character in shown)


def test_what_a_view_forgot_to_make_visible_reaches_no_terminal() -> None:
    stream = io.StringIO()
    console = console_for(stream)
    console.print(Text("\x1b[2Jcleared\x9b31m\nnext"))
    console.print(Text("a\x07b", style="bad"), soft_wrap=True)
    table = Table.grid()
    table.add_row("\x1b]0;title\x07")
    console.print(table)
    assert all(character == "\n" or character.isprintable() for character in stream.getvalue())
    assert "\\x1b[2Jcleared\\x9b31m\nnext\n" in stream.getvalue()
