"""Crypto-erasure of deleted projects: their identities go in a way that no copy of them opens, and a signed record says so.

    begin ─▶ note each backup ─▶ erase: revisions and a witness written down, identities overwritten on disk, read back
          ─▶ the master key is rotated, once for all that wait ─▶ the witness does not open any more ─▶ signed, stored, told

The stages are those of `DeletionRecord`; each step finds done what was done before, so whoever is cut off anywhere is
followed by the next sweep.  An operator's rotation counts as much as one from here, since all that is asked is whether any
master key that is held still opens the witness, which was sealed beside the identities.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Sequence
from typing import Annotated, Any, Final, Protocol

import msgspec
import structlog

from contracts.custody import CustodyKind
from contracts.deletion_record import (
    KIND,
    BackupsFile,
    DeletedBackup,
    DeletionRecord,
    DeletionStage,
    ErasedKey,
    ProjectDeletion,
    backups_object_key,
    caveats,
    deleted_backup,
    listed,
    record_object_key,
)
from contracts.errors import Denied, StrongroomError
from contracts.ids import due_run_id
from contracts.records import BackupRecord, ProjectRecord
from contracts.signed_record import content_as, read_unverified
from daemon.catalog.buckets import RecordChanged, key
from daemon.keys.master import MasterKey
from daemon.keys.moving import beside
from daemon.keys.signing import Signer
from daemon.runs.runs import Runs

log = structlog.get_logger()

ACTOR: Final = "strongroom"
_WITNESS_BYTES: Final = 32


class Rotation(Protocol):
    """`daemon.keys.rotation.MasterRotation`, as far as it is needed here."""

    async def rotate(self, *, reason: str, actor: str) -> str:
        """The new key's id, once everything is sealed by it and the old key is gone.

        Raises: StrongroomError, such as Conflict where the key's source cannot be rewritten.
        """
        ...


class ErasureSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How erased projects wait for the rotation that makes their erasure whole."""

    rotate_every_s: Annotated[float, msgspec.Meta(ge=0)] = 3600
    """One rotation of the master key for all projects that wait, and not more often than this."""


class Erasure:
    """Runs beside the purger, under the reaper's lease."""

    def __init__(
        self, runs: Runs, master_key: MasterKey, signer: Signer, rotation: Rotation, settings: ErasureSettings
    ) -> None:
        self._runs = runs
        self._catalog = runs.catalog
        self._master_key = master_key
        self._signer = signer
        self._rotation = rotation
        self._settings = settings
        self._rotated_at: float | None = None
        """By the event loop's clock."""

    async def begin(self, project: ProjectRecord) -> DeletionRecord:
        """Written down before anything goes; once begun, it is found again."""
        assert project.deletion is not None
        deletion = project.deletion
        id_ = due_run_id(project.name, project.created_at.isoformat(), deletion.at)
        name = key(project.name, id_)
        keys = [_erased(stored.value) for stored in await self._catalog.keys.select(project.name)]
        services = await self._catalog.services.select(project.name)
        record = DeletionRecord(
            id=id_,
            project=project.name,
            stage=DeletionStage.PURGING,
            created_at=project.created_at,
            custody=CustodyKind.MANAGED if project.key_id or keys else CustodyKind.CUSTOMER,
            keys=keys,
            recipients=project.recipients,
            services=[stored.value.name for stored in services],
            asked_at=deletion.at,
            asked_by=deletion.actor,
            due_at=deletion.purge_at,
            begun_at=self._runs.now(),
        )
        try:
            await self._catalog.deletions.create(name, record)
        except RecordChanged:
            found = await self._catalog.deletions.get(name)
            assert found is not None  # deletions stay for good
            return found.value
        return record

    async def note(self, deletion: DeletionRecord, backup: BackupRecord) -> None:
        """Keeps what is to be told of a backup, before it goes; a note that is there already is the better one."""
        name = key(deletion.project, deletion.id, backup.service, backup.id)
        try:
            await self._catalog.deleted_backups.create(name, deleted_backup(backup))
        except RecordChanged:
            return

    async def erase_keys(self, deletion: DeletionRecord) -> None:
        """Nothing of the project's identities is left in the bucket, and on the servers' disks nothing in its files.

        Raises: StrongroomError when the servers still hold one of them.
        """
        if deletion.stage is not DeletionStage.PURGING:
            return
        # Everything under the project's name: while it is being purged, nobody can have made another project of that name.
        while found := await self._catalog.keys.select(deletion.project):
            deletion = await self._erase_keys(deletion, [stored.key for stored in found])
        if deletion.keys and deletion.keys_erased_at is None:
            now = self._runs.now()
            await self._change(deletion, lambda found: msgspec.structs.replace(found, keys_erased_at=now))

    async def purged(self, deletion: DeletionRecord) -> None:
        """Every backup, object and record of the project is gone, its identities too."""

        def purged(found: DeletionRecord) -> DeletionRecord:
            if found.stage is not DeletionStage.PURGING:
                return found
            waits_for = _WAITS if self._opens(found) else ""
            return msgspec.structs.replace(
                found, stage=DeletionStage.ERASED, purged_at=self._runs.now(), waits_for=waits_for
            )

        await self._change(deletion, purged)

    async def waits(self, deletion: DeletionRecord, reason: str) -> None:
        """Why it has not come further, for whoever looks."""
        await self._change(
            deletion,
            lambda found: found if found.waits_for == reason else msgspec.structs.replace(found, waits_for=reason),
        )

    async def settle(self) -> None:
        """Brings whatever waits as far as it can come."""
        waiting = [stored.value for stored in await self._catalog.deletions.select() if not stored.value.is_done]
        sealed = [await self._erase_again(deletion) for deletion in waiting if deletion.keys_erased_at is not None]
        sealed = [deletion for deletion in sealed if self._opens(deletion)]
        if problem := await self._rotate(sealed):
            for deletion in sealed:
                await self.waits(deletion, problem)
        for deletion in waiting:
            try:
                await self._finish(deletion)
            except StrongroomError as exc:
                log.warning("erasure.postponed", project=deletion.project, id=deletion.id, code=exc.code, reason=exc.message)
                await self.waits(deletion, exc.message)
        await self._drop_notes()

    async def _rotate(self, waiting: Sequence[DeletionRecord]) -> str:
        """One rotation for all of them, when one may be; why there was none, or nothing when none is missing."""
        if not waiting:
            return ""
        clock = asyncio.get_running_loop().time()
        if self._rotated_at is not None and clock - self._rotated_at < self._settings.rotate_every_s:
            return _WAITS
        projects = ", ".join(sorted({deletion.project for deletion in waiting}))
        try:
            key_id = await self._rotation.rotate(reason=f"erasure of {projects}", actor=ACTOR)
        except StrongroomError as exc:
            log.warning("erasure.rotation_owed", projects=projects, code=exc.code, reason=exc.message)
            return f"the master key's rotation is owed: {exc.message}"
        self._rotated_at = clock
        log.info("erasure.rotated", projects=projects, key_id=key_id)
        return ""

    async def _finish(self, deletion: DeletionRecord) -> None:
        """From erased to signed."""
        deletion = await self._change(deletion, lambda found: found)  # as it is by now
        if deletion.stage is DeletionStage.ERASED:
            if self._opens(deletion) or await self._left(deletion):
                return  # the next sweep erases what a rotation has put back
            deletion = await self._verify(deletion)
        if deletion.stage is DeletionStage.VERIFIED:
            await self._sign(deletion)

    async def _verify(self, deletion: DeletionRecord) -> DeletionRecord:
        """What was seen, once it was seen."""
        said = [
            f"Key {key_id}: the sealed identity stood at place {place} of the stream {_stream(self._catalog.keys.name)}, "
            "where the server overwrote it on disk (secure erase, before anything was written over it); read back from the "
            "stream's leader, there is nothing at that place and nothing under the key."
            for key_id, place in sorted(deletion.erased_revisions.items())
            if not await self._catalog.keys.holds(place)
        ]
        if len(said) != len(deletion.erased_revisions):
            raise StrongroomError("internal", f"a place where an identity of {deletion.project} stood is not empty")
        if deletion.keys:
            said.append(
                "Master key: a witness that the master key of that moment had sealed beside the identities opens with no "
                "master key that is held any more, so neither do sealed identities that raft logs, snapshots or disk images "
                "still hold."
            )
        elif deletion.custody is CustodyKind.CUSTOMER:
            said.append("No identity of the project was ever held here, so there was none to erase.")
        notes = await self._notes(deletion)
        recipients = [*deletion.recipients, *(each for note in notes for each in note.recipients)]
        return await self._change(
            deletion,
            lambda found: msgspec.structs.replace(
                found,
                stage=DeletionStage.VERIFIED,
                erased_at=self._runs.now(),
                verification=said,
                waits_for="",
                recipients=list(dict.fromkeys(recipients)),
                backup_count=len(notes),
                stored_bytes=sum(note.size_bytes for note in notes),
            ),
        )

    async def _sign(self, deletion: DeletionRecord) -> None:
        """Everything that is signed comes from what is stored, so whoever repeats it makes the same bytes."""
        assert deletion.erased_at is not None
        object_key = record_object_key(deletion.project, deletion.id)
        text = await self._signer.kept(KIND, deletion.project, deletion.id)
        if text:
            data = text.encode()
        else:
            content = await self._content(deletion)
            data = await self._signer.sign(KIND, deletion.id, deletion.erased_at, content)
            await self._signer.keep(KIND, deletion.project, deletion.id, deletion.erased_at, data)
        await self._runs.store.write_once(object_key, data)
        await self._runs.events.publish(
            "project.erased",
            key=f"{deletion.project}:{deletion.id}",
            at=deletion.erased_at,
            project=deletion.project,
            actor=deletion.asked_by or None,
            size_bytes=deletion.stored_bytes,
            facts={
                "deletion": deletion.id,
                "custody": str(deletion.custody),
                "keys": [each.key_id for each in deletion.keys],
                "backups": deletion.backup_count,
                "object_key": object_key,
            },
        )
        signer = read_unverified(data).signer
        await self._change(
            deletion,
            lambda found: msgspec.structs.replace(
                found, stage=DeletionStage.SIGNED, signer=signer, object_key=object_key, waits_for=""
            ),
        )

    async def _content(self, deletion: DeletionRecord) -> ProjectDeletion:
        assert deletion.purged_at is not None
        assert deletion.erased_at is not None
        backups, aside = listed(await self._notes(deletion))
        file = None
        if aside:
            object_key = backups_object_key(deletion.project, deletion.id)
            await self._runs.store.write_once(object_key, aside)
            file = BackupsFile(object_key=object_key, sha256=hashlib.sha256(aside).hexdigest(), size_bytes=len(aside))
        return ProjectDeletion(
            project=deletion.project,
            created_at=deletion.created_at,
            custody=deletion.custody,
            keys=deletion.keys,
            recipients=deletion.recipients,
            services=deletion.services,
            backup_count=deletion.backup_count,
            stored_bytes=deletion.stored_bytes,
            backups=backups,
            backups_file=file,
            asked_at=deletion.asked_at,
            asked_by=deletion.asked_by,
            due_at=deletion.due_at,
            purged_at=deletion.purged_at,
            keys_erased_at=deletion.keys_erased_at,
            erased_at=deletion.erased_at,
            verification=deletion.verification,
            caveats=caveats(deletion.custody, deletion.recipients, deletion.keys),
        )

    async def _notes(self, deletion: DeletionRecord) -> list[DeletedBackup]:
        found = await self._catalog.deleted_backups.select(key(deletion.project, deletion.id))
        return [stored.value for stored in found]

    async def _drop_notes(self) -> None:
        """Those that a signed record tells of."""
        done: dict[tuple[str, ...], bool] = {}
        for note in await self._catalog.deleted_backups.select():
            of = tuple(note.key.split(".")[:2])
            if of not in done:
                deletion = await self._catalog.deletions.get(key(*of))
                done[of] = deletion is not None and deletion.value.is_done
            if done[of]:
                await self._catalog.deleted_backups.delete(note.key, note.revision)

    async def _erase_again(self, deletion: DeletionRecord) -> DeletionRecord:
        """A rotation that was under way while they were erased may have written one of them anew.

        By the keys' ids: the name may be that of another project by now.
        """
        left = await self._left(deletion)
        if not left:
            return deletion
        log.warning("erasure.repeated", project=deletion.project, keys=left)
        return await self._erase_keys(deletion, left)

    async def _left(self, deletion: DeletionRecord) -> list[str]:
        """Places where one of the identities stands, also beside its own, where a rotation puts it for a moment."""
        names = [key(deletion.project, each.key_id) for each in deletion.keys]
        names += [beside(name) for name in names]
        return [name for name in names if await self._catalog.keys.get(name) is not None]

    async def _erase_keys(self, deletion: DeletionRecord, names: Sequence[str]) -> DeletionRecord:
        """Writes down where they stand and a witness of the master key that seals them, then erases them."""
        while True:
            found = [stored for name in names if (stored := await self._catalog.keys.get(name)) is not None]
            if not found:
                return deletion
            noted = {each.key_id: each for each in [*deletion.keys, *(_erased(stored.value) for stored in found)]}
            places = deletion.erased_revisions | {stored.value.key_id: stored.revision for stored in found}
            witness = self._master_key.seal(os.urandom(_WITNESS_BYTES), _witness_context(deletion))
            deletion = await self._change(
                deletion,
                lambda now, noted=noted, places=places, witness=witness: msgspec.structs.replace(
                    now, keys=list(noted.values()), erased_revisions=places, witness=witness
                ),
            )
            for stored in found:
                # Before any other write to the key: what was overwritten by a newer revision can no longer be erased.
                await self._catalog.keys.erase(stored.key, stored.revision)

    def _opens(self, deletion: DeletionRecord) -> bool:
        """Whether a master key that is held here would still open the identities."""
        if not deletion.witness:
            return False
        try:
            self._master_key.open(deletion.witness, _witness_context(deletion))
        except Denied:
            return False
        return True

    async def _change(self, deletion: DeletionRecord, apply: Any) -> DeletionRecord:
        changed = await self._catalog.deletions.change(key(deletion.project, deletion.id), apply)
        assert changed is not None  # deletions stay for good
        return changed


_WAITS: Final = "waiting for the master key's rotation, one for all projects that were erased lately"


def read_deletion(text: str) -> ProjectDeletion:
    """What a signed record of a deletion says.  Raises: Corrupt `signature.invalid`."""
    return content_as(read_unverified(text.encode()), ProjectDeletion)


def _erased(record: Any) -> ErasedKey:
    return ErasedKey(key_id=record.key_id, recipient=record.recipient, created_at=record.created_at)


def _witness_context(deletion: DeletionRecord) -> bytes:
    return f"strongroom.erasure/{deletion.project}/{deletion.id}".encode()


def _stream(bucket: str) -> str:
    return f"KV_{bucket}"
