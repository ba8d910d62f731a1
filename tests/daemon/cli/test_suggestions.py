"""Whoever mistypes a command or a name is told what there is that is like it."""

from __future__ import annotations

import pytest

from daemon.cli.suggestions import close
from tests.daemon.cli.calling import Strongroom


def test_names_that_are_like_it_are_told(strongroom: Strongroom, project: str, node: str) -> None:
    strongroom("service", "add", f"{project}/orders", "--kind", "postgresql", "--node", node).ok()
    assert f"did you mean {project}/orders?" in strongroom("service", "show", f"{project}/ordres").failed(3).err
    assert f"did you mean {project}?" in strongroom("project", "show", f"{project}x").failed(3).err
    assert f"did you mean {node}" in strongroom("node", "remove", "nde-2", "--yes").failed(3).err
    nothing = strongroom("service", "show", f"{project}/something-else").failed(3).err
    assert "did you mean" not in nothing
    assert "`strongroom service list` shows the services" in nothing


def test_programs_are_told_the_coordinators_own_sentence(strongroom: Strongroom, project: str) -> None:
    error = strongroom("project", "show", f"{project}x", "--json").failed(3).error
    assert "mean" not in error["message"]


def test_commands_and_options_that_are_like_it_are_told(strongroom: Strongroom) -> None:
    assert "Did you mean 'status'?" in strongroom("statsu").failed(2).err
    assert "Did you mean 'create'?" in strongroom("backup", "creat").failed(2).err
    assert "--limit" in strongroom("backup", "list", "--limt", "5").failed(2).err


@pytest.mark.parametrize(
    ("wanted", "there", "meant"),
    [
        ("ordres", ["orders", "invoices"], ["orders"]),
        ("inv", ["orders", "invoices"], ["invoices"]),
        ("x", ["xylophone"], []),
        ("acme", [], []),
        ("shop", ["shop1", "shop2", "shop3", "shop4"], 3),
    ],
)
def test_what_is_like_it_is_begun_alike_or_differs_in_little(wanted: str, there: list[str], meant: list[str] | int) -> None:
    found = close(wanted, there)
    assert len(found) == meant if isinstance(meant, int) else found == meant
