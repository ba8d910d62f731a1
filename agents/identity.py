"""The node's own identity: made once, never leaving the host."""

from __future__ import annotations

import os
from pathlib import Path

from contracts.age import Identity
from contracts.age.errors import AgeError
from contracts.errors import InvalidInput


def ensure_identity(path: Path) -> Identity:
    """The identity in the file, made if there is none.

    Raises: InvalidInput `key.invalid` naming the file, never its content.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return _read(path)
    except OSError as exc:
        raise InvalidInput("key.invalid", f"{path}: cannot be made: {exc.strerror}", field="identity_file") from exc
    identity = Identity.generate()
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(f"# the age identity of this strongroom node; its recipient: {identity.recipient}\n{identity.reveal()}\n")
        file.flush()
        os.fsync(file.fileno())
    return identity


def _read(path: Path) -> Identity:
    try:
        lines = [line.strip() for line in path.read_text(encoding="ascii").splitlines()]
        (secret,) = [line for line in lines if line and not line.startswith("#")]
        return Identity.parse(secret)
    except OSError as exc:
        raise InvalidInput("key.invalid", f"{path}: cannot be read: {exc.strerror}", field="identity_file") from exc
    except (ValueError, AgeError) as exc:
        # `from None`: the text of the inner error may quote the file.
        reason = (
            "does not hold exactly one age identity" if isinstance(exc, ValueError) else "holds a malformed age identity"
        )
        raise InvalidInput("key.invalid", f"{path}: {reason}", field="identity_file") from None
