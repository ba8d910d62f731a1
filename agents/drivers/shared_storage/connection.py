"""Where on this host a directory tree lies."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import msgspec


class SharedStorageConnection(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="shared-storage", forbid_unknown_fields=True
):
    """The `[connection]` of a service's file on its host."""

    root_dir: Annotated[str, msgspec.Meta(min_length=1)]
    """Absolute path of the tree."""
    restore_dir: str = ""
    """Directory below which restores may be put beside the tree.  Empty: into the tree itself only."""
    bin_dir: str = ""
    """Directory of GNU tar.  Empty: the one on the PATH."""

    def __post_init__(self) -> None:
        if not Path(self.root_dir).is_absolute() or not os.path.normpath(self.root_dir).strip("/"):
            raise ValueError("root_dir has to be the absolute path of a directory below /")

    @property
    def place(self) -> str:
        """The tree in words."""
        return self.root_dir
