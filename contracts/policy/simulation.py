"""What a schedule and a policy would keep, played through before they are trusted with real backups.

`imagine_runs` makes up what happens at the due times, the same for the same seed; `play` gives each completed run its time
tags and applies retention after it, as the coordinator does.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Final

import msgspec

from contracts.errors import InvalidInput
from contracts.policy.retention import Freeze, RetentionPlan, RetentionPolicy, RunFacts, Verdict, plan
from contracts.policy.tags import check_user_tags, time_tags
from contracts.records import RunState

MOST_RUNS: Final = 50_000
"""Of one simulation: four years of hourly runs; retention is planned anew after each."""
_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz234567"


class Circumstances(msgspec.Struct, frozen=True, kw_only=True):
    """What is made up.  Raises: InvalidInput naming the field."""

    start: datetime
    """Aware; growth and manual backups count from here."""
    days: int
    size_bytes: int = 1_000_000_000
    """Of a backup at the start."""
    growth_percent: float = 0.0
    """Of the starting size, added per day; negative shrinks, down to 1 byte."""
    spread_percent: float = 0.0
    """How far each size may be from the grown one, either way."""
    failure_percent: float = 0.0
    """How many of the automatic runs fail."""
    manual_every_days: int | None = None
    """A manual backup on each n-th day, at 12:34 UTC, when few schedules are due."""
    manual_tags: list[str] = []
    seed: int = 0

    def __post_init__(self) -> None:
        if self.start.tzinfo is None:
            raise ValueError("a simulation starts at an aware moment")
        _check(1 <= self.days <= 36_525, "days", f"{self.days} is not within 1-36525")
        _check(0 <= self.size_bytes <= 2**60, "size_bytes", f"{self.size_bytes} is not within 0-2^60")
        _check(-100 <= self.growth_percent <= 1000, "growth_percent", f"{self.growth_percent} is not within -100 to 1000")
        for name in ("spread_percent", "failure_percent"):
            value = getattr(self, name)
            _check(0 <= value <= 100, name, f"{value} is not within 0-100")
        every = self.manual_every_days
        _check(every is None or every >= 1, "manual_every_days", f"{every} is less than 1")
        check_user_tags(self.manual_tags, "manual_tags")
        _check(1970 <= self.start.year <= 9000, "start", f"{self.start:%Y-%m-%d} is not within the years 1970-9000")

    @property
    def end(self) -> datetime:
        """The first moment that is not simulated any more."""
        return self.start + timedelta(days=self.days)


class SimulatedDay(msgspec.Struct, frozen=True, kw_only=True):
    """One UTC day, as it was at its end."""

    day: date
    made: list[str] = []
    """Ids of the backups that completed."""
    failed: list[str] = []
    expired: list[str] = []
    kept_count: int
    kept_bytes: int
    freeze: Freeze | None = None
    """The last reason that day for which retention deleted nothing."""


class Simulation(msgspec.Struct, frozen=True, kw_only=True):
    """A history played through."""

    days: list[SimulatedDay]
    """Every day from the first to the last."""
    expired: list[Verdict]
    """In the order in which they were deleted, each with the reason of that moment."""
    final: RetentionPlan
    """What is there at the end, and why; nothing in it expires."""

    def kept_on(self, day: date) -> set[str]:
        """Ids of the backups that were there at the end of that day."""
        kept: set[str] = set()
        for simulated in self.days:
            if simulated.day > day:
                break
            kept.update(simulated.made)
            kept.difference_update(simulated.expired)
        return kept


def simulate(dues: Iterable[datetime], policy: RetentionPolicy, given: Circumstances) -> Simulation:
    """Plays the due times in `[start, end)` under the circumstances.  Raises: InvalidInput for too many runs."""
    # All of them before the first plan: too many are told at once.
    return play(list(imagine_runs(dues, given)), policy, start=given.start, end=given.end)


def imagine_runs(dues: Iterable[datetime], given: Circumstances) -> Iterator[RunFacts]:
    """The runs at these increasing due times and the manual ones between, with sizes and failures; without time tags.

    Each kind of chance has its own source, so that changing one circumstance leaves the others as they were.
    Raises: InvalidInput as soon as there are more than `MOST_RUNS`.
    """
    # Made-up sizes are no secrets.
    sizes = {automatic: random.Random(f"{given.seed}:sizes:{automatic}") for automatic in (True, False)}  # noqa: S311
    failures = random.Random(f"{given.seed}:failures")  # noqa: S311
    due = ((at, True) for at in dues if given.start <= at < given.end)
    for number, (at, automatic) in enumerate(heapq.merge(due, _manual(given), key=lambda run: (run[0], not run[1]))):
        if number >= MOST_RUNS:
            raise InvalidInput(
                "input.invalid", f"more than {MOST_RUNS} runs are too many to play: choose fewer days", field="days"
            )
        grown = given.size_bytes * (1 + given.growth_percent / 100 * ((at - given.start) / timedelta(days=1)))
        spread = 1 + given.spread_percent / 100 * sizes[automatic].uniform(-1, 1)
        failed = automatic and failures.random() * 100 < given.failure_percent
        yield RunFacts(
            id=_run_id(at, number),
            at=at,
            size_bytes=0 if failed or not given.size_bytes else max(1, round(grown * spread)),
            tags=[] if automatic else sorted(set(given.manual_tags)),
            automatic=automatic,
            state=RunState.FAILED if failed else RunState.COMPLETED,
        )


def play(runs: Iterable[RunFacts], policy: RetentionPolicy, *, start: datetime, end: datetime) -> Simulation:
    """What is kept of these runs, in the order of their times, when retention runs after each that completes.

    Automatic runs get their time tags here.  `start` and `end` bound the days that are told of.
    """
    stage = _Stage(policy)
    days: list[SimulatedDay] = []
    last = (end.astimezone(UTC) - timedelta(microseconds=1)).date()
    day = start.astimezone(UTC).date()
    for run in runs:
        while (today := run.at.astimezone(UTC).date()) > day:
            days.append(stage.close_day(day))
            day += timedelta(days=1)
        assert today == day, "runs come in the order of their times, from the start on"
        stage.add(run)
    while day <= last:
        days.append(stage.close_day(day))
        day += timedelta(days=1)
    return Simulation(days=days, expired=stage.expired, final=stage.plan(end))


class _Stage:
    """What is there at a moment of the play."""

    def __init__(self, policy: RetentionPolicy) -> None:
        self.expired: list[Verdict] = []
        self._policy = policy
        self._kept: dict[str, RunFacts] = {}
        self._kept_bytes = 0
        self._last_automatic: datetime | None = None
        self._unhealthy: list[RunFacts] = []
        """The newest due run, while it is one that failed: older ones decide nothing."""
        self._today = SimulatedDay(day=date.min, kept_count=0, kept_bytes=0)
        self._freeze: Freeze | None = None

    def add(self, run: RunFacts) -> None:
        if run.state is not RunState.COMPLETED:
            self._today.failed.append(run.id)
            if run.automatic:
                self._unhealthy = [run]
            return
        if run.automatic:
            previous = [self._last_automatic] if self._last_automatic else []
            run = msgspec.structs.replace(run, tags=[*run.tags, *time_tags(previous, run.at)])
            self._last_automatic = run.at
            self._unhealthy = []
        self._today.made.append(run.id)
        self._kept[run.id] = run
        self._kept_bytes += run.size_bytes
        if not self._policy.limits_nothing:
            self._apply(run.at)

    def plan(self, now: datetime) -> RetentionPlan:
        return plan([*self._kept.values(), *self._unhealthy], self._policy, now)

    def close_day(self, day: date) -> SimulatedDay:
        closed = msgspec.structs.replace(
            self._today, day=day, kept_count=len(self._kept), kept_bytes=self._kept_bytes, freeze=self._freeze
        )
        self._today = SimulatedDay(day=date.min, kept_count=0, kept_bytes=0)
        self._freeze = None
        return closed

    def _apply(self, now: datetime) -> None:
        planned = self.plan(now)
        self._freeze = planned.freeze or self._freeze
        for verdict in planned.expired:
            self.expired.append(verdict)
            self._today.expired.append(verdict.run.id)
            del self._kept[verdict.run.id]
            self._kept_bytes -= verdict.run.size_bytes


def _manual(given: Circumstances) -> Iterator[tuple[datetime, bool]]:
    if given.manual_every_days is None:
        return
    first = given.start.astimezone(UTC).replace(hour=12, minute=34, second=0, microsecond=0)
    for day in range(given.manual_every_days - 1, given.days + 1, given.manual_every_days):
        at = first + timedelta(days=day)
        if given.start <= at < given.end:
            yield at, False


def _run_id(at: datetime, number: int) -> str:
    """Of the form of real ids, the same in every play."""
    digits = "".join(_ALPHABET[number >> shift & 31] for shift in (15, 10, 5, 0))
    return f"{at.astimezone(UTC):%Y%m%dT%H%M%SZ}-{digits}"


def _check(allowed: bool, field: str, problem: str) -> None:
    if not allowed:
        raise InvalidInput("input.invalid", f"{field} {problem}", field=field)
