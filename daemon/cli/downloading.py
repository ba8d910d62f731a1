"""One artifact from the store to a file: store → event loop → thread: age, zstd → disk, in bounded memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import aiohttp

from contracts import control
from contracts.age import Identity
from contracts.control import Download
from contracts.errors import Corrupt
from contracts.records import ArtifactRecord
from daemon.artifacts.byte_pipe import BytePipe
from daemon.artifacts.copies import Copy, EncryptedCopy, PlainCopy
from daemon.cli.client import ControlClient
from daemon.cli.object_reader import ObjectReader
from daemon.cli.references import RunRef
from daemon.cli.target_files import disk_writer


class ArtifactDownload:
    """One artifact of one backup."""

    def __init__(
        self,
        client: ControlClient,
        http: aiohttp.ClientSession,
        ref: RunRef,
        artifact: ArtifactRecord,
        *,
        encrypted: bool,
        actor: str = "",
    ) -> None:
        """`actor`: who downloads, for the audit log."""
        self._client = client
        self._http = http
        self._ref = ref
        self._artifact = artifact
        self._actor = actor
        # Made for this download and forgotten with it: the project's own identity stays where it is.
        self._identity = None if encrypted else Identity.generate()

    async def save(self, file: BinaryIO, path: Path, heard: Callable[[int], None]) -> None:
        """Returns when `file` holds the whole artifact, authentic and the one of its record.

        `heard` is told now and then how many of its stored bytes have arrived.  `path` names the file in messages.
        Raises: StrongroomError; nothing is written any more then, nor after a cancellation.
        """
        grant = await self._ask()
        if grant.artifact != self._artifact:
            raise Corrupt("artifact.corrupt", f"the record of artifact {self._artifact.name!r} changed while it was read")
        pipe = BytePipe()
        copy = self._copy(grant)
        writing = asyncio.create_task(
            asyncio.to_thread(copy.write, pipe, disk_writer(file, str(path))), name="download:write"
        )

        async def deliver(data: bytes) -> None:
            await pipe.put(data)
            heard(reader.at)

        reader = ObjectReader(
            self._http,
            f"artifact {self._artifact.name!r}",
            grant.url,
            self._artifact.stored_bytes,
            renew=self._fresh_url,
            deliver=deliver,
            alternative=self._client.content_of(self._ref, self._artifact.name),
        )
        reading = asyncio.create_task(reader.run(), name="download:read")
        try:
            # Whichever fails first has the reason; a writer that is done before the reader has failed in any case.
            await asyncio.wait({reading, writing}, return_when=asyncio.FIRST_COMPLETED)
            if not writing.done():
                await reading
                pipe.close()
            await writing
        finally:
            pipe.cancel()
            reading.cancel()
            # The thread must have let go of the file before anybody closes it.
            await asyncio.gather(reading, writing, return_exceptions=True)

    def _copy(self, grant: Download) -> Copy:
        if self._identity is None:
            return EncryptedCopy(self._artifact)
        return PlainCopy(self._artifact, self._identity, grant.header, grant.payload_offset)

    async def _fresh_url(self) -> str:
        return (await self._ask()).url

    async def _ask(self) -> Download:
        recipient = "" if self._identity is None else str(self._identity.recipient)
        request = control.BackupDownload(
            project=self._ref.project,
            service=self._ref.service,
            id=self._ref.id,
            artifact=self._artifact.name,
            recipient=recipient,
            actor=self._actor,
        )
        return await self._client.ask(control.BACKUP_DOWNLOAD, request)
