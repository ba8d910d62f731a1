"""Whether everything is safe, told in one sentence, with what is not so and what to do about it: pure functions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from contracts.control import Overview, ProjectOverview, ServiceView, Status
from contracts.standing import Level
from daemon.cli.figures import ago, count, percent
from daemon.cli.standing_views import next_step

EXIT_STATUSES: Final = {Level.GOOD: 0, Level.WARNING: 1, Level.PROBLEM: 2}
UNKNOWN: Final = 3
NEARLY_FULL: Final = 0.95
"""The part of a quota from which on the next backup may find no room."""
_NAMED: Final = 3
_AGO: Final = " ago"


class StatusReport(msgspec.Struct, frozen=True, kw_only=True):
    """What programs are given."""

    level: Level
    exit_status: int
    summary: str
    """The sentence."""
    coordinator: Status
    overview: Overview


class Concern(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is not as it should be, of one or several services, nodes or projects."""

    level: Level
    names: list[str]
    sentences: list[str]
    steps: list[str]
    """What to do next."""


def report_of(overview: Overview, status: Status, project: str = "") -> StatusReport:
    """`project`: the only one that was asked about."""
    level = level_of(overview)
    return StatusReport(
        level=level,
        exit_status=EXIT_STATUSES[level],
        summary=sentence(overview, project),
        coordinator=status,
        overview=overview,
    )


def level_of(overview: Overview) -> Level:
    """The worst of all.  Where nothing is backed up, nothing is safe."""
    if overview.level is Level.GOOD and (not protected(overview) or full_projects(overview)):
        return Level.WARNING
    return overview.level


def protected(overview: Overview) -> int:
    """Services that somebody wants backups of."""
    return overview.services - overview.levels[Level.OFF]


def full_projects(overview: Overview) -> list[ProjectOverview]:
    """Those whose quota is nearly used up, the fullest first."""
    near = [each for each in overview.projects if each.deletion is None and used(each) >= NEARLY_FULL]
    return sorted(near, key=used, reverse=True)


def used(project: ProjectOverview) -> float:
    return (project.stored_bytes + project.reserved_bytes) / project.quota_bytes


def sentence(overview: Overview, project: str = "") -> str:
    """The answer to "are we safe?"."""
    total, of = protected(overview), f" of project {project}" if project else ""
    if not overview.services:
        return f"Nothing is protected yet: there are no services{of}."
    if not total:
        words = "the only service" if overview.services == 1 else f"all {overview.services} services"
        return f"Nothing is backed up by itself: {words}{of} {_are(overview.services)} switched off or deleted."
    level = level_of(overview)
    if level is Level.PROBLEM:
        bad = overview.levels[Level.PROBLEM]
        names = [_name(view) for view in overview.attention[:_NAMED] if view.standing.level is Level.PROBLEM]
        more = f" and {bad - len(names)} more" if bad > len(names) else ""
        which = "The only service" if total == 1 else f"{bad} of {total} services"
        return f"{which}{of} {_are(bad)} not safe: {', '.join(names)}{more}."
    if level is Level.WARNING:
        return f"No service{of} is in trouble, but {' and '.join(_warnings(overview))}."
    what = "The only service" if total == 1 else f"All {total} services"
    return f"{what}{of} {_are(total)} safe{_newest(overview)}."


def _newest(overview: Overview) -> str:
    """How old the newest backups are at most."""
    if overview.oldest is None:
        return ""
    age = ago(overview.oldest.at, overview.at)
    if not age.endswith(_AGO):
        return "; each was backed up just now"
    name = f"{overview.oldest.project}/{overview.oldest.service}"
    return f"; the newest backup of each is at most {age.removesuffix(_AGO)} old ({name})"


def concerns(overview: Overview, most: int) -> tuple[list[Concern], int]:
    """At most so many, the worst first, and how many services are left out."""
    found: list[Concern] = []
    shown = 0
    for alike in _alike(overview.attention):
        if len(found) == most:
            break
        found.append(_of_services(alike))
        shown += len(alike)
    left_out = overview.levels[Level.PROBLEM] + overview.levels[Level.WARNING] - shown
    return [*found, *_of_nodes(overview), *(_of_quota(each) for each in full_projects(overview)[:_NAMED])], left_out


def _alike(views: Sequence[ServiceView]) -> Iterator[list[ServiceView]]:
    """Services in the order given, those together that are in the very same trouble."""
    groups: dict[tuple[str, ...], list[ServiceView]] = {}
    for view in views:
        groups.setdefault(tuple(cause.message for cause in view.standing.causes), []).append(view)
    yield from groups.values()


def _of_services(alike: Sequence[ServiceView]) -> Concern:
    first = alike[0]
    names = [_name(view) for view in alike[:_NAMED]]
    if len(alike) > _NAMED:
        names.append(f"{len(alike) - _NAMED} more")
    steps = [next_step(first, cause) for cause in first.standing.causes]
    return Concern(
        level=first.standing.level,
        names=names,
        sentences=[cause.message for cause in first.standing.causes],
        steps=list(dict.fromkeys(step for step in steps if step)),
    )


def _of_nodes(overview: Overview) -> Iterator[Concern]:
    if overview.silent:
        names = overview.silent_nodes[:_NAMED]
        more = [f"{overview.silent - len(names)} more"] if overview.silent > len(names) else []
        yield Concern(
            level=Level.WARNING,
            names=[f"node {names[0]}", *names[1:], *more],
            sentences=["nothing is heard of its agent" if overview.silent == 1 else "nothing is heard of their agents"],
            steps=["is the host up, and `strongroom-agent run` running on it? `strongroom node remove NODE` forgets one"],
        )


def _of_quota(project: ProjectOverview) -> Concern:
    taken = project.stored_bytes + project.reserved_bytes
    return Concern(
        level=Level.WARNING,
        names=[f"project {project.project}"],
        sentences=[f"{percent(taken, project.quota_bytes)} of its quota is used: without room, backups fail"],
        steps=[
            f"`strongroom project usage {project.project}` shows what takes it; `strongroom project set-quota` changes it"
        ],
    )


def _warnings(overview: Overview) -> Iterator[str]:
    if waiting := overview.levels[Level.WARNING]:
        yield f"{waiting} {'has' if waiting == 1 else 'have'} no backup yet"
    if overview.silent:
        yield f"{count(overview.silent, 'node')} {_are(overview.silent)} silent"
    if full := full_projects(overview):
        yield f"the quota of {count(len(full), 'project')} is nearly used up"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _name(view: ServiceView) -> str:
    return f"{view.record.project}/{view.record.name}"
