"""Which backups of a service a list shows, as the address of the page says it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, TypeVar
from urllib.parse import urlencode

import msgspec

from contracts.policy.retention import BackupClass
from contracts.records import RunState

E = TypeVar("E", bound=StrEnum)

_LONGEST: Final = 60


class Show(StrEnum):
    """What people look for."""

    ALL = "all"
    COMPLETED = "completed"
    UNDER_WAY = "running"
    TROUBLE = "trouble"
    """Failed, missed, cancelled."""


_STATES: Final[dict[Show, frozenset[RunState]]] = {
    Show.ALL: frozenset(),
    Show.COMPLETED: frozenset({RunState.COMPLETED}),
    Show.UNDER_WAY: frozenset({RunState.REQUESTED, RunState.RUNNING}),
    Show.TROUBLE: frozenset({RunState.FAILED, RunState.MISSED, RunState.CANCELLED}),
}


class BackupFilter(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for; what makes no sense counts as not asked for."""

    show: Show = Show.ALL
    tag: str = ""
    backup_class: BackupClass | None = None
    after: str = ""
    """The id of the last one on the page before."""

    @property
    def is_narrow(self) -> bool:
        """Whether it leaves anything out."""
        return self.show is not Show.ALL or bool(self.tag) or self.backup_class is not None

    @property
    def states(self) -> frozenset[RunState]:
        """Only these; all if there are none.  A class is one of completed backups: the others are none of retention's."""
        return _STATES[self.show] if self.backup_class is None else _STATES[Show.COMPLETED]

    def query(self, *, after: str = "") -> str:
        """`?show=trouble&tag=x`, from that place on; empty for everything."""
        wanted = {
            "show": "" if self.show is Show.ALL else self.show.value,
            "tag": self.tag,
            "class": self.backup_class.value if self.backup_class else "",
            "after": after,
        }
        given = {name: value for name, value in wanted.items() if value}
        return f"?{urlencode(given)}" if given else ""


def parse_filter(query: Mapping[str, str]) -> BackupFilter:
    """Of the query of an address."""
    return BackupFilter(
        show=_one_of(Show, query.get("show", "")) or Show.ALL,
        tag=query.get("tag", "").strip()[:_LONGEST],
        backup_class=_one_of(BackupClass, query.get("class", "")),
        after=query.get("after", "")[:_LONGEST],
    )


def _one_of(kind: type[E], text: str) -> E | None:
    return next((each for each in kind if each == text), None)
