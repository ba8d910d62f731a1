"""Names that people choose (slugs) and ids that we make."""

from __future__ import annotations

import hashlib
import re
import secrets
from datetime import UTC, datetime
from typing import Annotated, Final

import msgspec

from contracts.errors import InvalidInput

SLUG_PATTERN: Final = r"\A[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?\Z"
RUN_ID_PATTERN: Final = r"\A[0-9]{8}T[0-9]{6}Z-[a-z2-7]{4}\Z"

Slug = Annotated[str, msgspec.Meta(pattern=SLUG_PATTERN)]
"""1 to 40 of `a-z`, `0-9`, `-`, not at the ends: one token of a NATS subject and of an object key, as it is."""
RunId = Annotated[str, msgspec.Meta(pattern=RUN_ID_PATTERN)]
"""The second it was asked for or due, in UTC, and 20 bits, such as `20261122T000512Z-k7xq`: sorts by time and reads well."""

_SLUG = re.compile(SLUG_PATTERN)
_RUN_ID = re.compile(RUN_ID_PATTERN)
_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz234567"
_STAMP: Final = "%Y%m%dT%H%M%SZ"


def check_slug(value: str, field: str) -> str:
    """The value itself, if it is a slug.  Raises: InvalidInput naming the field."""
    if not _SLUG.fullmatch(value):
        raise InvalidInput(
            "input.invalid",
            f"{field} {value!r} is not a valid name: use 1 to 40 of a-z, 0-9 and '-', not '-' at either end",
            field=field,
        )
    return value


def is_slug(value: str) -> bool:
    return bool(_SLUG.fullmatch(value))


def new_run_id(now: datetime) -> str:
    """A fresh id for a backup or restore that is requested at `now` (aware)."""
    stamp = now.astimezone(UTC).strftime(_STAMP)
    return f"{stamp}-{''.join(secrets.choice(_ALPHABET) for _ in range(4))}"


def due_run_id(project: str, service: str, due_at: datetime) -> str:
    """The id of the run that a due time leads to: always the same, so that there is one run, whoever acts and how often."""
    stamp = due_at.astimezone(UTC).strftime(_STAMP)
    digest = hashlib.sha256(f"{project}/{service}/{stamp}".encode()).digest()
    return f"{stamp}-{''.join(_ALPHABET[byte & 31] for byte in digest[:4])}"


def check_run_id(value: str, field: str) -> str:
    """The value itself, if it has the form of a run id.  Raises: InvalidInput naming the field."""
    if not _RUN_ID.fullmatch(value):
        raise InvalidInput("input.invalid", f"{field} {value!r} is not an id such as 20261122T000512Z-k7xq", field=field)
    return value


def is_run_path(project: str, service: str, run_id: str) -> bool:
    """Whether these can be the names of a run, its service and its project."""
    return bool(_SLUG.fullmatch(project) and _SLUG.fullmatch(service) and _RUN_ID.fullmatch(run_id))


def run_id_time(run_id: str) -> datetime:
    """The second at which the run was requested or due, UTC."""
    check_run_id(run_id, "id")
    return datetime.strptime(run_id.partition("-")[0], _STAMP).replace(tzinfo=UTC)


def parse_service_ref(value: str, field: str = "service") -> tuple[str, str]:
    """`acme/orders` as ("acme", "orders").  Raises: InvalidInput naming the field."""
    project, slash, service = value.partition("/")
    if not slash:
        raise InvalidInput(
            "input.invalid", f"{field} {value!r} must be written PROJECT/SERVICE, such as acme/orders", field=field
        )
    return check_slug(project, f"{field} project"), check_slug(service, field)
