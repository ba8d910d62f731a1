"""Where the server is and how to log in, as an option file that only the started program can read.

`--defaults-file` and not `--defaults-extra-file`: what a host's own my.cnf says is about that host's server and its people's
clients, and may point our programs to another one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agents.drivers.mariadb.connection import MariaDBConnection
from agents.drivers.private_file import private_file
from agents.drivers.secret_files import Secret, read_secret
from contracts.errors import InvalidInput

_TLS: Final[dict[str, list[str]]] = {
    "disabled": ["skip-ssl"],
    "preferred": ["skip-ssl-verify-server-cert"],
    "required": ["ssl", "skip-ssl-verify-server-cert"],
    "verify-ca": ["ssl"],
    "verify-identity": ["ssl", "ssl-verify-server-cert"],
}


@dataclass(frozen=True, kw_only=True)
class Login:
    """For one program: the argument that has to be its first, and the descriptor that it has to inherit."""

    argument: str
    pass_fds: tuple[int, ...]
    secret: Secret | None


@contextmanager
def login(connection: MariaDBConnection, runtime_dir: Path) -> Iterator[Login]:
    """Raises: InvalidInput `config.invalid` for a password file or a directory that cannot be used."""
    secret = read_secret(connection.password_file, "password_file") if connection.password_file else None
    with private_file(option_file(connection, secret).encode(), runtime_dir) as file:
        yield Login(argument=f"--defaults-file={file.path}", pass_fds=(file.fd,), secret=secret)


def option_file(connection: MariaDBConnection, secret: Secret | None) -> str:
    """Its text.  Raises: InvalidInput `config.invalid`."""
    lines = [f"user={_value(connection.user, 'user')}"]
    if secret is not None:
        lines.append(f"password={_value(secret.reveal(), 'password_file')}")
    if connection.socket:
        # Absolute, because mariadb-backup changes its directory.
        lines += [f"socket={_value(str(Path(connection.socket).absolute()), 'socket')}", "protocol=socket"]
    else:
        lines += [f"host={_value(connection.host, 'host')}", f"port={connection.port}", "protocol=tcp"]
    if connection.tls is not None:
        lines += _TLS[connection.tls]
    if connection.tls == "verify-ca" and not connection.tls_ca_file:
        raise _invalid("tls_ca_file", "tls = verify-ca needs the file of the authority to trust")
    if connection.tls_ca_file:
        lines.append(f"ssl-ca={_value(str(Path(connection.tls_ca_file).absolute()), 'tls_ca_file')}")
    everywhere = "\n".join(lines)
    client = f"connect-timeout={connection.connect_timeout_s}"
    return f"[client]\n{everywhere}\n[mariadb-backup]\n{everywhere}\n[mariadb-client]\n{client}\n"


def _value(text: str, field: str) -> str:
    if any(character in text for character in "\n\r\0"):
        raise _invalid(field, "a line break cannot be part of it")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _invalid(field: str, message: str) -> InvalidInput:
    return InvalidInput("config.invalid", f"connection.{field}: {message}", field=f"connection.{field}")
