"""Which coordinator a command speaks to, and how: over NATS as an operator, or over HTTP with a token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from contracts.errors import InvalidInput
from contracts.settings import NatsSettings
from daemon.cli.config import CONFIG_VARIABLE, HttpSettings, Way, load_operator_settings
from daemon.cli.profiles import check_token, check_url, load_profiles

URL_VARIABLE: Final = "STRONGROOM_URL"
TOKEN_VARIABLE: Final = "STRONGROOM_TOKEN"  # noqa: S105 - the name of a variable
TOKEN_FILE_VARIABLE: Final = "STRONGROOM_TOKEN_FILE"  # noqa: S105
CA_FILE_VARIABLE: Final = "STRONGROOM_CA_FILE"
PROFILE_VARIABLE: Final = "STRONGROOM_PROFILE"


@dataclass(frozen=True, kw_only=True)
class HttpTarget:
    """A coordinator over HTTP."""

    url: str
    token: str = field(repr=False)
    ca_file: str = ""
    origin: str = ""
    """Where that was said, for messages."""

    @property
    def place(self) -> str:
        """Such as `https://backups.example.org (profile default)`."""
        return f"{self.url} ({self.origin})" if self.origin else self.url


def find_target(config: Path | None, profile: str, environ: Mapping[str, str]) -> NatsSettings | HttpTarget:
    """The first of: `--config` or `--profile`; `STRONGROOM_URL`, `_PROFILE`, `_CONFIG`; the profile in use; the usual files.

    Raises: InvalidInput `config.invalid`, NotFound `profile.not_found`.
    """
    if config is not None and profile:
        raise InvalidInput(
            "input.invalid", "either --config or --profile says which coordinator is meant, not both", field="profile"
        )
    if config is None:
        if not profile and environ.get(URL_VARIABLE):
            return _from_environment(environ)
        if name := profile or environ.get(PROFILE_VARIABLE, ""):
            return _from_profile(name, environ)
        if not environ.get(CONFIG_VARIABLE) and (current := load_profiles(environ).current):
            return _from_profile(current, environ)
    settings = load_operator_settings(config, environ)
    if settings.way is Way.NATS:
        assert settings.nats is not None, "looked at when it was loaded"
        return settings.nats
    assert settings.http is not None, "looked at when it was loaded"
    return _from_settings(settings.http, environ)


def _from_profile(name: str, environ: Mapping[str, str]) -> HttpTarget:
    profile = load_profiles(environ).need(name)
    return HttpTarget(url=profile.url, token=profile.token, ca_file=profile.ca_file, origin=f"profile {name}")


def _from_environment(environ: Mapping[str, str]) -> HttpTarget:
    url = check_url(environ[URL_VARIABLE], URL_VARIABLE)
    if text := environ.get(TOKEN_VARIABLE, ""):
        token = check_token(text, TOKEN_VARIABLE)
    elif path := environ.get(TOKEN_FILE_VARIABLE, ""):
        token = read_token(Path(path))
    else:
        raise InvalidInput(
            "config.invalid",
            f"{URL_VARIABLE} is set, and there is no token: set {TOKEN_VARIABLE} or {TOKEN_FILE_VARIABLE}, or `strongroom "
            f"login {url}` once and leave {URL_VARIABLE} out",
            field=TOKEN_VARIABLE,
        )
    return HttpTarget(url=url, token=token, ca_file=environ.get(CA_FILE_VARIABLE, ""), origin=URL_VARIABLE)


def _from_settings(http: HttpSettings, environ: Mapping[str, str]) -> HttpTarget:
    if http.token_file:
        token = read_token(Path(http.token_file))
    elif text := environ.get(TOKEN_VARIABLE, ""):
        token = check_token(text, TOKEN_VARIABLE)
    else:
        raise InvalidInput(
            "config.invalid", f"there is no token: set http.token_file, or {TOKEN_VARIABLE}", field="http.token_file"
        )
    return HttpTarget(url=check_url(http.url, "http.url"), token=token, ca_file=http.ca_file, origin="[http]")


def read_token(path: Path) -> str:
    """Raises: InvalidInput."""
    try:
        return check_token(path.read_text(encoding="utf-8"), str(path))
    except OSError as exc:
        raise InvalidInput("config.invalid", f"{path}: cannot be read: {exc.strerror}", field=str(path)) from exc
    except UnicodeDecodeError:
        raise InvalidInput("config.invalid", f"{path} does not hold a token, which reads srm_...", field=str(path)) from None
