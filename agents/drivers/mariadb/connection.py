"""How this host reaches a MariaDB server."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

TlsMode = Literal["disabled", "preferred", "required", "verify-ca", "verify-identity"]


class MariaDBConnection(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="mariadb", forbid_unknown_fields=True
):
    """The `[connection]` of a service's file on its host."""

    user: Annotated[str, msgspec.Meta(min_length=1)]
    socket: str = ""
    """Absolute path of the server's socket, instead of `host` and `port`."""
    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 3306
    password_file: str = ""
    """File with the password and nothing else.  Empty: the login needs none, as with unix_socket authentication."""
    tls: TlsMode | None = None
    tls_ca_file: str = ""
    bin_dir: str = ""
    """Directory of mariadb-backup, mariadb-dump and mariadb.  Empty: those on the PATH."""
    restore_dir: str = ""
    """Directory below which physical backups may be restored.  Empty: nowhere on this host."""
    connect_timeout_s: Annotated[int, msgspec.Meta(ge=2, le=300)] = 10

    @property
    def place(self) -> str:
        """The server in words."""
        return f"socket {self.socket}" if self.socket else f"{self.host}:{self.port}"
