"""Headers of artifacts: read from the store, and taken from whoever holds the identity for a restore's time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from contracts.age import AgeError, ParsedHeader, parse_header
from contracts.custody import ArtifactHeader, ResealedHeader, RestoreHeaders
from contracts.errors import Corrupt, Denied, InvalidInput
from contracts.records import ArtifactRecord, BackupRecord, RestoreRecord
from contracts.resealing import check_resealed
from daemon.catalog.buckets import key
from daemon.catalog.catalog import Catalog
from daemon.store.s3 import ObjectStore

_GUESS_BYTES: Final = 4096
"""More than a header with a dozen recipients needs; a longer one is read by doubling."""
_AT_ONCE: Final = 16


async def read_header(store: ObjectStore, object_key: str) -> ParsedHeader:
    """The age header that the object begins with.

    Raises: AgeError for what is none, Corrupt `artifact.corrupt` for an object that ends within it, `store.missing`,
    Unavailable.
    """
    size = _GUESS_BYTES
    while True:
        data = await store.read(object_key, count=size)
        header = parse_header(data)
        if header is not None:
            return header
        if len(data) < size:
            raise Corrupt("artifact.corrupt", f"{object_key} does not begin with an age header")
        size *= 2


async def payload_offset(store: ObjectStore, object_key: str) -> int:
    """Where in the object its payload begins, whoever the header is for.  Raises: Corrupt, Unavailable."""
    return (await _need_header(store, object_key)).size


async def _need_header(store: ObjectStore, object_key: str) -> ParsedHeader:
    """Raises: Corrupt, Unavailable."""
    try:
        return await read_header(store, object_key)
    except AgeError as exc:
        raise Corrupt("artifact.corrupt", f"{object_key} does not begin with an age header: {exc}") from exc


async def read_headers(store: ObjectStore, artifacts: Sequence[ArtifactRecord]) -> list[ArtifactHeader]:
    """Of each artifact, some at a time.  Raises: Corrupt, Unavailable."""
    free = asyncio.Semaphore(_AT_ONCE)

    async def one(artifact: ArtifactRecord) -> ArtifactHeader:
        async with free:
            header = await _need_header(store, artifact.object_key)
        return ArtifactHeader(artifact=artifact.name, object_key=artifact.object_key, header=header.encoded)

    return list(await asyncio.gather(*(one(artifact) for artifact in artifacts)))


def check_headers(backup: BackupRecord, chosen: Sequence[str], given: Sequence[ResealedHeader], *, reader: str) -> None:
    """Whether a restore of these artifacts can be opened by the node whose recipient is `reader`.

    Raises: Denied `key.unavailable` when an identity is needed and nobody gave headers, InvalidInput naming the header that
    is not right.
    """
    if not given:
        if not backup.key_id:
            raise Denied("key.unavailable", needs_identity(backup, "restore"))
        return
    objects = {artifact.name: artifact.object_key for artifact in backup.artifacts if artifact.name in chosen}
    seen: set[str] = set()
    for number, each in enumerate(given):
        field = f"headers[{number}]"
        if each.artifact not in objects or each.artifact in seen:
            what = "comes twice" if each.artifact in seen else "is not restored"
            raise InvalidInput("input.invalid", f"artifact {each.artifact!r} {what}", field=f"{field}.artifact")
        check_resealed(each, object_key=objects[each.artifact], reader=reader, field=field)
        seen.add(each.artifact)
    if missing := [name for name in chosen if name not in seen]:
        raise InvalidInput("input.invalid", f"no header was given for artifact {missing[0]!r}", field="headers")


def needs_identity(backup: BackupRecord, command: str) -> str:
    """The sentence that says what to type."""
    return (
        f"the identity that opens the backups of project {backup.project!r} is with its owner, not with the coordinator: "
        f"type `strongroom {command} {backup.project}/{backup.service}/{backup.id} --identity FILE` where that file is"
    )


class GivenHeaders:
    """Those of restores under way, from before the restore's record until it has ended."""

    def __init__(self, catalog: Catalog) -> None:
        self._headers = catalog.headers

    async def keep(self, restore: RestoreRecord, headers: Sequence[ResealedHeader]) -> None:
        """Before anybody can claim the restore.  Raises: RecordChanged."""
        record = RestoreHeaders(
            project=restore.project, service=restore.service, restore_id=restore.id, headers=list(headers)
        )
        await self._headers.create(key(restore.project, restore.service, restore.id), record)

    async def find(self, restore: RestoreRecord, artifact: ArtifactRecord, *, reader: str) -> bytes | None:
        """The header for this artifact; None where the restore came without any.

        Raises: Denied `key.unavailable` when the node shows another recipient than it was made for.
        """
        stored = await self._headers.get(key(restore.project, restore.service, restore.id))
        if stored is None:
            return None
        for each in stored.value.headers:
            if each.artifact == artifact.name and each.object_key == artifact.object_key:
                if each.recipient != reader:
                    raise Denied(
                        "key.unavailable",
                        f"node {restore.node} shows another recipient than the one that the restore was sealed to: ask for "
                        "the restore again",
                    )
                return each.header
        raise Denied("key.unavailable", f"restore {restore.id} came with no header for artifact {artifact.name!r}")

    async def forget(self, project: str, service: str, restore_id: str) -> None:
        """Overwritten on disk.  Safe to repeat."""
        name = key(project, service, restore_id)
        stored = await self._headers.get(name)
        if stored is not None:
            await self._headers.erase(name, stored.revision)
