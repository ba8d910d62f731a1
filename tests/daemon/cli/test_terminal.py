"""What a person sees on a terminal, and what a program gets instead."""

from __future__ import annotations

import re

from tests.daemon.cli.calling import Strongroom

COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-7]m")
CURSOR_SHOWN = "\x1b[?25h"


def test_colours_are_for_terminals_that_want_them(strongroom: Strongroom, node: str) -> None:
    assert COLOUR.search(strongroom.on_terminal("node", "list").ok().out)
    assert not COLOUR.search(strongroom.on_terminal("node", "list", NO_COLOR="1").ok().out)
    assert "\x1b" not in strongroom("node", "list").ok().out
    assert "\x1b" not in strongroom("project", "show", "nowhere").failed(3).err
    assert "\x1b" not in strongroom("--help").ok().out


def test_lines_fit_the_terminal_and_names_stay_whole(strongroom: Strongroom, project: str, node: str) -> None:
    service = f"{project}/a-service-with-quite-a-long-name"
    strongroom("service", "add", service, "--kind", "postgresql", "--node", node).ok()
    for columns in (60, 80, 200):
        lines = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", strongroom.on_terminal("service", "list", columns=columns).ok().out)
        assert service in lines
        assert max(len(line) for line in lines.splitlines()) <= columns


def test_a_document_is_indented_for_a_person_and_one_line_for_a_program(strongroom: Strongroom) -> None:
    assert '\n  "nodes"' in strongroom.on_terminal("node", "list", "--json").ok().out
    assert len(strongroom("node", "list", "--json").ok().out.splitlines()) == 1


def test_progress_is_drawn_and_leaves_the_terminal_as_it_was(strongroom: Strongroom, service: str) -> None:
    seen = strongroom.on_terminal("backup", "create", service).ok().out
    assert f"Backing up {service} on node-1" in seen
    assert "so far" in seen
    assert seen.rindex(CURSOR_SHOWN) < seen.rindex("✓ ")
    last = seen[seen.rindex(CURSOR_SHOWN) :]
    assert "2 artifacts" in last
    assert "Backing up" not in last


def test_a_reader_that_goes_away_ends_the_command_quietly(strongroom: Strongroom) -> None:
    for argv in (("--help",), ("project", "list"), ("node", "list", "--json"), ("events", "--json"), ("--version",)):
        ended = strongroom.into_closed_pipe(*argv)
        assert (ended.status, ended.err) == (141, ""), argv


def test_names_that_the_locale_cannot_spell_do_not_end_a_command(strongroom: Strongroom) -> None:
    ended = strongroom("status", LC_ALL="C", PYTHONIOENCODING="ascii")
    assert ended.status in (0, 1, 2)
    assert "coordinator" in ended.out
