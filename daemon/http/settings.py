"""Where and how the coordinator listens for HTTP."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

import msgspec

from contracts.errors import InvalidInput


class HttpSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[http]` of `coordinator.toml`; without the section nothing listens."""

    host: str = "127.0.0.1"
    """An address of this machine; `0.0.0.0` or `::` for all of them."""
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8420
    """0: any free one."""
    public_url: str = ""
    """As people reach it, such as `https://backups.example.org`, for links in messages; empty for the address itself."""
    tls_cert_file: str = ""
    """A PEM chain; empty where a proxy in front ends TLS."""
    tls_key_file: str = ""
    trusted_proxies: list[str] = []
    """Addresses whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed."""
    metrics_open: bool = False
    """Whether `/metrics` is answered without a token: it names all projects, services and nodes.  Otherwise Prometheus shows
    a token of the role viewer that is good for all projects, from a file (`authorization: credentials_file`)."""

    def __post_init__(self) -> None:
        if bool(self.tls_cert_file) != bool(self.tls_key_file):
            raise InvalidInput(
                "config.invalid",
                "tls_cert_file and tls_key_file belong together: set both or none",
                field="http.tls_key_file",
            )
        if self.public_url and urlsplit(self.public_url).scheme not in ("http", "https"):
            raise InvalidInput("config.invalid", "public_url must begin with https:// or http://", field="http.public_url")
