"""Which node does the work, and why, decided without a server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import InvalidInput, Unavailable
from contracts.ids import due_run_id
from contracts.records import Alive, EngineHealth, ServiceRecord
from contracts.services import PostgreSQLOptions
from daemon.runs.placement import MOST_LAG_S, Placement, find_fault, place_at_last, place_due, place_requested

START = datetime(2026, 3, 1, 0, 30, tzinfo=UTC)
RUN = due_run_id("acme", "orders", START)
RUNS = [due_run_id("acme", "orders", START + timedelta(days=number)) for number in range(3000)]

PRIMARY = EngineHealth(reachable=True, role="primary")
REPLICA = EngineHealth(reachable=True, role="replica", lag_s=2.0)
LAGGING = EngineHealth(reachable=True, role="replica", lag_s=MOST_LAG_S + 1)
UNREACHABLE = EngineHealth(reachable=False)
IN_RECOVERY = EngineHealth(reachable=True, role="recovering")
PARTIAL = EngineHealth(reachable=True, missing_shards=["points/2", "points/5"])
WITHOUT_ROLES = EngineHealth(reachable=True)

FAULTS = {
    "its agent is not configured for the service": None,
    "it does not reach the engine": UNREACHABLE,
    "it does not hold all data: points/2, points/5 missing": PARTIAL,
    "the engine there is recovering": IN_RECOVERY,
    "it is 301 s behind": LAGGING,
}
"""Everything that is wrong with a node, by the words for it."""


def service(*nodes: str) -> ServiceRecord:
    return ServiceRecord(project="acme", name="orders", created_at=START, options=PostgreSQLOptions(), nodes=list(nodes))


def alive(**nodes: EngineHealth | None) -> dict[str, Alive]:
    """Heartbeats by node; None for an agent that is not configured for the service."""
    return {
        node: Alive(node=node, seen_at=START, services={} if health is None else {"acme/orders": health})
        for node, health in nodes.items()
    }


def drawn(nodes: Sequence[str], *, without: Sequence[str] = ()) -> dict[str, str]:
    """The node of each run, of healthy ones."""
    heartbeats = alive(**dict.fromkeys(nodes, REPLICA))
    places = {run: place_due(service(*nodes), heartbeats, run, without=without) for run in RUNS}
    return {run: place.node for run, place in places.items() if place is not None}


def test_a_run_that_is_asked_for_goes_to_the_primary() -> None:
    place = place_requested(service("a", "b", "c"), alive(a=REPLICA, b=PRIMARY, c=REPLICA))
    assert place == Placement("b", "the primary")


def test_where_no_primary_is_alive_it_goes_to_the_first_healthy_replica_of_the_list() -> None:
    place = place_requested(service("a", "b", "c"), alive(c=REPLICA, b=REPLICA))
    assert place == Placement("b", "a replica: the primary's agent is not alive or does not reach it")


def test_where_the_engine_knows_no_roles_it_goes_to_the_first_healthy_node_of_the_list() -> None:
    place = place_requested(service("b", "c", "a"), alive(a=WITHOUT_ROLES, b=PARTIAL, c=WITHOUT_ROLES))
    assert place == Placement("c", "the first healthy node of the service's list")


def test_a_node_that_is_asked_for_by_name_is_taken_whatever_its_health() -> None:
    for health in (PRIMARY, REPLICA, *FAULTS.values()):
        assert place_requested(service("a", "b"), alive(a=PRIMARY, b=health), "b") == Placement("b", "asked for by name")


def test_a_node_that_does_not_serve_the_service_is_refused_with_those_that_do() -> None:
    with pytest.raises(InvalidInput, match="its nodes are a, b") as caught:
        place_requested(service("a", "b"), alive(a=PRIMARY, c=PRIMARY), "c")
    assert (caught.value.code, caught.value.field) == ("input.invalid", "node")


def test_a_node_that_is_asked_for_and_not_alive_is_not_replaced_by_another() -> None:
    with pytest.raises(Unavailable, match="the agent on node 'b' is not alive") as caught:
        place_requested(service("a", "b"), alive(a=PRIMARY), "b")
    assert caught.value.code == "node.unavailable"


def test_without_any_agent_alive_the_error_says_where_to_start_one() -> None:
    with pytest.raises(Unavailable, match="start strongroom-agent on a or b") as caught:
        place_requested(service("a", "b"), alive(c=PRIMARY))
    assert caught.value.code == "node.unavailable"


def test_with_unhealthy_nodes_only_the_least_bad_is_taken_and_its_fault_told() -> None:
    """So that the run fails with the engine's own reason, at once, before the eyes of whoever asked."""
    for nodes, best, fault in (
        (alive(a=UNREACHABLE, b=LAGGING), "b", "it is 301 s behind"),
        (alive(a=None, b=UNREACHABLE), "b", "it does not reach the engine"),
        (alive(a=None, b=None), "a", "its agent is not configured for the service"),
        (alive(a=EngineHealth(reachable=True, role="replica", lag_s=9000), b=LAGGING), "b", "it is 301 s behind"),
    ):
        assert place_requested(service("a", "b"), nodes) == Placement(best, f"no better node is alive, though {fault}")


def test_the_only_node_of_a_service_is_no_choice_and_its_fault_is_told() -> None:
    only = service("a")
    assert place_requested(only, alive(a=PRIMARY)).reason == "the only node of the service"
    assert (
        place_requested(only, alive(a=UNREACHABLE)).reason
        == "the only node of the service, though it does not reach the engine"
    )


@pytest.mark.parametrize(("fault", "health"), FAULTS.items(), ids=[fault.split(":")[0] for fault in FAULTS])
def test_a_run_that_is_due_never_goes_to_an_unhealthy_node(fault: str, health: EngineHealth | None) -> None:
    assert find_fault(health) == fault
    for run in RUNS[:50]:
        place = place_due(service("a", "b"), alive(a=health, b=REPLICA), run)
        assert place == Placement("b", "the only healthy node, replica")
        assert place_due(service("a"), alive(a=health), run) is None


def test_primaries_near_replicas_and_engines_without_roles_are_healthy() -> None:
    at_the_limit = EngineHealth(reachable=True, role="replica", lag_s=MOST_LAG_S)
    for health in (PRIMARY, REPLICA, WITHOUT_ROLES, at_the_limit, msgspec.structs.replace(REPLICA, lag_s=None)):
        assert find_fault(health) == ""


def test_only_five_missing_parts_are_named() -> None:
    scattered = EngineHealth(reachable=True, missing_shards=[f"points/{number}" for number in range(100)])
    assert find_fault(scattered).count("points/") == 5


def test_a_run_that_is_due_waits_while_no_agent_is_alive() -> None:
    assert place_due(service("a", "b"), {}, RUN) is None
    assert place_due(service("a", "b"), alive(elsewhere=PRIMARY), RUN) is None


@pytest.mark.parametrize("count", [2, 3, 5])
def test_over_many_runs_every_healthy_node_gets_its_share(count: int) -> None:
    """Of 3,000 runs the share of one of `count` nodes strays by 30 or less in two of three cases; 150 would be a bias."""
    nodes = [f"node-{number}" for number in range(count)]
    shares = Counter(drawn(nodes).values())
    assert set(shares) == set(nodes)
    assert all(abs(share - len(RUNS) / count) < 150 for share in shares.values()), shares


def test_the_same_run_goes_to_the_same_node_however_the_list_is_ordered() -> None:
    """Two coordinators that request the same run must not give it to two nodes."""
    assert drawn(["a", "b", "c"]) == drawn(["c", "a", "b"])


def test_a_node_that_joins_takes_runs_from_all_and_gives_none_to_others() -> None:
    before, after = drawn(["a", "b"]), drawn(["a", "b", "c"])
    moved = {run for run in RUNS if before[run] != after[run]}
    assert {after[run] for run in moved} == {"c"}
    assert {before[run] for run in moved} == {"a", "b"}


def test_nodes_that_were_tried_are_left_out_and_the_others_share_their_runs() -> None:
    remaining = drawn(["a", "b", "c"], without=["b"])
    assert remaining == drawn(["a", "c"])
    assert drawn(["a", "b"], without=["a", "b"]) == {}


def test_the_reason_of_a_drawn_node_tells_among_how_many_and_its_role() -> None:
    heartbeats = alive(a=REPLICA, b=REPLICA, c=UNREACHABLE)
    place = place_due(service("a", "b", "c"), heartbeats, RUN)
    assert place is not None
    assert place.reason == "drawn from 2 healthy nodes, replica"
    without_roles = place_due(service("a", "b"), alive(a=WITHOUT_ROLES, b=WITHOUT_ROLES), RUN)
    assert without_roles is not None
    assert without_roles.reason == "drawn from 2 healthy nodes, healthy"
    assert place_due(service("a"), alive(a=PRIMARY), RUN) == Placement("a", "the only node of the service")


def test_a_run_that_waited_long_enough_goes_to_the_least_bad_node() -> None:
    nodes = service("a", "b", "c")
    assert place_at_last(nodes, alive(a=None, b=UNREACHABLE, c=LAGGING)) == Placement(
        "c", "no better node is alive, though it is 301 s behind"
    )
    assert place_at_last(nodes, alive(a=None, b=UNREACHABLE, c=LAGGING), without=["c"]) == Placement(
        "b", "no better node is alive, though it does not reach the engine"
    )
    assert place_at_last(nodes, alive(a=PRIMARY)) == Placement("a", "the primary")
    assert place_at_last(nodes, {}) is None
    assert place_at_last(nodes, alive(a=PRIMARY), without=["a"]) is None


healths = st.none() | st.builds(
    EngineHealth,
    reachable=st.booleans(),
    role=st.sampled_from(["", "primary", "replica", "recovering"]),
    lag_s=st.none() | st.floats(0, 2 * MOST_LAG_S),
    missing_shards=st.lists(st.just("points/1"), max_size=1),
)


@given(st.dictionaries(st.sampled_from("abcdef"), healths), st.sets(st.sampled_from("abcdef")), st.sampled_from(RUNS))
def test_whatever_the_nodes_look_like_a_healthy_one_is_taken_where_there_is_one(
    seen: dict[str, EngineHealth | None], without: set[str], run: str
) -> None:
    nodes, heartbeats = service(*"abcd"), alive(**seen)
    eligible = {node for node in "abcd" if node in seen}
    healthy = {node for node in eligible if not find_fault(seen[node])}

    due = place_due(nodes, heartbeats, run, without=without)
    assert (due is not None) == bool(healthy - without)
    assert due is None or (due.node in healthy - without and due.reason)

    last = place_at_last(nodes, heartbeats, without=without)
    assert (last is not None) == bool(eligible - without)
    assert last is None or last.node in ((healthy - without) or (eligible - without))

    if eligible:
        asked = place_requested(nodes, heartbeats)
        assert asked.node in (healthy or eligible)
        assert ("though" in asked.reason) == (not healthy)
