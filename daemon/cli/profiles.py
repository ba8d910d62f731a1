"""Coordinators that somebody has logged in to: a name, a URL and a token each, in one file that only its owner may read."""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from contracts.errors import InvalidInput, NotFound
from contracts.settings import read_toml
from daemon.cli.config import config_dir

DEFAULT_NAME: Final = "default"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
_TOKEN: Final = re.compile(r"[!-~]{1,200}")


class Profile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One coordinator, and what lets its owner in there."""

    url: str
    token: str
    ca_file: str = ""

    def __repr__(self) -> str:
        return f"Profile(url={self.url!r}, token=<hidden>)"


class Profiles(msgspec.Struct, frozen=True, kw_only=True):
    """The file."""

    current: str = ""
    """The one that commands use; empty: what the configuration says."""
    profiles: dict[str, Profile] = {}

    def need(self, name: str) -> Profile:
        """Raises: NotFound with the names that there are."""
        if name not in self.profiles:
            there = ", ".join(sorted(self.profiles)) or "none yet"
            raise NotFound("profile.not_found", f"there is no profile {name!r}; there are: {there}", field="profile")
        return self.profiles[name]

    def with_profile(self, name: str, profile: Profile) -> Profiles:
        """And it is the one in use."""
        return Profiles(current=name, profiles={**self.profiles, name: profile})

    def without(self, name: str) -> Profiles:
        """Raises: NotFound."""
        self.need(name)
        left = {each: profile for each, profile in self.profiles.items() if each != name}
        return Profiles(current="" if name == self.current else self.current, profiles=left)


def profiles_path(environ: Mapping[str, str]) -> Path:
    return config_dir(environ) / "profiles.toml"


def load_profiles(environ: Mapping[str, str]) -> Profiles:
    """None where there is no file.  Raises: InvalidInput `config.invalid` for one that cannot be read, or others can."""
    path = profiles_path(environ)
    if not path.exists():
        return Profiles()
    check_private(path)
    try:
        return msgspec.convert(read_toml(path), Profiles)
    except msgspec.ValidationError as exc:
        # `from None`: the values are secrets, and some formats of tracebacks show them.
        raise InvalidInput("config.invalid", f"{path}: {exc}", field=str(path)) from None


def save_profiles(profiles: Profiles, environ: Mapping[str, str]) -> Path:
    """In one step, readable by its owner alone.  Raises: InvalidInput `config.invalid`."""
    import tomli_w

    from daemon.embedded.private_files import write_private

    path = profiles_path(environ)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(path, tomli_w.dumps(msgspec.to_builtins(profiles)))
    except OSError as exc:
        raise InvalidInput("config.invalid", f"{path}: cannot be written: {exc.strerror}", field=str(path)) from exc
    return path


def check_private(path: Path) -> None:
    """Raises: InvalidInput `config.invalid` for a file with a secret that others may read."""
    try:
        mode = path.stat().st_mode
    except OSError as exc:
        raise InvalidInput("config.invalid", f"{path}: cannot be read: {exc.strerror}", field=str(path)) from exc
    if stat.S_ISREG(mode) and mode & 0o077:
        raise InvalidInput(
            "config.invalid",
            f"{path} holds a token, and others may read it: `chmod 600 {path}`, and think about making another token",
            field=str(path),
        )


def check_name(name: str) -> str:
    """The name itself.  Raises: InvalidInput."""
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            "input.invalid", f"profile {name!r} must be up to 40 of a-z, A-Z, 0-9, '.', '_' and '-'", field="profile"
        )
    return name


def check_token(text: str, where: str) -> str:
    """The token without the blanks around it.  Raises: InvalidInput, which never quotes it."""
    token = text.strip()
    if not _TOKEN.fullmatch(token):
        raise InvalidInput("input.invalid", f"{where} does not hold a token, which reads srm_...", field="token")
    return token


def check_url(url: str, field: str) -> str:
    """The URL without a slash at its end.  Raises: InvalidInput."""
    try:
        parts = urlsplit(url)
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError:
        parts, port_is_fine = urlsplit(""), False
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_fine:
        raise InvalidInput(
            "input.invalid", f"{field} {url!r} must be a URL such as https://backups.example.org", field=field
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise InvalidInput(
            "input.invalid", f"{field} must be the address alone, without a user, a query or a fragment", field=field
        )
    return url.rstrip("/")


def is_plain(url: str) -> bool:
    """Whether a token sent there could be read on its way."""
    parts = urlsplit(url)
    return parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1")
