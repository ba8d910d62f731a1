"""A page of a service's backups: filtered and cut, with what retention says of each.  Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from contracts.policy.retention import BackupClass
from contracts.policy.tags import TIME_TAGS
from contracts.records import BackupRecord
from daemon.web.service.backup_filter import BackupFilter
from daemon.web.service.backup_rows import BackupRow, backup_rows, class_counts
from daemon.web.service.judged import Judged

PAGE: Final = 50


@dataclass(frozen=True, kw_only=True)
class BackupPage:
    """As `service/_backups.html` shows it."""

    rows: list[BackupRow]
    total: int
    """How many are like that, on all pages."""
    before: int
    """How many of them are on the pages before."""
    chosen: BackupFilter
    classes: dict[BackupClass, int]
    tags: list[str]
    """All that some backup bears, for the filter."""

    @property
    def has_more(self) -> bool:
        return self.before + len(self.rows) < self.total

    @property
    def query(self) -> str:
        """Of this page."""
        return self.chosen.query(after=self.chosen.after)

    @property
    def first_query(self) -> str:
        return self.chosen.query()

    @property
    def next_query(self) -> str:
        return self.chosen.query(after=self.rows[-1].record.id)


def page_of_backups(judged: Judged, chosen: BackupFilter, protected_tags: list[str]) -> BackupPage:
    """The newest that are like that, after the one where the page before ended: what came or went meanwhile neither repeats
    nor hides others."""
    matching = [record for record in judged.records if _matches(judged, record, chosen)]
    start = sum(record.id >= chosen.after for record in matching) if chosen.after else 0
    return BackupPage(
        rows=backup_rows(matching[start : start + PAGE], judged.verdicts, protected_tags),
        total=len(matching),
        before=start,
        chosen=chosen,
        classes=class_counts(judged.kept),
        tags=sorted({tag for record in judged.records for tag in record.tags} | TIME_TAGS),
    )


def _matches(judged: Judged, record: BackupRecord, chosen: BackupFilter) -> bool:
    if chosen.states and record.state not in chosen.states:
        return False
    if chosen.tag and chosen.tag not in record.tags:
        return False
    return chosen.backup_class is None or judged.verdicts[record.id].backup_class is chosen.backup_class
