"""What becomes of configurations; pure."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.drivers.nats.configs import isolated_config, lighter_config, listening, name_fault, overlap, placed_config
from agents.drivers.nats.streams import StreamInfo


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("orders", "orders", True),
        ("orders", "order", False),
        ("orders.*", "orders.new", True),
        ("orders.*", "orders.new.eu", False),
        ("orders.>", "orders.new.eu", True),
        ("orders.>", "orders", False),
        ("*.new", "orders.*", True),
        ("*.new", "orders.old", False),
        (">", "anything.at.all", True),
        ("a.*.c", "a.b.>", True),
        ("a.b", "a.b.c", False),
    ],
)
def test_subjects_overlap_when_one_message_can_match_both(one: str, other: str, expected: bool) -> None:
    assert overlap(one, other) is expected
    assert overlap(other, one) is expected


_TOKENS = ("a", "b")


def _matches(pattern: str, subject: str) -> bool:
    wanted, tokens = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        return len(tokens) >= len(wanted) and _matches(
            ".".join([*wanted[:-1], *["*"] * (len(tokens) - len(wanted) + 1)]), subject
        )
    return len(wanted) == len(tokens) and all(w in ("*", t) for w, t in zip(wanted, tokens, strict=True))


@st.composite
def _patterns(draw: st.DrawFn) -> str:
    tokens = draw(st.lists(st.sampled_from(["a", "b", "*"]), min_size=1, max_size=3))
    return ".".join([*tokens, *([">"] if draw(st.booleans()) else [])])


@given(_patterns(), _patterns())
def test_overlapping_is_what_trying_all_subjects_says(one: str, other: str) -> None:
    subjects = [".".join(each) for size in range(1, 6) for each in itertools.product(_TOKENS, repeat=size)]
    assert overlap(one, other) == any(_matches(one, subject) and _matches(other, subject) for subject in subjects)


@pytest.mark.parametrize("name", ["", "a b", "a.b", "a*", "a>", "a/b", "a\\b", "a\tb", "a\x01b", "x" * 256, "ä" * 128])
def test_names_that_a_server_refuses_are_refused_before(name: str) -> None:
    assert name_fault(name)


@pytest.mark.parametrize("name", ["ORDERS", "KV_x", "ä-ö\"x'y$z", "-dash", "x" * 255])
def test_odd_names_are_fine(name: str) -> None:
    assert name_fault(name) == ""


def _stream(name: str, **config: Any) -> StreamInfo:
    return StreamInfo(config={"name": name, **config})


def test_a_stream_without_subjects_listens_to_its_name_unless_it_is_fed() -> None:
    assert listening({"name": "A"}) == ["A"]
    assert listening({"name": "A", "mirror": {"name": "B"}}) == []
    assert listening({"name": "A", "sources": [{"name": "B"}]}) == []
    assert listening({"name": "A", "sources": [{"name": "B"}], "subjects": ["a"]}) == ["a"]


def test_a_copy_that_would_take_the_originals_messages_gets_a_subject_of_its_own() -> None:
    original = {
        "name": "A",
        "subjects": ["a.>"],
        "republish": {"src": ">", "dest": "all.>"},
        "subject_transform": {"src": "a.>"},
    }
    config, warnings = placed_config(original, name="B", others=[_stream("A", subjects=["a.>"])])
    assert (config["name"], config["subjects"]) == ("B", ["strongroom.restored.B"])
    assert "republish" not in config
    assert "subject_transform" not in config
    assert len(warnings) == 1
    assert original["name"] == "A"


def test_a_mirror_may_stand_beside_another() -> None:
    mirror = {"name": "M", "mirror": {"name": "A"}}
    config, warnings = placed_config(
        mirror, name="M2", others=[_stream("A", subjects=["a.>"]), _stream("M", mirror={"name": "A"})]
    )
    assert config == {"name": "M2", "mirror": {"name": "A"}}
    assert warnings == []


def test_a_rehearsal_has_nothing_to_do_with_other_streams() -> None:
    config = isolated_config(
        {
            "name": "M",
            "mirror": {"name": "A"},
            "mirror_direct": True,
            "max_age": 5,
            "num_replicas": 3,
            "placement": {"tags": ["x"]},
        }
    )
    assert config == {
        "name": "M",
        "subjects": ["strongroom.restored.M"],
        "mirror_direct": False,
        "max_age": 0,
        "num_replicas": 1,
    }


@pytest.mark.parametrize(("replicas", "code", "fewer"), [(5, 10005, 3), (3, 10005, 1), (2, 10023, 1), (5, 10074, 1)])
def test_fewer_servers_get_fewer_replicas(replicas: int, code: int, fewer: int) -> None:
    lighter = lighter_config({"name": "A", "num_replicas": replicas, "placement": {"tags": ["x"]}}, code)
    assert lighter is not None
    assert lighter[0] == {"name": "A", "num_replicas": fewer, "placement": {"tags": ["x"]}}


def test_a_placement_that_fits_nowhere_is_dropped_last() -> None:
    lighter = lighter_config({"name": "A", "num_replicas": 1, "placement": {"tags": ["x"]}}, 10005)
    assert lighter is not None
    assert lighter[0]["placement"] is None
    assert lighter_config({"name": "A", "num_replicas": 1}, 10005) is None
    assert lighter_config({"name": "A", "num_replicas": 3}, 10047) is None
