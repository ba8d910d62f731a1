"""How this host reaches a Qdrant node, or all nodes of a cluster."""

from __future__ import annotations

from typing import Annotated

import msgspec

Url = Annotated[str, msgspec.Meta(pattern=r"^https?://[^/?#@]+(/[^?#]*)?$")]


class QdrantConnection(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="qdrant", forbid_unknown_fields=True
):
    """The `[connection]` of a service's file on its host."""

    url: Annotated[list[Url], msgspec.Meta(min_length=1)]
    """Base URL of a node's HTTP API.  Of a cluster, those of all its nodes: snapshots hold a node's own shards only."""
    api_key_file: str = ""
    """File with an API key, or a token of JWT access control, that may manage what is backed up."""
    ca_file: str = ""
    """Certificates to trust, instead of the system's."""

    @property
    def place(self) -> str:
        """The nodes in words."""
        return ", ".join(self.url)
