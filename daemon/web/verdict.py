"""Is everything safe?  One sentence for people, from the figures of all services: no clock, no store."""

from __future__ import annotations

from dataclasses import dataclass

from contracts.control import Overview
from contracts.standing import Level
from daemon.web.filters import count


@dataclass(frozen=True)
class Verdict:
    level: Level
    headline: str
    rest: str = ""
    """What the headline leaves open, in a sentence or none."""


def verdict_on(overview: Overview) -> Verdict:
    levels = overview.levels
    problems, warnings, off = levels[Level.PROBLEM], levels[Level.WARNING], levels[Level.OFF]
    scheduled = overview.services - off
    if not overview.services:
        return Verdict(Level.OFF, "Nothing is backed up yet.", "Three steps lead there.")
    if problems:
        return Verdict(Level.PROBLEM, f"{count(problems, 'service is', 'services are')} not safe.", _others(levels))
    if warnings:
        headline = f"{count(warnings, 'service needs', 'services need')} a look; nothing has failed."
        return Verdict(Level.WARNING, headline, _others(levels))
    if not scheduled:
        return Verdict(Level.OFF, "No service is backed up by itself.", "All schedules are off.")
    safe = "The only service is safe." if scheduled == 1 else f"All {scheduled:,} services are safe."
    if overview.silent:
        silent = count(overview.silent, "node is", "nodes are")
        return Verdict(Level.WARNING, f"{silent} silent; the services are safe.", _off(off))
    return Verdict(Level.GOOD, safe, _off(off))


def _others(levels: dict[Level, int]) -> str:
    good = levels[Level.GOOD]
    parts = [f"{count(good, 'other is', 'others are')} safe"] if good else ["None is as it should be"]
    if levels[Level.PROBLEM] and levels[Level.WARNING]:
        parts.append(f"{count(levels[Level.WARNING], 'needs', 'need')} a look")
    if levels[Level.OFF]:
        parts.append(f"{count(levels[Level.OFF], 'is', 'are')} off")
    return f"{', '.join(parts)}."


def _off(off: int) -> str:
    return f"{count(off, 'further one is', 'further ones are')} off: only people start backups of it." if off else ""
