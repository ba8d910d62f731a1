"""How this host reaches an Elasticsearch or OpenSearch cluster."""

from __future__ import annotations

from typing import Annotated

import msgspec

Url = Annotated[str, msgspec.Meta(pattern=r"^https?://[^/?#@]+(/[^?#]*)?$")]


class ElasticsearchConnection(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="elasticsearch", forbid_unknown_fields=True
):
    """The `[connection]` of a service's file on its host."""

    url: Url = "http://127.0.0.1:9200"
    """Base URL of any node, or of what stands before them."""
    user: str = ""
    password_file: str = ""
    """File with the user's password and nothing else."""
    api_key_file: str = ""
    """File with an API key in its encoded form, instead of user and password."""
    ca_file: str = ""
    """Certificates to trust, instead of the system's."""

    def __post_init__(self) -> None:
        if self.api_key_file and self.user:
            raise ValueError("api_key_file and user exclude each other: set one of them")
        if bool(self.user) != bool(self.password_file):
            raise ValueError("user and password_file belong together: set both or none")

    @property
    def place(self) -> str:
        """The cluster in words."""
        return self.url
