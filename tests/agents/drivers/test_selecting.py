"""Which objects a backup takes, by the patterns of a service's options."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.drivers.selecting import select
from contracts.errors import RunFailed

NAMES = ["orders", "orders-2025", "users", "Users", "a[b]", "*", "größe"]


@pytest.mark.parametrize(
    ("include", "exclude", "chosen"),
    [
        ([], [], NAMES),
        (["orders"], [], ["orders"]),
        (["orders*"], [], ["orders", "orders-2025"]),
        (["orders*"], ["*-2025"], ["orders"]),
        ([], ["orders*", "*sers"], ["a[b]", "*", "größe"]),
        (["[uU]sers"], [], ["users", "Users"]),
        (["users"], [], ["users"]),
        (["gr??e"], [], ["größe"]),
        (["a[b]"], [], ["a[b]"]),
        ([], ["a[b]"], [name for name in NAMES if name != "a[b]"]),
        ([], ["*"], []),
        (["users", "orders"], [], ["orders", "users"]),
        (["users", "users"], ["nothing like it"], ["users"]),
    ],
)
def test_what_matches_is_taken_in_the_engines_order(include: list[str], exclude: list[str], chosen: list[str]) -> None:
    assert select(NAMES, include, exclude, what="index") == (chosen, [])


def test_a_pattern_without_a_match_is_a_warning() -> None:
    assert select(NAMES, ["logs-*", "users"], [], what="index") == (["users"], ["no index matches --include 'logs-*'"])


def test_a_name_without_a_match_is_an_error_that_says_what_there_is() -> None:
    with pytest.raises(RunFailed) as caught:
        select(NAMES, ["order"], [], what="collection")
    assert caught.value.code == "engine.database_not_found"
    assert "collection 'order'" in caught.value.message
    assert "'orders', 'orders-2025'" in caught.value.message


def test_an_engine_without_anything_says_so() -> None:
    with pytest.raises(RunFailed, match="there are none"):
        select([], ["order"], [], what="stream")
    assert select([], [], [], what="stream") == ([], [])


def test_of_very_many_names_only_some_are_told() -> None:
    with pytest.raises(RunFailed) as caught:
        select((f"n{number}" for number in range(10_000)), ["m"], [], what="index")
    assert len(caught.value.message) < 1000


@given(
    st.lists(st.text(max_size=5), unique=True),
    st.lists(st.text("*?[]ab", max_size=4)),
    st.lists(st.text("*?ab", max_size=4)),
)
def test_what_is_left_out_and_what_is_taken_is_everything(names: list[str], include: list[str], exclude: list[str]) -> None:
    patterns = [pattern for pattern in include if pattern in names or set(pattern) & set("*?[")]
    taken, _ = select(names, patterns, [], what="index")
    kept, _ = select(names, patterns, exclude, what="index")
    gone = [name for name in taken if name not in kept]
    assert set(kept) <= set(taken) <= set(names)
    assert select(gone, [], exclude, what="index")[0] == []
    assert set(kept) & set(exclude) == set()
