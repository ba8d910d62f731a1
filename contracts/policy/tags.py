"""Tags: those that people give, and those that say which periods an automatic backup stands for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

from contracts.errors import InvalidInput

DAILY: Final = "daily"
WEEKLY: Final = "weekly"
MONTHLY: Final = "monthly"
TIME_TAGS: Final = frozenset({DAILY, WEEKLY, MONTHLY})
TAG_PATTERN: Final = r"\A[A-Za-z0-9:_-]{1,24}\Z"
MOST_TAGS: Final = 50
"""On one backup: every list of backups carries them all."""

_TAG: Final = re.compile(TAG_PATTERN)


def check_tag_name(tag: str, field: str = "tags") -> str:
    """The tag itself, if it can be one.  Raises: InvalidInput naming the field."""
    if not _TAG.fullmatch(tag):
        shown = tag if len(tag) <= 60 else f"{tag[:57]}..."
        raise InvalidInput("input.invalid", f"tag {shown!r} must have 1 to 24 letters, digits, ':', '-' or '_'", field=field)
    return tag


def check_user_tags(tags: Sequence[str], field: str = "tags") -> list[str]:
    """The tags that a person gives a backup, sorted, each once.  Raises: InvalidInput naming the field."""
    for tag in tags:
        check_tag_name(tag, field)
        # In any case of letters: `Daily` beside `daily` would only be misread.
        if tag.lower() in TIME_TAGS:
            raise InvalidInput("input.invalid", f"tag {tag!r} is reserved: the coordinator alone gives it", field=field)
    distinct = sorted(set(tags))
    if len(distinct) > MOST_TAGS:
        raise InvalidInput("input.invalid", f"a backup can bear {MOST_TAGS} tags, not {len(distinct)}", field=field)
    return distinct


def time_tags(previous: Iterable[datetime], at: datetime) -> list[str]:
    """The tags of an automatic backup that was due `at` and has just completed.

    `daily` always; `weekly` if none of `previous` lies in the same ISO week (from Monday, ISO year), `monthly` if none lies
    in the same month, all in UTC.  `previous` are the times of the automatic backups that completed before it, those deleted
    since included; the newest of them is enough while runs complete in the order they were due.  A period's tag is given
    once: a run that was due earlier but completes later does not get it again.
    """
    moments = [moment.astimezone(UTC) for moment in previous]
    own = at.astimezone(UTC)
    tags = [DAILY]
    if all(iso_week(moment) != iso_week(own) for moment in moments):
        tags.append(WEEKLY)
    if all((moment.year, moment.month) != (own.year, own.month) for moment in moments):
        tags.append(MONTHLY)
    return tags


def iso_week(moment: datetime) -> tuple[int, int]:
    """ISO year and week in UTC: 2024-12-30 and 2025-01-01 are both in week 1 of 2025."""
    year, week, _ = moment.astimezone(UTC).isocalendar()
    return year, week
