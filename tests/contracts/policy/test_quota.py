"""The arithmetic of a quota: nothing is counted twice, nothing is lost, and no order of events passes the quota."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.policy import quota
from contracts.records import Reservation, UsageRecord
from tests.contracts.policy.histories import exploring, relaxed, repeat_until

EMPTY = UsageRecord(project="acme")
RUN, OTHER = "orders/1", "users/1"

Change = Callable[[UsageRecord], UsageRecord]


def total(usage: UsageRecord) -> int:
    return usage.stored_bytes + usage.reserved_bytes


def after(usage: UsageRecord, *changes: Change) -> UsageRecord:
    for change in changes:
        usage = change(usage)
    return usage


def reserve(estimate_bytes: int, run: str = RUN, of: int = 100) -> Change:
    return lambda usage: quota.reserve(usage, run, estimate_bytes, of)


def grant(wanted_bytes: int, artifact: str = "1", run: str = RUN, *, attempt: int = 1, of: int = 100) -> Change:
    return lambda usage: quota.grant(usage, run, attempt, artifact, wanted_bytes, of)


def close(size_bytes: int, artifact: str = "1", run: str = RUN, *, attempt: int = 1) -> Change:
    return lambda usage: quota.close(usage, run, attempt, artifact, size_bytes)


def abort(artifact: str = "1", run: str = RUN, *, attempt: int = 1) -> Change:
    return lambda usage: quota.abort(usage, run, attempt, artifact)


def commit(size_bytes: int, run: str = RUN) -> Change:
    return lambda usage: quota.commit(usage, run, size_bytes)


def drop(run: str = RUN) -> Change:
    return lambda usage: quota.drop(usage, run)


def release(size_bytes: int, run: str = RUN) -> Change:
    return lambda usage: quota.release(usage, run, size_bytes)


def forget(run: str = RUN) -> Change:
    return lambda usage: quota.forget_release(usage, run)


@pytest.mark.parametrize(
    ("changes", "stored", "reserved"),
    [
        ([reserve(30)], 0, 30),
        ([reserve(100)], 0, 100),
        ([reserve(101)], 0, 0),
        ([reserve(30), reserve(50)], 0, 30),
        ([reserve(60), reserve(60, OTHER)], 0, 60),
        ([reserve(60), reserve(40, OTHER)], 0, 100),
        ([reserve(30), grant(20)], 0, 30),
        ([reserve(30), grant(40)], 0, 40),
        ([reserve(30), grant(20), grant(25, "2")], 0, 45),
        ([reserve(30), grant(120)], 0, 100),
        ([reserve(30), reserve(50, OTHER), grant(120)], 0, 100),
        ([grant(20)], 0, 0),
        ([reserve(30), grant(40), close(10)], 0, 30),
        ([reserve(30), grant(80), grant(20, "2"), close(60)], 0, 80),
        ([reserve(30), grant(80), abort()], 0, 30),
        ([reserve(30), grant(80), grant(50, attempt=2)], 0, 50),
        ([reserve(30), grant(80, attempt=2), grant(90, attempt=1)], 0, 80),
        ([reserve(30), grant(80, attempt=2), close(10, attempt=1), abort(attempt=1)], 0, 80),
        ([reserve(30), grant(20), close(15), commit(15)], 15, 0),
        ([reserve(30), grant(20), drop()], 0, 0),
        ([reserve(30), drop(), commit(15)], 0, 0),
        ([reserve(30), commit(15), drop()], 15, 0),
        ([reserve(30), commit(15), release(15)], 0, 0),
        ([reserve(30), commit(15), release(15), forget()], 0, 0),
        ([reserve(30), release(15), commit(15)], 0, 0),
        ([reserve(30), commit(15), reserve(20, OTHER), release(15)], 0, 20),
        ([reserve(30, OTHER), commit(25, OTHER), reserve(30), release(15), commit(15)], 25, 0),
        ([reserve(30, OTHER), commit(25, OTHER), reserve(30), release(15), release(15), forget()], 25, 0),
    ],
)
def test_what_is_stored_and_reserved_of_100_bytes(changes: list[Change], stored: int, reserved: int) -> None:
    usage = after(EMPTY, *changes)
    assert (usage.stored_bytes, usage.reserved_bytes) == (stored, reserved)
    assert quota.free_bytes(usage, 100) == 100 - stored - reserved


@pytest.mark.parametrize(
    ("changes", "granted"),
    [
        ([], 0),
        ([grant(20)], 0),
        ([reserve(30)], 0),
        ([reserve(30), grant(20)], 20),
        ([reserve(30), grant(20), grant(15)], 20),
        ([reserve(30), grant(120)], 100),
        ([reserve(30), reserve(50, OTHER), grant(120)], 50),
        ([reserve(30), reserve(50, OTHER), grant(120), drop(OTHER), grant(120)], 100),
        ([reserve(30), grant(40, "2"), grant(120)], 60),
        ([reserve(30), grant(100, "2"), grant(1)], 0),
        ([reserve(30), grant(100, "2"), close(10, "2"), grant(120)], 90),
        ([reserve(30), grant(50), close(50)], 0),
        ([reserve(30), grant(100, attempt=2)], 0),
    ],
)
def test_what_an_artifact_may_have_of_100_bytes(changes: list[Change], granted: int) -> None:
    assert quota.granted_bytes(after(EMPTY, *changes), RUN, 1, "1") == granted


def test_a_later_attempt_has_the_room_of_the_one_before() -> None:
    usage = after(EMPTY, reserve(10), grant(60), close(50), grant(50, "2"), grant(120, attempt=2))
    assert quota.granted_bytes(usage, RUN, 2, "1") == 100
    assert quota.granted_bytes(usage, RUN, 1, "2") == 0


def test_a_quota_that_was_lowered_gives_out_nothing_more_than_is_held() -> None:
    usage = after(EMPTY, reserve(50), reserve(40, OTHER), grant(20))
    assert quota.free_bytes(usage, 60) == -30
    assert after(usage, reserve(1, "mail/1", of=60)) is usage
    lowered = after(usage, grant(80, of=60))
    assert quota.granted_bytes(lowered, RUN, 1, "1") == 20
    assert total(lowered) == total(usage)


def test_a_run_that_takes_less_than_its_estimate_holds_it_until_it_ends() -> None:
    held = Reservation(estimate_bytes=30, closed_bytes=5, open={"2": 10})
    assert (held.taken_bytes, held.held_bytes) == (15, 30)


def test_no_artifact_is_closed_with_more_than_it_was_granted() -> None:
    with pytest.raises(AssertionError, match="granted"):
        after(EMPTY, reserve(30), grant(20), close(21))


class Step(NamedTuple):
    """Something that happens to a project's usage, if it can happen then."""

    name: str
    run: str
    attempt: int
    artifact: str
    amount: int
    quota_bytes: int


RUNS = ("orders/1", "orders/2", "users/1")
ARTIFACTS = ("1", "2", "manifest")
_ARTIFACT_STORIES = (("grant", "close"), ("grant", "grant", "close"), ("grant", "close", "close"), ("grant", "abort"))
_ENDS = (("commit",), ("drop",), ("commit", "release", "forget"), ("release", "commit", "forget"), ())
_NAMES = ("reserve", "grant", "close", "abort", "commit", "drop", "release", "forget")


@st.composite
def events(draw: st.DrawFn, quotas: st.SearchStrategy[int]) -> list[Step]:
    """Whole lives of some runs, one among the other, and whatever else may happen between."""

    def step(name: str, run: str, artifact: str = "1", attempt: int = 1) -> Step:
        return Step(name, run, attempt, artifact, draw(st.integers(0, 60)), draw(quotas))

    def life(run: str) -> list[Step]:
        steps = [step("reserve", run)]
        for artifact in ARTIFACTS[: draw(st.integers(0, 3))]:
            attempt = draw(st.sampled_from([1, 1, 2]))
            steps += [step(name, run, artifact, attempt) for name in draw(st.sampled_from(_ARTIFACT_STORIES))]
        return steps + [step(name, run) for name in draw(st.sampled_from(_ENDS))]

    anything = [
        step(
            draw(st.sampled_from(_NAMES)),
            draw(st.sampled_from(RUNS)),
            draw(st.sampled_from(ARTIFACTS)),
            draw(st.sampled_from([1, 2])),
        )
        for _ in range(draw(st.integers(0, 10)))
    ]
    lines = [anything, *(life(run) for run in RUNS)]
    turns = draw(st.permutations([line for line in range(len(lines)) for _ in lines[line]]))
    return [lines[line].pop(0) for line in turns]


class Project:
    """Its usage, and a memory of what became of its runs: what callers know from their records."""

    def __init__(self) -> None:
        self.usage = EMPTY
        self.committed: dict[str, int] = {}
        self.given_back: dict[str, int] = {}
        self.ended: set[str] = set()
        self.forgotten: set[str] = set()

    def change_of(self, step: Step) -> Change | None:
        """What the step does; None for what no coordinator would do.

        Any operation may come again at any time, after a crash or from a coordinator that is late; but a run is asked for
        once, and only what completed is released.
        """
        held = self.usage.reserved.get(step.run)
        match step.name:
            case "reserve":
                return None if step.run in self.ended else reserve(step.amount, step.run, step.quota_bytes)
            case "grant":
                return grant(step.amount, step.artifact, step.run, attempt=step.attempt, of=step.quota_bytes)
            case "close":
                granted = quota.granted_bytes(self.usage, step.run, step.attempt, step.artifact)
                return close(min(step.amount, granted), step.artifact, step.run, attempt=step.attempt)
            case "abort":
                return abort(step.artifact, step.run, attempt=step.attempt)
            case "commit":
                return commit(held.closed_bytes if held else step.amount, step.run)
            case "drop":
                return drop(step.run)
            case "forget":
                return forget(step.run)
            case "release" if held is not None:
                return release(held.closed_bytes, step.run)
            case "release" if step.run in self.committed and step.run not in self.forgotten:
                return release(self.committed[step.run], step.run)
        return None

    def take(self, step: Step, change: Change) -> UsageRecord:
        """Makes the change; the usage before it."""
        before, self.usage = self.usage, change(self.usage)
        was_held = step.run in before.reserved
        if step.name in ("commit", "drop", "release") and was_held:
            self.ended.add(step.run)
        if step.name == "commit" and was_held:
            self.committed[step.run] = before.reserved[step.run].closed_bytes
        if step.name == "release" and not was_held:
            self.given_back[step.run] = self.committed[step.run]
        if step.name == "forget" and step.run in before.released:
            self.forgotten.add(step.run)
        return before

    def play(self, what_happens: Iterable[Step]) -> Iterable[tuple[Step, Change, UsageRecord]]:
        """Each step that could happen, with the usage before it; `usage` is the one after it."""
        for step in what_happens:
            change = self.change_of(step)
            if change is not None:
                yield step, change, self.take(step, change)


one_quota = st.integers(0, 200).flatmap(lambda quota_bytes: st.tuples(st.just(quota_bytes), events(st.just(quota_bytes))))
changing_quotas = events(st.integers(0, 200))


@relaxed
@given(one_quota)
def test_what_is_stored_and_reserved_never_passes_the_quota(case: tuple[int, list[Step]]) -> None:
    quota_bytes, what_happens = case
    project = Project()
    for _ in project.play(what_happens):
        assert total(project.usage) <= quota_bytes


@relaxed
@given(changing_quotas)
def test_a_quota_that_is_passed_because_it_was_lowered_is_not_passed_further(what_happens: list[Step]) -> None:
    project = Project()
    for step, _, before in project.play(what_happens):
        assert total(project.usage) <= max(step.quota_bytes, total(before))


@relaxed
@given(changing_quotas)
def test_every_operation_changes_nothing_when_it_is_repeated(what_happens: list[Step]) -> None:
    project = Project()
    for _, change, __ in project.play(what_happens):
        assert change(project.usage) is project.usage


@relaxed
@given(changing_quotas)
def test_an_operation_that_changes_nothing_answers_the_very_same_record(what_happens: list[Step]) -> None:
    project = Project()
    for _, __, before in project.play(what_happens):
        assert project.usage is before or project.usage != before


@relaxed
@given(changing_quotas)
def test_what_is_stored_is_what_was_committed_and_not_released(what_happens: list[Step]) -> None:
    project = Project()
    for _ in project.play(what_happens):
        assert project.usage.stored_bytes == sum(project.committed.values()) - sum(project.given_back.values())


@relaxed
@given(changing_quotas)
def test_an_operation_touches_no_other_run(what_happens: list[Step]) -> None:
    project = Project()
    for step, _, before in project.play(what_happens):
        for run in before.reserved.keys() | project.usage.reserved.keys():
            assert run == step.run or project.usage.reserved.get(run) == before.reserved.get(run)


@relaxed
@given(changing_quotas)
def test_a_run_that_has_ended_holds_nothing_and_never_will(what_happens: list[Step]) -> None:
    project = Project()
    for _ in project.play(what_happens):
        assert not project.ended & project.usage.reserved.keys()


@relaxed
@given(changing_quotas)
def test_a_grant_never_takes_back_and_is_cut_only_where_the_quota_ends(what_happens: list[Step]) -> None:
    project = Project()
    for step, _, before in project.play(what_happens):
        held = project.usage.reserved.get(step.run)
        if step.name != "grant" or held is None or held.attempt != step.attempt:
            continue
        had = quota.granted_bytes(before, step.run, step.attempt, step.artifact)
        has = quota.granted_bytes(project.usage, step.run, step.attempt, step.artifact)
        assert had <= has <= max(had, step.amount)
        assert has >= step.amount or quota.free_bytes(project.usage, step.quota_bytes) <= 0


@pytest.mark.parametrize(
    ("reserved", "ends", "expected"),
    [
        ({}, [10, 20, 30, 40], 20),  # of 160 that are free an eighth
        ({}, [50, 60], 50),  # what it needs it may have in any case, if there is room
        ({RUN: Reservation(estimate_bytes=35)}, [10, 20, 30, 40], 30),  # what it is expected to take is its own
        ({RUN: Reservation(estimate_bytes=0, open={"1": 40})}, [50, 55, 60], 55),  # an eighth of 120 beyond what it has
        ({RUN: Reservation(estimate_bytes=0, open={"1": 40})}, [10, 20, 30], 30),  # signed once more
        ({OTHER: Reservation(estimate_bytes=160)}, [10, 20, 30, 40], 10),
    ],
)
def test_what_is_asked_for_ahead_of_need_leaves_room_for_others(
    reserved: dict[str, Reservation], ends: list[int], expected: int
) -> None:
    usage = UsageRecord(project="acme", stored_bytes=40, reserved=reserved)
    assert quota.ahead_bytes(usage, RUN, 1, "1", ends, 200) == expected


@relaxed
@given(changing_quotas)
def test_records_stay_valid_on_the_wire(what_happens: list[Step]) -> None:
    project = Project()
    for _ in project.play(what_happens):
        assert msgspec.convert(msgspec.to_builtins(project.usage), UsageRecord) == project.usage
        assert all(size >= 0 for held in project.usage.reserved.values() for size in held.open.values())


def test_the_events_of_these_tests_reach_every_operation() -> None:
    changed: Counter[str] = Counter()

    @exploring
    @given(changing_quotas)
    def collect(what_happens: list[Step]) -> None:
        project = Project()
        for step, _, before in project.play(what_happens):
            if project.usage is not before:
                changed[step.name] += 1
            if step.name == "release" and step.run in before.reserved:
                changed["release before commit"] += 1
            if step.name == "grant" and step.run in before.reserved:
                changed["grant to a later attempt"] += step.attempt > before.reserved[step.run].attempt
                changed["grant to an earlier attempt"] += step.attempt < before.reserved[step.run].attempt

    expected = {*_NAMES, "release before commit", "grant to a later attempt", "grant to an earlier attempt"}
    repeat_until(lambda: set(+changed) == expected, collect)
    assert set(+changed) == expected
