"""Identities that an operator has in files: they open backups on the operator's machine, and never leave it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from contracts.errors import Denied, InvalidInput
from contracts.records import BackupRecord

if TYPE_CHECKING:
    from contracts.age import Identity

VARIABLE: Final = "STRONGROOM_IDENTITY_FILE"
_MOST_BYTES: Final = 64 * 1024
_STDIN: Final = "-"

IdentityOption = Annotated[
    list[str] | None,
    typer.Option(
        "--identity",
        "-i",
        metavar="FILE",
        help=f"An age identity file to open the backup with, here; - reads standard input. May be repeated. Without it, "
        f"{VARIABLE} names one, for backups that the coordinator cannot open.",
        show_default=False,
    ),
]


def identities_for(backup: BackupRecord, files: Sequence[str] | None, *, command: str) -> list[Identity]:
    """Those to open this backup with; none where the coordinator opens it.

    Those that were named are used in any case; the one of the environment only where it is needed.
    Raises: InvalidInput `key.invalid`, Denied `key.unavailable` when one is needed and none was named, or when none of them
    is one that the backup is encrypted to.
    """
    named = list(files or [])
    if not named and not backup.key_id:
        named = [path] if (path := os.environ.get(VARIABLE, "")) else []
        if not named:
            name = f"{backup.project}/{backup.service}/{backup.id}"
            raise Denied(
                "key.unavailable",
                f"the identity that opens the backups of project {backup.project!r} is with its owner, not with the "
                f"coordinator: type `strongroom {command} {name} --identity FILE`, or name the file in {VARIABLE}",
                field="identity",
            )
    if not named:
        return []
    found = load_identities(named)
    if not any(str(identity.recipient) in backup.recipients for identity in found):
        holders = " or ".join(backup.recipients)
        raise Denied(
            "key.unavailable",
            f"none of the given identities opens this backup: it needs the identity of {holders}",
            field="identity",
        )
    return found


def has_identity(files: Sequence[str] | None) -> bool:
    """Whether the operator named any, in one way or the other."""
    return bool(files) or bool(os.environ.get(VARIABLE))


def load_identities(files: Sequence[str]) -> list[Identity]:
    """All identities of age identity files, in their order.

    Raises: InvalidInput `key.invalid` naming file and line, and nothing of what stands there.
    """
    return [identity for file in files for identity in parse_identities(_read(file), file)]


def parse_identities(text: str, source: str) -> list[Identity]:
    """Of one identity file: one a line, beside comments and empty lines.  Raises: InvalidInput `key.invalid`."""
    # Imported late: most commands need no key.
    from contracts.age import AgeError, Identity

    found: list[Identity] = []
    if text.startswith(("age-encryption.org/", "-----BEGIN AGE")):
        raise _wrong(
            source, "is encrypted itself: decrypt it first with `age -d`, and give what comes out as `--identity -`"
        )
    for number, line in enumerate(text.splitlines(), start=1):
        word = line.strip()
        if not word or word.startswith("#"):
            continue
        if why := next((why for prefix, why in _OTHERS.items() if word.upper().startswith(prefix)), ""):
            raise _wrong(source, f"line {number} {why}")
        try:
            found.append(Identity.parse(word))
        except AgeError as exc:
            raise _wrong(source, f"line {number}: {exc}") from None
    if not found:
        raise _wrong(source, "holds no identity: those begin with AGE-SECRET-KEY-1")
    return found


_OTHERS: Final[Mapping[str, str]] = {
    "AGE-SECRET-KEY-PQ-1": "is a post-quantum identity, which is not supported",
    "AGE-PLUGIN-": "is an identity of a plugin, which is not supported",
    "-----BEGIN OPENSSH": "begins an SSH key, which is not supported",
    "AGE1": "is a recipient, not an identity",
}


def _read(file: str) -> str:
    try:
        if file == _STDIN:
            data = sys.stdin.buffer.read(_MOST_BYTES + 1)
        else:
            with Path(file).expanduser().open("rb") as opened:
                data = opened.read(_MOST_BYTES + 1)
    except OSError as exc:
        raise _wrong(file, f"cannot be read: {exc.strerror or type(exc).__name__}") from exc
    if len(data) > _MOST_BYTES:
        raise _wrong(file, "is too large for an identity file")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise _wrong(file, "is no text") from None


def _wrong(source: str, why: str) -> InvalidInput:
    name = "standard input" if source == _STDIN else source
    return InvalidInput("key.invalid", f"identity file {name}: {why}", field="identity")
