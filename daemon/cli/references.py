"""What people write on the command line to name things."""

from __future__ import annotations

from typing import Final, NamedTuple

from contracts.errors import InvalidInput
from contracts.ids import check_run_id, check_slug, parse_service_ref

LATEST: Final = "latest"


class RunRef(NamedTuple):
    """A backup or restore: `acme/orders/20261122T000512Z-k7xq` or `acme/orders/latest`."""

    project: str
    service: str
    id: str

    def __str__(self) -> str:
        return f"{self.project}/{self.service}/{self.id}"


def parse_run_ref(text: str, field: str) -> RunRef:
    """Raises: InvalidInput naming the field."""
    parts = text.split("/")
    if len(parts) != 3:
        raise InvalidInput(
            "input.invalid",
            f"{field} {text!r} must be written PROJECT/SERVICE/ID, such as acme/orders/{LATEST} "
            "or acme/orders/20261122T000512Z-k7xq",
            field=field,
        )
    project, service, run_id = parts
    if run_id != LATEST:
        check_run_id(run_id, field)
    return RunRef(check_slug(project, f"{field} project"), check_slug(service, f"{field} service"), run_id)


def parse_scope(text: str) -> tuple[str, str]:
    """What a list is limited to: `` is everything, `acme` a project, `acme/orders` a service."""
    if "/" in text:
        return parse_service_ref(text)
    return (check_slug(text, "project"), "") if text else ("", "")


def parse_renames(texts: list[str]) -> dict[str, str]:
    """`orders=orders_copy` each; a name that itself holds `=` is split at the first one.

    Raises: InvalidInput `input.invalid` for a text without two names, and for a name that is renamed twice.
    """
    renames: dict[str, str] = {}
    for text in texts:
        old, sign, new = text.partition("=")
        if not (old and sign and new):
            raise InvalidInput(
                "input.invalid", f"rename {text!r} must be written OLD=NEW, such as orders=orders_copy", field="rename"
            )
        if old in renames:
            raise InvalidInput("input.invalid", f"{old!r} is renamed twice", field="rename")
        renames[old] = new
    return renames
