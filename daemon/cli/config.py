"""How the operator reaches the coordinator: found in one of four places, checked, and never guessed."""

from __future__ import annotations

from collections.abc import Mapping
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


class OperatorSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`config.toml`; every key may be overridden by `STRONGROOM_<SECTION>_<KEY>`."""

    nats: NatsSettings


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
    nats = settings.nats
    seed = nats.nkey_file if _NKEY_VARIABLE in environ else _beside(base, nats.nkey_file)
    ca_file = nats.ca_file if f"{ENV_PREFIX}_NATS_CA_FILE" in environ else _beside(base, nats.ca_file)
    nats = msgspec.structs.replace(nats, nkey_file=seed, ca_file=ca_file)
    _check_seed(Path(seed), f"{path}: nats.nkey_file")
    return msgspec.structs.replace(settings, nats=nats)


def find_config(given: Path | None, environ: Mapping[str, str]) -> Path | None:
    """The file that is named, by option or variable, or else the first of the usual ones that exists."""
    if given is not None:
        return given
    if named := environ.get(CONFIG_VARIABLE):
        return Path(named).expanduser()
    return next((path for path in usual_places(environ) if path.is_file()), None)


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
            f"or write {wanted} to reach a coordinator elsewhere",
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
