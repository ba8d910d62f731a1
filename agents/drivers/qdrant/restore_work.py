"""What both ways of restoring a snapshot have in common."""

from __future__ import annotations

from agents.drivers.qdrant.attributes import CollectionAttributes
from agents.drivers.qdrant.node import Node
from agents.drivers.qdrant.snapshot_tar import SnapshotWalk
from agents.drivers.qdrant.targets import check_free
from agents.drivers.qdrant.uploading import Upload
from contracts.errors import Corrupt, StrongroomError
from contracts.records import ArtifactRecord, Attributes


class RestoreWork:
    """One artifact, and the upload that it becomes."""

    def __init__(
        self,
        artifact: ArtifactRecord,
        attributes: CollectionAttributes,
        upload: Upload,
        *,
        further_part: bool,
    ) -> None:
        self.artifact = artifact
        self.attributes = attributes
        self.upload = upload
        self.further_part = further_part

    @property
    def node(self) -> Node:
        return self.upload.node

    @property
    def name(self) -> str:
        return self.upload.collection

    def check_whole(self, walk: SnapshotWalk) -> None:
        """Raises: Corrupt `artifact.corrupt`."""
        if walk.size_bytes != self.artifact.plain_bytes:
            what = f"{walk.size_bytes} of its {self.artifact.plain_bytes} bytes came"
            raise Corrupt("artifact.corrupt", f"the artifact {self.artifact.name!r} is not whole: {what}")
        walk.finish()

    async def still_free(self) -> None:
        """Raises: Conflict `restore.target_not_empty` when somebody has been quicker."""
        collections, aliases = await self.node.collections(), await self.node.aliases()
        check_free(self.name, collections=collections, aliases=aliases, replace=False, place=self.node.url)

    async def finished(self) -> Attributes:
        """Removes the server's copy and compares the number of points, as far as that can be known."""
        warnings: list[str] = []
        try:
            await self.upload.remove_file()
        except StrongroomError as exc:
            warnings.append(
                f"the uploaded snapshot {self.upload.file_name} of collection {self.name!r} stays on {self.node.url}: "
                f"remove it there ({exc.message})"
            )
        if self.attributes.part == self.attributes.parts:
            count = await self.node.count(self.name)
            if count != self.attributes.points:
                warnings.append(
                    f"collection {self.name!r} has {count} points; it had {self.attributes.points} when the backup was "
                    "planned, so it was written to before its snapshot was made"
                )
        outcome: Attributes = {"in_place": self.name}
        if warnings:
            outcome["warnings"] = warnings
        return outcome
