"""What a form was filled with, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from contracts.errors import Denied, StrongroomError
from daemon.web.sessions import CSRF_FIELD
from daemon.web.visits import AnyRequest

_CONFIRMED = "confirmed"


@dataclass
class Form:
    """Values by the names of fields, as text, and errors by the same names."""

    values: Mapping[str, Sequence[str]] = field(default_factory=dict)
    field_errors: dict[str, str] = field(default_factory=dict)
    general: str = ""
    """What is wrong with no single field."""

    @classmethod
    def filled(cls, **values: str | Sequence[str]) -> Self:
        """A form that nobody has touched yet."""
        return cls({name: [value] if isinstance(value, str) else list(value) for name, value in values.items()})

    @classmethod
    async def of(cls, request: AnyRequest) -> Self:
        """As it was sent; uploaded files are left out."""
        sent: dict[str, list[str]] = {}
        for name, value in (await request.form()).multi_items():
            if isinstance(value, str) and name != CSRF_FIELD:
                sent.setdefault(name, []).append(value.replace("\r\n", "\n"))
        return cls(sent)

    @property
    def errors(self) -> bool:
        return bool(self.field_errors or self.general)

    @property
    def confirmed(self) -> bool:
        """Whether whoever sent it was asked, and said yes."""
        return self.value(_CONFIRMED) == "yes"

    def value(self, name: str) -> str:
        """The first value, without blanks around it; empty without one."""
        values = self.values.get(name, ())
        return values[0].strip() if values else ""

    def all(self, name: str) -> list[str]:
        """All values that say anything."""
        return [value.strip() for value in self.values.get(name, ()) if value.strip()]

    def lines(self, name: str) -> list[str]:
        """A text's lines that say anything."""
        return [line.strip() for line in self.value(name).splitlines() if line.strip()]

    def checked(self, name: str) -> bool:
        return self.value(name) == "yes"

    def error(self, name: str) -> str:
        return self.field_errors.get(name, "")

    def refuse(self, exc: StrongroomError, *, fields: Sequence[str] = (), **names: str) -> None:
        """Ties an error to its field: `names` are fields of the request that the form calls otherwise, `fields` those that
        it calls the same.  An error of any other field is one of the whole form.

        Raises: the error itself, if it is Denied: nothing that somebody fills in would help.
        """
        if isinstance(exc, Denied):
            raise exc
        name = (exc.field or "").partition("[")[0]
        name = names.get(name.replace(".", "_"), name)
        if name and (name in fields or name in names.values() or name in self.values):
            self.field_errors[name] = exc.message
        else:
            self.general = exc.message
