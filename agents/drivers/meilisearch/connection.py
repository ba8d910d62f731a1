"""How this host reaches a Meilisearch instance, and the directory in which that leaves its dumps."""

from __future__ import annotations

from typing import Annotated

import msgspec

Url = Annotated[str, msgspec.Meta(pattern=r"^https?://[^/?#@]+(/[^?#]*)?$")]


class MeilisearchConnection(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="meilisearch", forbid_unknown_fields=True
):
    """The `[connection]` of a service's file on its host."""

    dump_dir: Annotated[str, msgspec.Meta(min_length=1)]
    """The instance's `--dump-dir`, which the agent reads dumps from and removes them in: Meilisearch has no download."""
    url: Url = "http://127.0.0.1:7700"
    """Base URL of the instance."""
    api_key_file: str = ""
    """File with an API key of the actions dumps.create, tasks.get, stats.get and version."""
    ca_file: str = ""
    """Certificates to trust, instead of the system's."""
    restore_dir: str = ""
    """Directory below which dumps may be put for a launch with `--import-dump`.  Empty: nowhere on this host."""
    bin_dir: str = ""
    """Directory of the `meilisearch` program, for rehearsals.  Empty: the one on the PATH."""

    @property
    def place(self) -> str:
        """The instance in words."""
        return self.url
