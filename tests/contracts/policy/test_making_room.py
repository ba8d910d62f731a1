"""Which backups may go so that a new one fits: no more than must, and never one that a policy insists on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from random import Random
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.policy.making_room import Freed, plan_room
from contracts.policy.retention import Minimums, RetentionPlan, RetentionPolicy, RunFacts, Verdict, plan
from contracts.records import RunState
from tests.contracts.policy.histories import NOW, exploring, histories, policies, relaxed, repeat_until, run


class Case(NamedTuple):
    """Services and their plans by name, of which `orders` needs the room."""

    histories: dict[str, tuple[list[RunFacts], RetentionPolicy]]
    plans: dict[str, RetentionPlan]
    needed_bytes: int

    @property
    def chosen(self) -> Sequence[Freed]:
        return plan_room(self.plans, self.needed_bytes, "orders")


@st.composite
def cases(draw: st.DrawFn) -> Case:
    found: dict[str, tuple[list[RunFacts], RetentionPolicy]] = {}
    for name in draw(st.sets(st.sampled_from(["orders", "users", "mail"]))):
        runs, policy = draw(histories(most=15)), draw(policies())
        if draw(st.integers(0, 3)):
            # Most are healthy and hold little by force, or there would hardly ever be room to make.
            runs = [run for run in runs if run.state not in (RunState.FAILED, RunState.MISSED)]
            minimums = Minimums(daily=draw(st.integers(0, 1)), weekly=0, monthly=0)
            policy = msgspec.structs.replace(policy, minimums=minimums, suspicious_size_factor=0.0)
        found[name] = (runs, policy)
    plans = {name: plan(runs, policy, NOW) for name, (runs, policy) in found.items()}
    could_free = sum(verdict.run.size_bytes for planned in plans.values() for verdict in may_go(planned))
    return Case(found, plans, draw(st.integers(0, could_free + could_free // 5 + 1)))


def size(freed: Sequence[Freed]) -> int:
    return sum(verdict.run.size_bytes for _, verdict in freed)


def ids(verdicts: Sequence[Verdict]) -> set[str]:
    return {verdict.run.id for verdict in verdicts}


def newest_of(planned: RetentionPlan) -> RunFacts | None:
    """The newest completed backup that is to stay."""
    return max((verdict.run for verdict in planned.kept), key=lambda run: (run.at, run.id), default=None)


def may_go(planned: RetentionPlan) -> list[Verdict]:
    """Newest first."""
    if planned.freeze is not None:
        return []
    return [
        verdict
        for verdict in planned.verdicts
        if verdict.rule == "within_limits" and verdict.run != newest_of(planned) and verdict.run.size_bytes
    ]


@relaxed
@given(cases())
def test_what_goes_is_a_completed_backup_that_no_policy_insists_on(case: Case) -> None:
    for service, verdict in case.chosen:
        planned, (_, policy) = case.plans[service], case.histories[service]
        assert planned.freeze is None
        assert verdict in planned.kept
        assert verdict.run.state is RunState.COMPLETED
        assert verdict.run.at <= NOW
        assert verdict.rule not in ("protected", "minimum", "frozen")
        assert not set(verdict.run.tags) & set(policy.protected_tags)


@relaxed
@given(cases())
def test_the_newest_backup_of_every_service_stays(case: Case) -> None:
    gone = {(service, verdict.run.id) for service, verdict in case.chosen}
    for service, (runs, _) in case.histories.items():
        completed = [run for run in runs if run.state is RunState.COMPLETED and run.at <= NOW]
        newest = max(completed, key=lambda run: (run.at, run.id), default=None)
        assert newest is None or (service, newest.id) not in gone
        # Where the policy itself does not keep that one, the newest that it does keep.
        left = newest_of(case.plans[service])
        assert left is None or (service, left.id) not in gone


@relaxed
@given(cases())
def test_it_frees_what_is_needed_or_nothing_at_all(case: Case) -> None:
    could_free = sum(verdict.run.size_bytes for planned in case.plans.values() for verdict in may_go(planned))
    if could_free < case.needed_bytes:
        assert case.chosen == []
    else:
        assert size(case.chosen) >= case.needed_bytes


@relaxed
@given(cases())
def test_no_more_goes_than_is_necessary(case: Case) -> None:
    assert not case.chosen or size(case.chosen[:-1]) < case.needed_bytes
    assert all(verdict.run.size_bytes for _, verdict in case.chosen)
    assert len({(service, verdict.run.id) for service, verdict in case.chosen}) == len(case.chosen)


@relaxed
@given(cases())
def test_others_give_only_when_the_service_that_needs_the_room_has_given_all_it_can(case: Case) -> None:
    own = [verdict for service, verdict in case.chosen if service == "orders"]
    others = [service for service, _ in case.chosen if service != "orders"]
    assert [service for service, _ in case.chosen] == ["orders"] * len(own) + others
    if others and "orders" in case.plans:
        assert own == may_go(case.plans["orders"])[::-1]


@relaxed
@given(cases())
def test_the_oldest_go_first(case: Case) -> None:
    for of_orders in (True, False):
        ages = [verdict.run.at for service, verdict in case.chosen if (service == "orders") is of_orders]
        assert ages == sorted(ages)
    others_left = []
    for name, planned in case.plans.items():
        oldest_first = may_go(planned)[::-1]
        gone = [verdict for service, verdict in case.chosen if service == name]
        assert gone == oldest_first[: len(gone)]
        if name != "orders":
            others_left += oldest_first[len(gone) :]
    others_gone = [verdict for service, verdict in case.chosen if service != "orders"]
    assert all(gone.run.at <= left.run.at for gone in others_gone for left in others_left)


@relaxed
@given(cases(), st.randoms(use_true_random=False))
def test_the_order_in_which_services_are_named_does_not_matter(case: Case, random: Random) -> None:
    plans = list(case.plans.items())
    random.shuffle(plans)
    assert plan_room(dict(plans), case.needed_bytes, "orders") == case.chosen


@relaxed
@given(cases())
def test_what_is_left_is_kept_by_the_policy_as_before(case: Case) -> None:
    """Making room takes no step of retention's: nothing more expires because of it."""
    for name, (runs, policy) in case.histories.items():
        gone = {verdict.run.id for service, verdict in case.chosen if service == name}
        left = plan([run for run in runs if run.id not in gone], policy, NOW)
        assert ids(left.expired) <= ids(case.plans[name].expired)
        assert {verdict.run.id for verdict in left.kept if verdict.rule == "minimum"} >= {
            verdict.run.id for verdict in case.plans[name].kept if verdict.rule == "minimum"
        }


def test_the_cases_of_these_tests_reach_every_outcome() -> None:
    outcomes: Counter[str] = Counter()

    @exploring
    @given(cases())
    def collect(case: Case) -> None:
        from_whom = {"own" if service == "orders" else "others" for service, _ in case.chosen}
        outcomes[" and ".join(sorted(from_whom)) or ("not enough" if case.needed_bytes else "not needed")] += 1
        outcomes["frozen"] += any(planned.freeze is not None for planned in case.plans.values())

    expected = {"own", "others", "others and own", "not enough", "not needed", "frozen"}
    repeat_until(lambda: set(+outcomes) == expected, collect)
    assert set(+outcomes) == expected


NOTHING_HELD = RetentionPolicy(minimums=Minimums(daily=0, weekly=0, monthly=0))


def service(text: str, policy: RetentionPolicy = NOTHING_HELD) -> RetentionPlan:
    """A plan of backups written as `05=10 04=20!`: day of November, bytes, and `!` for a protected one."""
    runs = []
    for word in text.split():
        day, _, bytes_ = word.partition("=")
        tags = ["protected"] if bytes_.endswith("!") else []
        runs.append(run(f"2026-11-{day}T00:30", tags, size_bytes=int(bytes_.rstrip("!"))))
    return plan(runs, policy, NOW)


def words(freed: Sequence[Freed]) -> str:
    return " ".join(f"{name}:{verdict.run.at:%d}" for name, verdict in freed)


QUIET = RetentionPolicy(minimums=NOTHING_HELD.minimums, suspicious_size_factor=0)
HOLDING = RetentionPolicy(minimums=Minimums(daily=2, weekly=0, monthly=0), suspicious_size_factor=0)


@pytest.mark.parametrize(
    ("orders", "users", "needed", "gone"),
    [
        ("05=10 04=10 03=10", "", 0, ""),
        ("05=10 04=10 03=10", "", 1, "orders:03"),
        ("05=10 04=10 03=10", "", 10, "orders:03"),
        ("05=10 04=10 03=10", "", 11, "orders:03 orders:04"),
        ("05=10 04=10 03=10", "", 21, ""),
        ("05=10", "", 1, ""),
        ("", "", 1, ""),
        ("05=10 04=10 03=10!", "", 10, "orders:04"),
        ("05=10! 04=10 03=10", "", 20, "orders:03 orders:04"),
        ("05=10 04=10 03=0", "", 5, "orders:04"),
        ("05=10 04=10", "03=10 02=10 01=10", 10, "orders:04"),
        ("05=10 04=10", "03=10 02=10 01=10", 15, "orders:04 users:01"),
        ("05=10 04=10", "03=10 02=10 01=10", 30, "orders:04 users:01 users:02"),
        ("05=10 04=10", "03=10 02=10 01=10", 31, ""),
        ("", "03=10 02=10", 10, "users:02"),
    ],
)
def test_what_goes_for_orders(orders: str, users: str, needed: int, gone: str) -> None:
    plans: Mapping[str, RetentionPlan] = {"users": service(users, QUIET), "orders": service(orders, QUIET)}
    assert words(plan_room(plans, needed, "orders")) == gone


def test_a_frozen_service_gives_nothing_and_the_others_do() -> None:
    frozen = service("05=1 04=10 03=10 02=10")
    assert frozen.freeze is not None
    assert words(plan_room({"orders": frozen, "users": service("03=10 02=10")}, 10, "orders")) == "users:02"
    assert plan_room({"orders": frozen, "users": service("03=10 02=10")}, 11, "orders") == []


def test_what_a_minimum_holds_stays_though_no_room_can_be_made() -> None:
    runs = [run(f"2026-11-0{day}T00:30", ["daily"], is_automatic=True, size_bytes=10) for day in (5, 4, 3, 2)]
    plans = {"orders": plan(runs, HOLDING, NOW)}
    assert words(plan_room(plans, 20, "orders")) == "orders:02 orders:03"
    assert plan_room(plans, 21, "orders") == []


def test_a_service_without_a_plan_gets_its_room_from_the_others() -> None:
    assert words(plan_room({"users": service("03=10 02=10")}, 10, "orders")) == "users:02"


def test_equally_old_ones_of_different_services_go_in_the_order_of_their_names() -> None:
    plans = {name: service("03=10 02=10 01=10") for name in ("users", "mail")}
    assert words(plan_room(plans, 40, "orders")) == "mail:01 users:01 mail:02 users:02"
