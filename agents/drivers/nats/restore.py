"""Restoring one stream.

    writer ─▶ pipe ─▶ disk (all of it) ─▶ proof under another name, where a stream has to make way ─▶ its place

Until the last step nothing in the account has changed; a stream that makes way is kept on disk until the new one is whole.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from agents.drivers.base import Confirm, confirmed
from agents.drivers.nats.archive import Archive
from agents.drivers.nats.attributes import StreamAttributes, parse_attributes
from agents.drivers.nats.check import require_renaming, target_names
from agents.drivers.nats.configs import isolated_config, placed_config, trial_config
from agents.drivers.nats.connection import NATSConnection
from agents.drivers.nats.errors import ApiRefused, restore_refused
from agents.drivers.nats.placing import Placement, Placing, not_empty, try_out
from agents.drivers.nats.s2_frames import NATSARC
from agents.drivers.nats.session import Session, open_session
from agents.drivers.nats.streams import PROOF_PREFIX, list_streams
from agents.drivers.pipes import PipedRestore, PipeReader, piped_restore
from agents.processes import uncancelled
from contracts.records import ArtifactRecord, Attributes, RestoreTarget


class _StreamRestore:
    def __init__(
        self,
        connection: NATSConnection,
        artifact: ArtifactRecord,
        target: RestoreTarget,
        run_id: str,
        archive: Archive,
        *,
        work_dir: Path,
        isolated: bool,
    ) -> None:
        self._connection = connection
        self._artifact = artifact
        self._target = target
        self._run_id = run_id
        self._archive = archive
        self._work_dir = work_dir
        self._isolated = isolated
        self._name = target_names([artifact], _only(target, artifact.name))[artifact.name]
        self._facts: StreamAttributes = parse_attributes(artifact)
        self._warnings: list[str] = []

    async def take_in(self, pipe: PipeReader) -> None:
        require_renaming(self._artifact, self._name)
        await self._archive.take_in(pipe, self._artifact.name)
        async with open_session(self._connection) as session:
            _, replacing = await self._look(session)
            if replacing:
                await self._prove(session)

    async def place(self) -> Attributes:
        async with open_session(self._connection) as session:
            placement, _ = await self._look(session)
        placing = Placing(self._connection, self._work_dir, placement)
        restored = await uncancelled(placing.place(), name=f"restore:place:{self._name}")
        return {
            "stream": self._name,
            "messages": restored.state.messages,
            "replaced": placing.replaced,
            "warnings": [*self._warnings, *placing.warnings],
        }

    async def _look(self, session: Session) -> tuple[Placement, bool]:
        """(what to put where, whether a stream makes way).  Raises: Conflict, RunFailed."""
        streams = await list_streams(session)
        existing = streams.get(self._name)
        replacing = existing is not None and not existing.is_unfinished
        if replacing and not self._target.replace:
            raise not_empty(self._name)
        config = self._archive.description.config
        if self._isolated:
            config = isolated_config(config)
        others = [stream for stream in streams.found if stream.name != self._name]
        config, self._warnings = placed_config(config, name=self._name, others=others)
        return Placement(
            config=config, archive=self._archive, facts=self._facts, run_id=self._run_id, replace=self._target.replace
        ), replacing

    async def _prove(self, session: Session) -> None:
        """Before a stream makes way: does this server take the archive?  Raises: RunFailed.

        Not of an archive that can have no other name, and not where copies of push consumers would begin to send.
        """
        if self._archive.format != NATSARC or self._facts.push_consumers:
            return
        name = f"{PROOF_PREFIX}{self._run_id}"
        trial = Placement(
            config=trial_config(self._archive.description.config, name=name),
            archive=self._archive,
            facts=None,
            run_id=self._run_id,
        )
        try:
            await try_out(session, self._connection, trial)
        except ApiRefused as exc:
            raise restore_refused(exc, self._name) from exc


@asynccontextmanager
async def start_restore(
    connection: NATSConnection,
    artifact: ArtifactRecord,
    target: RestoreTarget,
    run_id: str,
    *,
    work_dir: Path,
    confirm: Confirm = confirmed,
    isolated: bool = False,
) -> AsyncIterator[PipedRestore]:
    """The restore under way.  `isolated`: for a rehearsal, the stream has nothing to do with others."""
    archive = Archive(work_dir)
    try:
        restore = _StreamRestore(connection, artifact, target, run_id, archive, work_dir=work_dir, isolated=isolated)
        async with piped_restore(restore.take_in, restore.place, name=artifact.name, confirm=confirm) as sink:
            yield sink
    finally:
        archive.close()


def _only(target: RestoreTarget, name: str) -> RestoreTarget:
    rename = {name: target.rename[name]} if name in target.rename else {}
    return RestoreTarget(project=target.project, service=target.service, node=target.node, rename=rename)
