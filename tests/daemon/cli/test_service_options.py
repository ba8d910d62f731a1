"""Options of services on the command line: each kind's own, checked before anything is asked."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from contracts.errors import InvalidInput
from contracts.services import OPTIONS_BY_KIND, MariaDBOptions, NATSOptions, kind_of
from daemon.cli.app import whole_app
from daemon.cli.service_options import changed_options, kind_parameters, new_options


def test_no_option_of_any_kind_is_out_of_reach() -> None:
    fields = {name for options in OPTIONS_BY_KIND.values() for name in options.__struct_fields__}
    assert {parameter.name for parameter in kind_parameters()} == {f"option_{name}" for name in fields}


@pytest.mark.parametrize("kind", OPTIONS_BY_KIND)
def test_a_kind_alone_has_its_defaults(kind: str) -> None:
    options = new_options(kind, {"option_include": None})
    assert kind_of(options) == kind
    assert options == OPTIONS_BY_KIND[kind]()


def test_what_is_given_takes_the_place_of_the_default() -> None:
    given = {"option_method": "logical", "option_include": ["shop*"], "option_users": False, "option_parallel": 3}
    wanted = MariaDBOptions(method="logical", include=["shop*"], users=False, parallel=3)
    assert new_options("mariadb", given) == wanted


def test_what_is_not_given_stays_and_an_empty_text_empties_a_list() -> None:
    before = NATSOptions(include=["ORDERS"], exclude=["KV_*"], consumers=False)
    assert changed_options(before, {"option_include": [""], "option_exclude": None}) == NATSOptions(
        exclude=["KV_*"], consumers=False
    )


@pytest.mark.parametrize(
    ("kind", "given", "field", "words"),
    [
        ("nats", {"option_slices": 3}, "slices", "--slices is for elasticsearch services, and this one is nats"),
        ("qdrant", {"option_method": "physical"}, "method", "postgresql and mariadb"),
        ("shared-storage", {"option_include": ["x"]}, "include", "--include is for"),
        ("elasticsearch", {"option_slices": 99}, "slices", "--slices"),
        ("postgresql", {"option_method": "magic"}, "method", "--method"),
        ("oracle", {}, "kind", "postgresql, mariadb, qdrant"),
    ],
)
def test_wrong_options_are_named(kind: str, given: dict[str, object], field: str, words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        new_options(kind, given)
    assert caught.value.code == "input.invalid"
    assert caught.value.field == field
    assert words in caught.value.message


def test_a_physical_backup_cannot_leave_databases_out() -> None:
    with pytest.raises(InvalidInput, match="a physical backup has all databases"):
        new_options("postgresql", {"option_method": "physical", "option_exclude": ["x"]})


def test_help_has_every_kind_with_its_options() -> None:
    page = CliRunner().invoke(whole_app(), ["service", "add", "--help"]).output
    words = " ".join(page.split())
    for kind in OPTIONS_BY_KIND:
        assert f" {kind} " in words
    for flag in ("--include", "--method", "--slices", "--no-consumers", "--dump-timeout", "--changed-limit", "--no-users"):
        assert flag in words
