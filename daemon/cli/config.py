"""How the operator reaches the coordinator: found in one of four places, checked, and never guessed."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from contracts.errors import InvalidInput
from contracts.settings import NatsSettings, load_settings

ENV_PREFIX: Final = "STRONGROOM"
CONFIG_VARIABLE: Final = "STRONGROOM_CONFIG"
_NKEY_VARIABLE: Final = "STRONGROOM_NATS_NKEY_FILE"

EXAMPLE: Final = """\
[nats]
url = "nats://127.0.0.1:4222"
nkey_file = "operator.nk"   # the operator's nkey seed, mode 0600; relative to this file
# ca_file = "ca.pem"        # with tls:// URLs of a private authority
"""


class HttpSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to reach a coordinator over HTTP."""

    url: str
    """Such as `https://backups.example.org`."""
    token_file: str = ""
    """File with a token, mode 0600; empty where `STRONGROOM_TOKEN` holds one."""
    ca_file: str = ""
    """PEM file with the authority that signed the server's certificate, where it is a private one."""


class Way(StrEnum):
    NATS = "nats"
    HTTP = "http"


class OperatorSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`config.toml`; every key may be overridden by `STRONGROOM_<KEY>` or `STRONGROOM_<SECTION>_<KEY>`."""

    nats: NatsSettings | None = None
    http: HttpSettings | None = None
    use: Way | None = None
    """Which of the two, where both are there; NATS if it is not said."""

    @property
    def way(self) -> Way:
        return self.use or (Way.NATS if self.nats is not None else Way.HTTP)


def load_operator_settings(given: Path | None, environ: Mapping[str, str]) -> OperatorSettings:
    """The settings from the file given, or the first that is found, with the environment's overrides.

    Paths in a file are relative to that file.
    Raises: InvalidInput `config.invalid` naming the file and the key, or saying how to come by a configuration.
    """
    path = find_config(given, environ)
    if path is None:
        return _from_environment(environ)
    settings = load_settings(OperatorSettings, path, env_prefix=ENV_PREFIX, environ=environ)
    base = path.resolve().parent
    if settings.nats is None and settings.http is None:
        raise InvalidInput(
            "config.invalid", f"{path}: has neither [nats] nor [http]: there is no way to a coordinator", field="nats"
        )
    if getattr(settings, settings.way) is None:
        raise InvalidInput("config.invalid", f"{path}: use is {settings.way}, and there is no [{settings.way}]", field="use")
    nats, http = settings.nats, settings.http
    if nats is not None:
        nats = _placed_nats(nats, base, environ)
        if settings.way is Way.NATS:
            _check_seed(Path(nats.nkey_file), f"{path}: nats.nkey_file")
    if http is not None:
        http = _placed_http(http, base, environ)
    return msgspec.structs.replace(settings, nats=nats, http=http)


def _placed_nats(nats: NatsSettings, base: Path, environ: Mapping[str, str]) -> NatsSettings:
    """With paths as they are meant."""
    seed = nats.nkey_file if _NKEY_VARIABLE in environ else _beside(base, nats.nkey_file)
    ca_file = nats.ca_file if f"{ENV_PREFIX}_NATS_CA_FILE" in environ else _beside(base, nats.ca_file)
    return msgspec.structs.replace(nats, nkey_file=seed, ca_file=ca_file)


def _placed_http(http: HttpSettings, base: Path, environ: Mapping[str, str]) -> HttpSettings:
    """With paths as they are meant."""
    token = http.token_file if f"{ENV_PREFIX}_HTTP_TOKEN_FILE" in environ else _beside(base, http.token_file)
    ca_file = http.ca_file if f"{ENV_PREFIX}_HTTP_CA_FILE" in environ else _beside(base, http.ca_file)
    return msgspec.structs.replace(http, token_file=token, ca_file=ca_file)


def find_config(given: Path | None, environ: Mapping[str, str]) -> Path | None:
    """The file that is named, by option or variable, or else the first of the usual ones that exists."""
    if given is not None:
        return given
    if named := environ.get(CONFIG_VARIABLE):
        return Path(named).expanduser()
    return next((path for path in usual_places(environ) if path.is_file()), None)


def config_dir(environ: Mapping[str, str]) -> Path:
    """Where a person's own settings are."""
    return usual_places(environ)[0].parent


def usual_places(environ: Mapping[str, str]) -> tuple[Path, Path]:
    """What a person writes, and what `strongroom up` writes.  Source: XDG Base Directory Specification 0.8."""
    config = _xdg(environ, "XDG_CONFIG_HOME", ".config")
    data = _xdg(environ, "XDG_DATA_HOME", ".local/share")
    return config / "strongroom" / "config.toml", data / "strongroom" / "operator.toml"


def _xdg(environ: Mapping[str, str], variable: str, default: str) -> Path:
    path = Path(environ.get(variable, ""))
    # The specification has relative paths ignored.
    return path if path.is_absolute() else Path(environ.get("HOME") or Path.home()) / default


def _from_environment(environ: Mapping[str, str]) -> OperatorSettings:
    """Where there is no file, as in a container, the variables alone are enough."""
    seed = environ.get(_NKEY_VARIABLE)
    if not seed:
        wanted, embedded = usual_places(environ)
        raise InvalidInput(
            "config.invalid",
            f"there is no configuration: run `strongroom up` for everything on this machine (it writes {embedded}), "
            f"`strongroom login URL` for a coordinator elsewhere, or write {wanted} for one on your NATS servers",
            field="config",
            detail=f"an example of {wanted}:\n\n{EXAMPLE}",
        )
    _check_seed(Path(seed), _NKEY_VARIABLE)
    present = {
        key: value for key in ("url", "ca_file") if (value := environ.get(f"{ENV_PREFIX}_NATS_{key.upper()}")) is not None
    }
    return OperatorSettings(nats=NatsSettings(nkey_file=seed, **present))


def _beside(base: Path, name: str) -> str:
    return str(base / Path(name).expanduser()) if name else ""


def _check_seed(path: Path, where: str) -> None:
    """Raises: InvalidInput when the file is no nkey seed; whether a server knows it is for the server to say."""
    from daemon.embedded.nkey_files import public_key_of

    try:
        public_key_of(path.read_text(encoding="ascii"))
    except OSError as exc:
        raise InvalidInput("config.invalid", f"{where}: {path} cannot be read: {exc.strerror}", field=where) from exc
    except (InvalidInput, UnicodeDecodeError):
        # `from None`: nothing of the file's content may reach a message.
        raise InvalidInput("key.invalid", f"{where}: {path} does not hold a user's nkey seed", field=where) from None
