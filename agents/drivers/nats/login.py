"""What a connection needs to be let in: credentials and certificates, read from their files at the moment of use."""

from __future__ import annotations

import ssl
from typing import Any, Final

import nkeys  # type: ignore[import-untyped]
from nats.aio.client import RawCredentials

from agents.drivers.nats.connection import NATSConnection
from agents.drivers.secret_files import read_secret
from contracts.errors import InvalidInput

_JWT_MARK: Final = "BEGIN NATS USER JWT"
_SEED_MARK: Final = "BEGIN USER NKEY SEED"


def login_options(connection: NATSConnection) -> dict[str, Any]:
    """Arguments for `nats.aio.client.Client.connect`; secrets among them.

    Raises: InvalidInput `config.invalid` for a file that cannot be used.
    """
    options: dict[str, Any] = {}
    if connection.creds_file:
        options["user_credentials"] = RawCredentials(_read_creds(connection.creds_file))
    elif connection.nkey_file:
        options["nkeys_seed_str"] = _read_seed(connection.nkey_file)
    elif connection.user:
        options["user"] = connection.user
        options["password"] = read_secret(connection.password_file, "password_file").reveal()
    elif connection.token_file:
        options["token"] = read_secret(connection.token_file, "token_file").reveal()
    if (tls := _tls(connection)) is not None:
        options["tls"] = tls
    return options


def _read_creds(path: str) -> str:
    text = read_secret(path, "creds_file").reveal()
    lines = text.splitlines()
    marks = [any(mark in line for line in lines[:-1]) for mark in (_JWT_MARK, _SEED_MARK)]
    if not all(marks):  # the library would look for them for ever
        raise _invalid("creds_file", f"{path} holds no NATS credentials: write what `nsc generate creds` prints into it")
    return text + "\n"


def _read_seed(path: str) -> str:
    seed = read_secret(path, "nkey_file").reveal().strip()
    try:
        pair = nkeys.from_seed(bytearray(seed.encode()))
        is_user = bytes(pair.public_key).startswith(b"U")
        pair.wipe()
    except Exception as exc:
        raise _invalid("nkey_file", f"{path} holds no nkey seed: write the line that begins with SU into it") from exc
    if not is_user:
        raise _invalid("nkey_file", f"{path} holds the seed of an account or operator: a user's begins with SU")
    return seed


def _tls(connection: NATSConnection) -> ssl.SSLContext | None:
    wanted = any(url.startswith(("tls:", "wss:")) for url in connection.url)
    if not (wanted or connection.ca_file or connection.cert_file):
        return None  # where the server asks for TLS all the same, the library trusts the system's certificates
    try:
        context = ssl.create_default_context(cafile=connection.ca_file or None)
    except (OSError, ssl.SSLError) as exc:
        raise _invalid("ca_file", f"{connection.ca_file} cannot be used: {exc}") from exc
    if connection.cert_file:
        try:
            # OpenSSL would ask for a pass phrase at the terminal, if there is one, and wait.
            context.load_cert_chain(connection.cert_file, connection.key_file, password=_no_pass_phrase)
        except (OSError, ssl.SSLError) as exc:
            what = f"{connection.cert_file} and {connection.key_file} cannot be used together: {exc}"
            raise _invalid("cert_file", what) from exc
    return context


def _no_pass_phrase() -> str:
    raise _invalid("key_file", "the key is encrypted, and nobody is there to type its pass phrase: use one that is not")


def _invalid(field: str, message: str) -> InvalidInput:
    return InvalidInput("config.invalid", f"connection.{field}: {message}", field=f"connection.{field}")
