"""Settings: a TOML file, overridden by environment variables, checked into a Struct.

The variable of `[nats] url` with the prefix `STRONGROOM` is `STRONGROOM_NATS_URL`.  Whatever is unknown or malformed is
named by its file and key (or its variable); nothing is guessed.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

import msgspec

from contracts.errors import InvalidInput

T = TypeVar("T", bound=msgspec.Struct)


class NatsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to reach the NATS servers."""

    url: str = "nats://127.0.0.1:4222"
    """One URL, or several with commas between."""
    nkey_file: str
    """File with this program's nkey seed; mode 0600."""
    ca_file: str = ""
    """PEM file with the authority that signed the server's certificate; with `tls://` URLs."""


def load_settings(type_: type[T], path: Path, *, env_prefix: str, environ: Mapping[str, str]) -> T:
    """The settings in `path`, with the environment's overrides.

    Raises: InvalidInput `config.invalid` naming the file and the key, or the variable.
    """
    raw = read_toml(path)
    for keys, variable in _variables(type_, env_prefix):
        if variable in environ:
            _set(raw, keys, _parse(environ[variable]))
    try:
        return msgspec.convert(raw, type_, strict=False)
    except msgspec.ValidationError as exc:
        message, _, where = str(exc).partition(" - at `")
        key = where.rstrip("`").removeprefix("$").lstrip(".")
        raise _invalid(path, key, message) from exc


def read_toml(path: Path) -> dict[str, Any]:
    """Raises: InvalidInput `config.invalid` for a file that is absent, unreadable or not TOML."""
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as exc:
        raise InvalidInput("config.invalid", f"{path}: cannot be read: {exc.strerror}", field=str(path)) from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise InvalidInput("config.invalid", f"{path}: is not valid TOML: {exc}", field=str(path)) from exc


def _invalid(path: Path, key: str, message: str) -> InvalidInput:
    where = f"{path}: {key}" if key else str(path)
    return InvalidInput("config.invalid", f"{where}: {message}", field=key or str(path))


def _variables(type_: type[msgspec.Struct], prefix: str) -> Iterator[tuple[tuple[str, ...], str]]:
    for field in msgspec.structs.fields(type_):
        variable = f"{prefix}_{field.name.upper()}"
        yield (field.name,), variable
        for candidate in (field.type, *get_args(field.type)):
            if isinstance(candidate, type) and issubclass(candidate, msgspec.Struct):
                for keys, nested in _variables(candidate, variable):
                    yield (field.name, *keys), nested


def _parse(text: str) -> Any:
    """Lists and tables are written as in TOML; everything else is taken as it stands."""
    if text.startswith(("[", "{")):
        try:
            return tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            return text
    return text


def _set(raw: dict[str, Any], keys: tuple[str, ...], value: Any) -> None:
    for key in keys[:-1]:
        raw = raw.setdefault(key, {})
    raw[keys[-1]] = value
