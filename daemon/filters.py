"""Which events and log lines somebody wants, and the subjects they are stored under."""

from __future__ import annotations

import msgspec

from contracts.errors import InvalidInput
from contracts.events import EVENT_TYPES
from contracts.ids import check_run_id, check_slug
from contracts.subjects import log_subject


class EventFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which events; empty fields limit nothing."""

    project: str = ""
    service: str = ""
    types: tuple[str, ...] = ()
    """Such as `backup.failed`, or `backup` for all that begin so."""

    def subjects(self) -> list[str]:
        """Of the stream, none of which covers another.  Raises: InvalidInput naming the field."""
        _check_names(project=self.project, service=self.service)
        ends = f"{self.project or '*'}.{self.service or '*'}"
        if not self.types:
            return [f"strongroom.event.*.*.{ends}"]
        wanted = {check_event_type(type_) for type_ in self.types}
        nouns = {type_ for type_ in wanted if "." not in type_}
        chosen = sorted(nouns | {type_ for type_ in wanted if type_.partition(".")[0] not in nouns})
        return [f"strongroom.event.{type_ if '.' in type_ else f'{type_}.*'}.{ends}" for type_ in chosen]


class LogFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Whose log lines; empty fields limit nothing."""

    project: str = ""
    service: str = ""
    run_id: str = ""
    """Of a backup or a restore."""

    def subjects(self) -> list[str]:
        """Raises: InvalidInput naming the field."""
        _check_names(project=self.project, service=self.service, run_id=self.run_id)
        return [log_subject(self.project or "*", self.service or "*", self.run_id or "*")]


def check_event_type(type_: str, field: str = "types") -> str:
    """The type itself, or the noun that several begin with.  Raises: InvalidInput `input.invalid`."""
    if type_ not in EVENT_TYPES and type_ not in {name.partition(".")[0] for name in EVENT_TYPES}:
        there = ", ".join(sorted(EVENT_TYPES))
        raise InvalidInput("input.invalid", f"there are no events of type {type_!r}; there are {there}", field=field)
    return type_


def _check_names(*, project: str, service: str, run_id: str = "") -> None:
    """Raises: InvalidInput for a name that cannot stand in a subject.  Empty ones are fine."""
    if project:
        check_slug(project, "project")
    if service:
        check_slug(service, "service")
    if run_id:
        check_run_id(run_id, "id")
