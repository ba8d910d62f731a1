"""What is counted as it happens: runs, events, calls, answers, and what the bus and the store say.

Facts come from where they are stated once (`daemon.runs.events`), so a run that two coordinators settle is counted by one.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, GCCollector, Histogram, Info, PlatformCollector, ProcessCollector

from contracts.control import VERBS
from contracts.events import EVENT_TYPES, Event
from contracts.records import AnyRun, BackupRecord, RunKind
from daemon.access.caller import Via

MINUTE: Final = 60.0
HOUR: Final = 60 * MINUTE
MIB: Final = 1024.0 * 1024.0

_RUN_SECONDS: Final = (1, 5, 15, MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, 24 * HOUR)
_RUN_BYTES: Final = tuple(MIB * 4**power for power in range(11))
"""1 MiB to 1 TiB."""
_WAIT_SECONDS: Final = (0.5, 1, 2, 5, 10, 30, MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR)
_ANSWER_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

OUTCOMES: Final = ("completed", "failed", "cancelled", "missed", "skipped", "retried")
"""What becomes of a run, by the last word of its event; `retried` is of an attempt."""


class Metrics:
    """The counters of one coordinator; `registry` is its own."""

    def __init__(self, version: str) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        Info("strongroom_build", "The coordinator that answers.", registry=registry).info({"version": version})

        self._runs = Counter(
            "strongroom_runs",
            "Runs by what became of them; a retried attempt is not the end of its run.",
            ["kind", "outcome"],
            registry=registry,
        )
        self._failures = Counter(
            "strongroom_run_failures", "Failed runs by their error code.", ["kind", "code"], registry=registry
        )
        self._seconds = Histogram(
            "strongroom_run_duration_seconds",
            "From an agent's taking a run up to its end, of completed runs.",
            ["kind", "engine"],
            buckets=_RUN_SECONDS,
            registry=registry,
        )
        self._sizes = Histogram(
            "strongroom_backup_size_bytes",
            "Stored bytes of completed backups: compressed and encrypted.",
            ["engine"],
            buckets=_RUN_BYTES,
            registry=registry,
        )
        self._plain = Counter(
            "strongroom_backup_plain_bytes",
            "Native bytes of completed backups, before compression.",
            ["engine"],
            registry=registry,
        )
        self._due_delay = Histogram(
            "strongroom_due_delay_seconds",
            "From a due time to the request in a node's queue.",
            buckets=_WAIT_SECONDS,
            registry=registry,
        )
        self._start_delay = Histogram(
            "strongroom_start_delay_seconds",
            "From a request to an agent's taking it up.",
            ["kind"],
            buckets=_WAIT_SECONDS,
            registry=registry,
        )
        self._events = Counter("strongroom_events_published", "Facts stated, by type.", ["type"], registry=registry)
        self._calls = Counter(
            "strongroom_control_calls",
            "Calls of control verbs by what came of them: `done`, or an error code.",
            ["verb", "via", "outcome"],
            registry=registry,
        )
        self._answers = Counter(
            "strongroom_http_requests",
            "Requests over HTTP by the route's template.",
            ["method", "route", "status"],
            registry=registry,
        )
        self._answer_seconds = Histogram(
            "strongroom_http_request_duration_seconds",
            "Until the answer began: a stream of events may go on for hours.",
            ["route"],
            buckets=_ANSWER_SECONDS,
            registry=registry,
        )
        self._store_requests = Counter(
            "strongroom_store_requests",
            "Calls of the object store by HTTP status; `none` without an answer.",
            ["operation", "status"],
            registry=registry,
        )
        self._store_retries = Counter(
            "strongroom_store_retries", "Tries of store calls beyond the first.", ["operation"], registry=registry
        )
        self._store_seconds = Histogram(
            "strongroom_store_request_duration_seconds",
            "Of calls of the object store, all their tries together.",
            ["operation"],
            buckets=_ANSWER_SECONDS,
            registry=registry,
        )
        self._bus_errors = Counter(
            "strongroom_nats_errors", "Errors that the NATS connection reported by itself.", registry=registry
        )
        # What is there from the start can be seen to rise from nought.
        for kind in RunKind:
            for outcome in OUTCOMES:
                self._runs.labels(kind, outcome)
            self._start_delay.labels(kind)
        for type_ in EVENT_TYPES:
            self._events.labels(type_)
        for verb in VERBS:
            for via in Via:
                self._calls.labels(verb, via, "done")

    def note_event(self, event: Event, run: AnyRun | None) -> None:
        """A fact that was stated by this coordinator; `run` is the record of the run that it is about."""
        self._events.labels(event.type).inc()
        kind, _, outcome = event.type.partition(".")
        if kind not in tuple(RunKind):
            return
        if outcome in OUTCOMES:
            count = event.facts.get("count") if event.facts else None  # of several due times missed at once
            self._runs.labels(kind, outcome).inc(count if isinstance(count, int) else 1)
        if event.error is not None and outcome == "failed":
            self._failures.labels(kind, event.error.code).inc()
        if run is not None:
            self._note_run(kind, outcome, run)

    def _note_run(self, kind: str, outcome: str, run: AnyRun) -> None:
        if outcome == "requested" and isinstance(run, BackupRecord) and run.due_at is not None:
            self._due_delay.observe(max(0.0, (run.requested_at - run.due_at).total_seconds()))
        if outcome == "started" and run.started_at is not None:
            self._start_delay.labels(kind).observe(max(0.0, (run.started_at - run.requested_at).total_seconds()))
        if outcome != "completed":
            return
        if run.started_at is not None and run.finished_at is not None:
            elapsed_s = max(0.0, (run.finished_at - run.started_at).total_seconds())
            self._seconds.labels(kind, run.kind).observe(elapsed_s)
        if isinstance(run, BackupRecord):
            self._sizes.labels(run.kind).observe(run.size_bytes)
            self._plain.labels(run.kind).inc(run.plain_bytes)

    def note_call(self, verb: str, via: Via, outcome: str) -> None:
        self._calls.labels(verb, via, outcome).inc()

    def note_answer(self, method: str, route: str, status: int, elapsed_s: float) -> None:
        self._answers.labels(method, route, str(status)).inc()
        self._answer_seconds.labels(route).observe(elapsed_s)

    def note_store_call(self, operation: str, status: str, elapsed_s: float, retries: int) -> None:
        self._store_requests.labels(operation, status).inc()
        self._store_seconds.labels(operation).observe(elapsed_s)
        if retries:
            self._store_retries.labels(operation).inc(retries)

    def note_bus_error(self) -> None:
        self._bus_errors.inc()
