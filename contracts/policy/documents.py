"""Retention policies and lists of backups as people write them into files: JSON or TOML, checked, and never guessed.

Works on bytes and a name for them; errors name the file, the index and the field.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, NoReturn

import msgspec

from contracts.errors import InvalidInput
from contracts.policy.retention import Maximums, Minimums, RetentionPolicy, RunFacts
from contracts.policy.tags import TIME_TAGS
from contracts.records import RunState

_NULL: Final = "null"
"""What a TOML file writes for no limit: the format has no null of its own."""
_NULLABLE: Final = ("total_count", "total_size_bytes")


class _Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One backup of a history; what else its object holds is ignored, so that records can be given as they are."""

    id: str
    at: str
    size_bytes: int
    tags: list[str] = []
    automatic: bool | None = None
    """Absent: it is automatic if it bears a time tag, which only automatic ones are given."""
    state: RunState = RunState.COMPLETED


_HISTORY: Final = msgspec.json.Decoder(list[_Entry])


def read_history(data: bytes, name: str) -> list[RunFacts]:
    """The backups of the JSON list `[{"id", "at", "size_bytes", "tags", "automatic"}]`.

    Raises: InvalidInput naming `name`, the index in the list and the field.
    """
    try:
        entries = _HISTORY.decode(_utf8(data, name, "history"))
    except msgspec.ValidationError as exc:
        message, path = _split(exc)
        _refuse(name, "history", path, message)
    except (msgspec.DecodeError, RecursionError) as exc:
        raise InvalidInput("input.malformed", f"{name}: is not valid JSON: {exc}", field="history") from exc
    seen: dict[str, int] = {}
    runs = []
    for index, entry in enumerate(entries):
        if not entry.id:
            _refuse(name, "history", f"[{index}].id", "is empty")
        if entry.id in seen:
            _refuse(name, "history", f"[{index}].id", f"{entry.id!r} is the id of [{seen[entry.id]}] too")
        if entry.size_bytes < 0:
            _refuse(name, "history", f"[{index}].size_bytes", f"{entry.size_bytes} is less than 0")
        seen[entry.id] = index
        try:
            at = parse_moment(entry.at)
        except ValueError as exc:
            _refuse(name, "history", f"[{index}].at", str(exc))
        automatic = not TIME_TAGS.isdisjoint(entry.tags) if entry.automatic is None else entry.automatic
        runs.append(
            RunFacts(
                id=entry.id, at=at, size_bytes=entry.size_bytes, tags=entry.tags, automatic=automatic, state=entry.state
            )
        )
    return runs


def read_policy(data: bytes, name: str) -> RetentionPolicy:
    """The policy of a JSON or TOML document; what it does not name has its default.

    A key that a policy does not have is refused: a mistyped limit must not pass for no limit.
    Raises: InvalidInput naming `name` and the field.
    """
    text = _utf8(data, name, "policy")
    raw = _parse_document(text, name)
    _refuse_unknown(raw, RetentionPolicy, name, "")
    for group, type_ in (("minimums", Minimums), ("maximums", Maximums)):
        if isinstance(counts := raw.get(group), Mapping):
            _refuse_unknown(counts, type_, name, f".{group}")
    for key in _NULLABLE:
        if raw.get(key) == _NULL:
            raw[key] = None
    try:
        return msgspec.convert(raw, RetentionPolicy)
    except msgspec.ValidationError as exc:
        message, path = _split(exc)
        _refuse(name, "policy", path, message)
    except InvalidInput as exc:
        _refuse(name, "policy", f".{(exc.field or '').removeprefix('retention.')}", exc.message)


def parse_moment(text: str) -> datetime:
    """The time in UTC, which is what it is in unless it says otherwise.  Raises: ValueError with a sentence."""
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{text[:60]!r} is not a time such as 2026-11-22T00:05:12Z") from None


def _parse_document(text: str, name: str) -> dict[str, Any]:
    """JSON if it looks like it, else TOML: no TOML document begins with a brace."""
    try:
        raw = msgspec.json.decode(text) if text.lstrip().startswith(("{", "[")) and not name.endswith(".toml") else None
    except (msgspec.DecodeError, RecursionError) as exc:
        raise InvalidInput("input.malformed", f"{name}: is not valid JSON: {exc}", field="policy") from exc
    if raw is None:
        try:
            raw = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError) as exc:
            raise InvalidInput("input.malformed", f"{name}: is neither JSON nor valid TOML: {exc}", field="policy") from exc
    if not isinstance(raw, dict):
        _refuse(name, "policy", "", "is not one JSON object or TOML table with the fields of a policy")
    return raw


def _refuse_unknown(raw: Mapping[str, Any], type_: type[msgspec.Struct], name: str, path: str) -> None:
    known = type_.__struct_fields__
    for key in raw:
        if key not in known:
            _refuse(name, "policy", f"{path}.{key}", f"there is no such field; there are {', '.join(known)}")


def _utf8(data: bytes, name: str, field: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        message = f"{name}: is not UTF-8 text: {exc.reason} at byte {exc.start}"
        raise InvalidInput("input.malformed", message, field=field) from exc


def _split(exc: msgspec.ValidationError) -> tuple[str, str]:
    """Its sentence, and the path such as `[3].at`."""
    message, _, path = str(exc).partition(" - at `")
    return message, path.rstrip("`").removeprefix("$")


def _refuse(name: str, document: str, path: str, message: str) -> NoReturn:
    where = f"{name}: {path.removeprefix('.')}" if path else name
    raise InvalidInput("input.invalid", f"{where}: {message}", field=f"{document}{path}")
