"""What `strongroom watch` knows: a state that is fed answers, events and news of runs; no clock, no bus, no terminal."""

from __future__ import annotations

from collections import deque
from typing import Final

from contracts.control import Overview, ServiceView
from contracts.events import Event
from contracts.records import AnyRun, RestoreRecord, RunKind
from contracts.reports import Progress
from daemon.cli.references import RunRef
from daemon.cli.run_picture import RunPicture
from daemon.news import Trouble

MOST_RUNS: Final = 20
"""Runs that are followed one by one; of more, no terminal has room."""
_EVENTS: Final = 50


class WatchPicture:
    """Of everything, a project, or a service (with both names)."""

    def __init__(self, project: str = "", service: str = "") -> None:
        self.project = project
        self.service = service
        self.overview: Overview | None = None
        self.view: ServiceView | None = None
        """Of the service, if it is one that is watched."""
        self.runs: dict[RunRef, RunPicture] = {}
        """Those that are followed, the longest first."""
        self.events: deque[Event] = deque(maxlen=_EVENTS)
        """The newest last."""
        self.trouble = ""
        """Why nothing new can be learned at the moment; empty when all is well."""

    @property
    def running(self) -> int:
        """How many runs there are, those that are not followed included."""
        if self.overview is None or self.service:
            return len(self.runs)
        backups = sum(picture.kind is RunKind.BACKUP for picture in self.runs.values())
        return len(self.runs) - backups + max(backups, self.overview.running)

    def take_overview(self, overview: Overview, view: ServiceView | None) -> None:
        self.overview, self.view, self.trouble = overview, view, ""

    def take_event(self, event: Event) -> None:
        self.events.append(event)

    def to_follow(self, restores: list[RestoreRecord]) -> list[tuple[RunRef, RunKind]]:
        """Runs under way that are not followed yet, as many as there is room for."""
        under_way = [(RunRef(r.project, r.service, r.id), RunKind.RESTORE) for r in restores if self._concerns(r)]
        views = [self.view] if self.view is not None else self.overview.under_way if self.overview is not None else []
        under_way += [
            (RunRef(view.record.project, view.record.name, view.active), RunKind.BACKUP) for view in views if view.active
        ]
        new = [(ref, kind) for ref, kind in under_way if ref not in self.runs]
        return new[: MOST_RUNS - len(self.runs)]

    def begin(self, ref: RunRef, kind: RunKind, now_s: float) -> None:
        """From now on news of it are taken."""
        self.runs[ref] = RunPicture(kind, now_s)

    def take_news(self, ref: RunRef, news: AnyRun | Progress | Trouble, now_s: float) -> None:
        picture = self.runs.get(ref)
        if picture is None:
            return
        if isinstance(news, Trouble):
            picture.trouble = f"{news.message.partition(':')[0]}; still trying"
        elif isinstance(news, Progress):
            picture.take_progress(news, now_s)
        else:
            picture.take_record(news)

    def end(self, ref: RunRef) -> None:
        self.runs.pop(ref, None)

    def _concerns(self, restore: RestoreRecord) -> bool:
        """Those of a service's backups, and those into it."""
        names = {(restore.project, restore.service), (restore.target.project, restore.target.service)}
        return any(self.project in ("", project) and self.service in ("", service) for project, service in names)
