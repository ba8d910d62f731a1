"""The retention editor: a policy as a form, and the form as a policy."""

from __future__ import annotations

from typing import Final

from contracts.errors import InvalidInput
from contracts.policy.retention_policy import Maximums, Minimums, Per, RetentionPolicy
from daemon.cli.sizes import limit_size, parse_size
from daemon.web.forms import Form

CLASSES: Final = ("daily", "weekly", "monthly")
_SIZE_DIGITS: Final = 19
_DIGITS: Final = 12
"""More than any number that a policy takes."""


def retention_form(policy: RetentionPolicy) -> Form:
    """As it stands."""
    counts = {
        f"{group}-{name}": str(getattr(of, name))
        for group, of in (("min", policy.minimums), ("max", policy.maximums))
        for name in CLASSES
    }
    return Form.filled(
        protected_tags=" ".join(policy.protected_tags),
        total_count="" if policy.total_count is None else str(policy.total_count),
        total_size_bytes="" if policy.total_size_bytes is None else _exact_size(policy.total_size_bytes),
        per=policy.per.value,
        suspicious_percent=f"{policy.suspicious_size_factor * 100:g}",
        **{name: "" if name.startswith("max") and number == "0" else number for name, number in counts.items()},
    )


def read_policy(form: Form) -> RetentionPolicy:
    """Empty fields are no limit, and an empty minimum is none.  Raises: InvalidInput naming the form's field."""
    size = form.value("total_size_bytes")
    try:
        return RetentionPolicy(
            protected_tags=list(dict.fromkeys(form.value("protected_tags").replace(",", " ").split())),
            minimums=Minimums(**{name: _number(form, f"min-{name}") for name in CLASSES}),
            maximums=Maximums(**{name: _number(form, f"max-{name}") for name in CLASSES}),
            total_count=_number(form, "total_count") if form.value("total_count") else None,
            total_size_bytes=_size(size) if size else None,
            per=_per(form.value("per")),
            suspicious_size_factor=_percent(form, "suspicious_percent"),
        )
    except InvalidInput as exc:
        raise InvalidInput(exc.code, exc.message, field=field_of(exc.field or "")) from exc


def field_of(field: str) -> str:
    """The form's name of a policy's field, such as `max-daily` of `retention.maximums.daily`."""
    name = field.removeprefix("retention.")
    for group, prefix in (("minimums.", "min-"), ("maximums.", "max-")):
        if name.startswith(group):
            return prefix + name.removeprefix(group)
    return "suspicious_percent" if name == "suspicious_size_factor" else name


def _size(text: str) -> int:
    """A bare number to the last byte, which a number with a unit need not be."""
    if text.isascii() and text.isdecimal() and len(text) <= _SIZE_DIGITS:
        return int(text)
    return parse_size(text, "total_size_bytes")


def _exact_size(count: int) -> str:
    """In words only where that loses nothing: saving a form that nobody changed changes nothing."""
    words = limit_size(count)
    try:
        return words if parse_size(words) == count else str(count)
    except InvalidInput:
        return str(count)


def _number(form: Form, name: str) -> int:
    text = form.value(name) or "0"
    if not (text.isascii() and text.isdecimal() and len(text) <= _DIGITS):
        raise InvalidInput("input.invalid", f"{text[:40]!r} is not a number of backups", field=name)
    return int(text)


def _percent(form: Form, name: str) -> float:
    text = form.value(name).removesuffix("%").strip() or "0"
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    # Written so that NaN fails too.
    if not 0 <= value <= 100:
        raise InvalidInput("input.invalid", f"{text[:40]!r} is not within 0 and 100 percent; 0 switches it off", field=name)
    return value / 100


def _per(text: str) -> Per:
    try:
        return Per(text)
    except ValueError:
        raise InvalidInput("input.invalid", f"{text[:40]!r} is neither run nor day", field="per") from None
