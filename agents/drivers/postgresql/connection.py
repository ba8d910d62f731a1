"""How this host reaches a PostgreSQL server: settings, and the environment that libpq's programs take them from.

A password never stands in an argument or in the environment, where others could read it.  It is passed in an unnamed
file in the pgpass format: open in the program that needs it and nowhere else, gone with that program whatever ends it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from agents.drivers.postgresql.quoting import escape_passfile_field
from agents.drivers.private_file import private_file
from agents.drivers.secret_files import Secret, read_secret
from contracts.errors import InvalidInput

APPLICATION_NAME: Final = "strongroom"

SslMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
ExtraName = Literal[
    "channel_binding",
    "gssencmode",
    "gsslib",
    "krbsrvname",
    "require_auth",
    "requirepeer",
    "sslcert",
    "sslcrl",
    "sslcrldir",
    "sslkey",
    "sslnegotiation",
    "sslsni",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "target_session_attrs",
]
_VARIABLE_OF_EXTRA: Final[dict[str, str]] = {
    "ssl_max_protocol_version": "PGSSLMAXPROTOCOLVERSION",
    "ssl_min_protocol_version": "PGSSLMINPROTOCOLVERSION",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
    "channel_binding": "PGCHANNELBINDING",
    "require_auth": "PGREQUIREAUTH",
}


class PostgreSQLConnection(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="postgresql", forbid_unknown_fields=True
):
    """The `[connection]` of a service's file on its host."""

    user: Annotated[str, msgspec.Meta(min_length=1)]
    host: str = "/var/run/postgresql"
    """A host name, an address, or the directory of the server's socket."""
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 5432
    password_file: str = ""
    """File with the password and nothing else; a line break at its end is ignored."""
    passfile: str = ""
    """File in PostgreSQL's own pgpass format, instead of `password_file`."""
    database: Annotated[str, msgspec.Meta(min_length=1)] = "postgres"
    """The database to connect to for looking at the cluster."""
    sslmode: SslMode | None = None
    sslrootcert: str = ""
    bin_dir: str = ""
    """Directory of pg_dump, psql and the others.  Empty: they are found, see `agents.drivers.postgresql.tools`."""
    restore_dir: str = ""
    """Directory below which physical backups may be restored.  Empty: nowhere on this host."""
    connect_timeout_s: Annotated[int, msgspec.Meta(ge=2, le=300)] = 10
    extra: dict[ExtraName, str] = {}
    """Further parameters of libpq, by its names."""

    def __post_init__(self) -> None:
        if self.password_file and self.passfile:
            raise ValueError("password_file and passfile exclude each other: set one of them")

    @property
    def place(self) -> str:
        """The server in words, such as `127.0.0.1:5432`."""
        return f"socket {self.host}, port {self.port}" if self.host.startswith(("/", "@")) else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Session:
    """What a program of libpq needs to connect.  Valid only inside `session`."""

    env: dict[str, str]
    pass_fds: tuple[int, ...] = ()
    password: Secret | None = field(default=None, repr=False)
    """For redaction."""


@contextmanager
def session(connection: PostgreSQLConnection, database: str, runtime_dir: Path) -> Iterator[Session]:
    """The environment for a program that is to connect to `database`, whatever characters that name has.

    Raises: InvalidInput `config.invalid` for a password file or runtime directory that cannot be used.
    """
    env = _environment(connection, database)
    if not connection.password_file:
        yield Session({**env, "PGPASSFILE": connection.passfile} if connection.passfile else env)
        return
    password = read_secret(connection.password_file, "password_file")
    with private_file(_passfile_line(connection, password), runtime_dir) as passfile:
        yield Session({**env, "PGPASSFILE": passfile.path}, (passfile.fd,), password)


def _passfile_line(connection: PostgreSQLConnection, password: Secret) -> bytes:
    # Any host, port and database: the file serves this one session, whose host may be a list or a socket.
    try:
        user, secret = escape_passfile_field(connection.user), escape_passfile_field(password.reveal())
    except ValueError as exc:
        raise _invalid(f"the password in {connection.password_file} cannot be used: {exc}") from None
    return f"*:*:*:{user}:{secret}\n".encode()


def _environment(connection: PostgreSQLConnection, database: str) -> dict[str, str]:
    env = {
        "PGHOST": connection.host,
        "PGPORT": str(connection.port),
        "PGUSER": connection.user,
        # Unlike an option, the variable is never read as conninfo.
        "PGDATABASE": database,
        "PGAPPNAME": APPLICATION_NAME,
        "PGCONNECT_TIMEOUT": str(connection.connect_timeout_s),
    }
    if connection.sslmode:
        env["PGSSLMODE"] = connection.sslmode
    if connection.sslrootcert:
        env["PGSSLROOTCERT"] = connection.sslrootcert
    for name, value in connection.extra.items():
        env[_VARIABLE_OF_EXTRA.get(name, f"PG{name.upper()}")] = value
    return env


def _invalid(message: str) -> InvalidInput:
    return InvalidInput("config.invalid", f"connection: {message}", field="connection.password_file")
