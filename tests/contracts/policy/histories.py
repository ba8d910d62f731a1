"""Histories to judge: by hand, by schedule, or any that could be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from contracts.policy.retention import Maximums, Minimums, Per, RetentionPolicy, RunFacts
from contracts.policy.tags import time_tags
from contracts.records import RunState

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)

relaxed = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""For machines that are busy with something else."""

exploring = settings(relaxed, derandomize=False, database=None)
"""Other examples each time: under CI's default profile, every round would see the same ones."""


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def automatic(moments: Iterable[datetime], *, size_bytes: int = 100) -> list[RunFacts]:
    """Completed automatic backups at these increasing moments, with their time tags and the moment as id."""
    runs: list[RunFacts] = []
    for at in moments:
        tags = time_tags([run.at for run in runs[-1:]], at)
        runs.append(RunFacts(id=f"{at:%Y-%m-%dT%H:%M}", at=at, size_bytes=size_bytes, tags=tags, automatic=True))
    return runs


def every(step: timedelta, first: datetime, count: int) -> list[RunFacts]:
    return automatic(first + step * number for number in range(count))


def run(
    at: str,
    tags: Sequence[str] = (),
    *,
    size_bytes: int = 100,
    is_automatic: bool = False,
    state: RunState = RunState.COMPLETED,
) -> RunFacts:
    return RunFacts(id=at, at=moment(at), size_bytes=size_bytes, tags=tags, automatic=is_automatic, state=state)


_TAGS = (("daily",), ("daily", "weekly"), ("daily", "weekly", "monthly"), ("daily", "monthly"), ("protected", "daily"))
_MANUAL_TAGS = ((), ("release",), ("protected",), ("legal", "release"))


@st.composite
def any_run(draw: st.DrawFn, number: int) -> RunFacts:
    is_automatic = draw(st.booleans())
    return RunFacts(
        id=f"run-{number}",
        # Few different moments, so that days, hours and whole moments coincide; some lie in the future.
        at=NOW + timedelta(hours=draw(st.integers(-24 * 40, 48))),
        size_bytes=draw(st.integers(0, 1000)),
        tags=draw(st.sampled_from(_TAGS if is_automatic else _MANUAL_TAGS)),
        automatic=is_automatic,
        state=draw(st.sampled_from([RunState.COMPLETED] * 6 + list(RunState))),
    )


@st.composite
def histories(draw: st.DrawFn, most: int = 40) -> list[RunFacts]:
    return [draw(any_run(number)) for number in range(draw(st.integers(0, most)))]


_few = st.integers(0, 6)


def policies(*, freezing: bool = True) -> st.SearchStrategy[RetentionPolicy]:
    """Any policy whose numbers are small enough to matter; without `freezing`, no size is suspicious."""
    return st.builds(
        RetentionPolicy,
        protected_tags=st.sampled_from([[], ["protected"], ["protected", "legal"], ["weekly"]]),
        minimums=st.builds(Minimums, daily=_few, weekly=_few, monthly=_few),
        maximums=st.builds(Maximums, daily=_few, weekly=_few, monthly=_few),
        total_count=st.none() | st.integers(1, 20),
        total_size_bytes=st.none() | st.integers(1, 8000),
        per=st.sampled_from(Per),
        suspicious_size_factor=st.sampled_from([0.0, 0.5, 1.0]) if freezing else st.just(0.0),
    )


def repeat_until(seen_all: Callable[[], bool], collect: Callable[[], None]) -> None:
    """For tests of what generated histories reach: chance may need several rounds, of `exploring`, for what is rare."""
    for _ in range(50):
        collect()
        if seen_all():
            return
