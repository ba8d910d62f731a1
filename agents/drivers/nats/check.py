"""Whether a restore can be done, judged before anything is fetched or changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from agents.drivers.nats.attributes import parse_attributes
from agents.drivers.nats.configs import name_fault
from agents.drivers.nats.errors import ApiRefused
from agents.drivers.nats.placing import not_empty
from agents.drivers.nats.planning import NATSARC_SINCE
from agents.drivers.nats.s2_frames import NATSARC
from agents.drivers.nats.session import Session
from agents.drivers.nats.streams import PROOF_PREFIX, list_streams
from contracts.errors import InvalidInput, RunFailed
from contracts.records import ArtifactRecord, RestoreTarget

_ABSENT: Final = f"{PROOF_PREFIX}of-rights"


async def check_restore(session: Session, artifacts: Sequence[ArtifactRecord], target: RestoreTarget) -> None:
    """Raises: InvalidInput for `rename`; Conflict `restore.target_not_empty`; RunFailed `restore.unsupported`, …"""
    names = target_names(artifacts, target)
    for artifact in artifacts:
        require_renaming(artifact, names[artifact.name])
        _require_version(session, artifact)
    streams = await list_streams(session)
    for name in names.values():
        existing = streams.get(name)
        if existing is None and name in streams.missing:
            what = f"stream {name!r} exists, but no server that has it answers"
            raise RunFailed("engine.degraded", f"{what}: check the cluster with `nats stream report`")
        if existing is not None and not existing.is_unfinished and not target.replace:
            raise not_empty(name)
    await _require_rights(session, list(names.values()))


def target_names(artifacts: Sequence[ArtifactRecord], target: RestoreTarget) -> dict[str, str]:
    """Each artifact's stream.  Raises: InvalidInput `input.invalid` for `rename`."""
    known = {artifact.name for artifact in artifacts}
    for old, new in target.rename.items():
        if old not in known:
            raise _invalid(f"stream {old!r} is not among those to restore")
        if fault := name_fault(new):
            raise _invalid(f"there can be no stream {new!r}: {fault}")
    names = {name: target.rename.get(name, name) for name in sorted(known)}
    taken: dict[str, str] = {}
    for old, new in names.items():
        if new in taken:
            raise _invalid(f"streams {taken[new]!r} and {old!r} cannot both become {new!r}")
        taken[new] = old
    return names


def require_renaming(artifact: ArtifactRecord, name: str) -> None:
    """Raises: RunFailed `restore.unsupported` for a stream that would not be itself under another name."""
    if name == artifact.name:
        return
    facts = parse_attributes(artifact)
    what = f"stream {artifact.name!r} cannot be restored as {name!r}"
    elsewhere = "restore it under its own name, into another account or server if need be"
    if artifact.kind != "stream":
        why = "its messages bear the bucket's name in their subjects, so a bucket of another name would not find them"
    elif facts.archive != NATSARC:
        why = "snapshots of nats-server before 2.15 hold the name in every message's checksum"
    elif facts.push_consumers:
        why = f"copies of its {facts.push_consumers} push consumers would send everything to the original's receivers again"
    else:
        return
    raise RunFailed("restore.unsupported", f"{what}: {why}; {elsewhere}")


def _require_version(session: Session, artifact: ArtifactRecord) -> None:
    facts = parse_attributes(artifact)
    if facts.archive == NATSARC and (0, 0) < session.version_pair < NATSARC_SINCE:
        what = f"the backup was made by nats-server {facts.server_version}, and this one is {session.version}"
        raise RunFailed("engine.version_skew", f"{what}, which cannot read backups of 2.15 and later: upgrade it first")


async def _require_rights(session: Session, names: Sequence[str]) -> None:
    """Asks for all that a restore will, in a way that does nothing: better now than after hours of work."""
    doing = "looking whether a restore is permitted"
    for verb in [*(f"STREAM.RESTORE.{name}" for name in names), f"STREAM.UPDATE.{_ABSENT}", f"STREAM.DELETE.{_ABSENT}"]:
        try:
            await session.ask(verb, doing=doing)
        except ApiRefused as exc:  # an empty request, and a stream that is not there
            if exc.code != "engine.refused" or "not enabled" in exc.words:
                raise


def _invalid(message: str) -> InvalidInput:
    return InvalidInput("input.invalid", f"rename: {message}", field="rename")
