"""What tools say, without what nobody else may read: passwords, their hashes, and the contents of rows."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from agents.drivers.secret_files import Secret

_HIDDEN: Final = "…"
_RULES: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    # CREATE USER MAPPING … OPTIONS (password '…'), ALTER ROLE … PASSWORD '…', CONNECTION 'host=… password=…'
    (re.compile(r"(?i)\b(password\s*=?\s*)'(?:[^']|'')*'?"), rf"\1'{_HIDDEN}'"),
    (re.compile(r"(?i)\b(password\s*=\s*)[^\s']+"), rf"\1{_HIDDEN}"),
    (re.compile(r"SCRAM-SHA-256\$[^\s']+"), _HIDDEN),
    (re.compile(r"\bmd5[0-9a-f]{32}\b"), _HIDDEN),
    # Rows: `CONTEXT:  COPY orders, line 7, column note: "…"`, `DETAIL:  Key (email)=(…) already exists.`
    (re.compile(r"(COPY [^\n]{1,200}?, line \d+(?:, column [^\n:]{1,200})?): \"[^\n]*"), rf"\1: {_HIDDEN}"),
    (re.compile(r"(\bKey \([^\n]{1,200}?\)=)\([^\n]*?\)(?= )"), rf"\1({_HIDDEN})"),
    (re.compile(r"(Failing row contains )\([^\n]*"), rf"\1({_HIDDEN})"),
)


def redactor(password: Secret | None) -> Callable[[str], str]:
    """For a program that knows this password."""

    def redact(text: str) -> str:
        if password is not None:
            text = text.replace(password.reveal(), _HIDDEN)
        for pattern, replacement in _RULES:
            text = pattern.sub(replacement, text)
        return text

    return redact
