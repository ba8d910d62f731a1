"""How this host reaches a NATS server, as a user of the account whose streams are backed up."""

from __future__ import annotations

from typing import Annotated

import msgspec

Url = Annotated[str, msgspec.Meta(pattern=r"^(nats|tls|ws|wss)://[^/?#@]+/?$")]


class NATSConnection(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="nats", forbid_unknown_fields=True):
    """The `[connection]` of a service's file on its host."""

    url: Annotated[list[Url], msgspec.Meta(min_length=1)]
    """Of one server or several of a cluster; any of them reaches all streams of the account."""
    creds_file: str = ""
    """User credentials as `nsc` writes them: a JWT and its seed."""
    nkey_file: str = ""
    """File with the seed of an nkey user."""
    user: str = ""
    password_file: str = ""
    """File with the user's password and nothing else."""
    token_file: str = ""
    """File with a token and nothing else."""
    ca_file: str = ""
    """Certificates to trust, instead of the system's."""
    cert_file: str = ""
    """The client's own certificate, for servers that ask for one."""
    key_file: str = ""
    """The private key of `cert_file`."""
    domain: str = ""
    """JetStream domain, where a leaf node has one of its own."""

    def __post_init__(self) -> None:
        if sum(map(bool, (self.creds_file, self.nkey_file, self.user, self.token_file))) > 1:
            raise ValueError("creds_file, nkey_file, user and token_file exclude each other: set one of them")
        if bool(self.user) != bool(self.password_file):
            raise ValueError("user and password_file belong together: set both or none")
        if bool(self.cert_file) != bool(self.key_file):
            raise ValueError("cert_file and key_file belong together: set both or none")

    @property
    def place(self) -> str:
        """The servers in words."""
        return ", ".join(self.url)
