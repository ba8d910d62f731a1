"""Secrets that a connection names by file: read at the moment of use, shown to nobody who does not ask."""

from __future__ import annotations

from pathlib import Path

from contracts.errors import InvalidInput


class Secret:
    """A password, API key or token that shows itself to nobody who does not ask for it by name."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    def hide_in(self, text: str) -> str:
        """The text with … in place of the secret."""
        return text.replace(self._value, "…") if self._value else text


def read_secret(path: str, field: str) -> Secret:
    """The file's text; a line break at its end is not part of it.

    `field` is the connection's, such as `password_file`.
    Raises: InvalidInput `config.invalid` for a file that cannot be read or is empty.
    """
    try:
        text = Path(path).read_text("utf-8")
    except OSError as exc:
        raise _invalid(field, f"{path} cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise _invalid(field, f"{path} is not UTF-8") from exc
    except ValueError as exc:  # a zero byte in it
        raise _invalid(field, f"{path!r} is no file name") from exc
    value = text.removesuffix("\n").removesuffix("\r")
    if not value:
        raise _invalid(field, f"{path} is empty: write the secret into it")
    return Secret(value)


def _invalid(field: str, message: str) -> InvalidInput:
    return InvalidInput("config.invalid", f"connection.{field}: {message}", field=f"connection.{field}")
