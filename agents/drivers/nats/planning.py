"""What a backup of an account is going to consist of, and what changed meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from agents.drivers.base import BackupPlan, PlannedArtifact
from agents.drivers.nats.attributes import FORMAT, SUFFIX, StreamAttributes, attributes_of
from agents.drivers.nats.s2_frames import NATSARC, TAR
from agents.drivers.nats.session import Session
from agents.drivers.nats.streams import (
    PROOF_PREFIX,
    ConsumerInfo,
    StreamInfo,
    Streams,
    StreamState,
    list_consumers,
    list_streams,
)
from agents.drivers.selecting import select
from contracts.errors import RunFailed
from contracts.records import Attributes
from contracts.services import NATSOptions

NATSARC_SINCE: Final = (2, 15)
"""Servers from this version on make archives that older ones cannot read, and can take snapshots of streams in memory."""
_AROUND_BYTES: Final = 64 * 1024
"""Of an archive, beside its messages."""
_ASK_AT_ONCE: Final = 8
_SHOWN: Final = 10


async def plan_backup(session: Session, options: NATSOptions) -> BackupPlan:
    """Raises: RunFailed `engine.degraded` for streams out of reach, `engine.unsupported` for what has no snapshots, …"""
    streams = await list_streams(session)
    chosen, warnings = _choose(streams, options)
    _require_reachable(streams, chosen)
    infos = [stream for stream in streams.found if stream.name in chosen]
    _require_snapshots(session, infos)
    consumers = await _consumers_of(session, infos) if options.consumers else {}
    if proofs := [stream.name for stream in streams.found if stream.name.startswith(PROOF_PREFIX)]:
        what = f"left by a restore that was cut off, unless one is under way, and not backed up: {_named(proofs)}"
        warnings.append(f"{what}; delete what is left with `nats stream rm`")
    version, archive = session.version, NATSARC if session.version_pair >= NATSARC_SINCE else TAR
    for stream in infos:
        if stream.is_unfinished:
            what = f"stream {stream.name!r} is what a restore has left that was cut off, and not whole"
            warnings.append(f"{what}: restore it again, or delete it")
        if not options.consumers and stream.config.get("retention") in ("interest", "workqueue") and stream.state.messages:
            what = f"stream {stream.name!r} keeps messages for its consumers, and those are not backed up"
            warnings.append(f"{what}: its consumers have to be made again by hand")
    return BackupPlan(
        artifacts=[
            PlannedArtifact(
                name=stream.name,
                kind=stream.kind,
                format=FORMAT,
                suffix=SUFFIX,
                estimate_bytes=stream.state.bytes + _AROUND_BYTES,
                attributes=attributes_of(_facts(stream, consumers.get(stream.name, []), version, archive)),
            )
            for stream in infos
        ],
        inventory=inventory_of(infos, consumers),
        summary=_summary(infos, consumers),
        tools={"nats-server": version},
        warnings=warnings,
        parallel=options.parallel,
    )


async def note_changes(
    session: Session, plan: BackupPlan, options: NATSOptions, taken: Mapping[str, StreamState]
) -> list[str]:
    """Warnings of what changed since the plan; its inventory gets the counts that the snapshots have.

    Raises: RunFailed `dump.incomplete` when a stream of the plan was not taken, `engine.*`.
    """
    planned = [artifact.name for artifact in plan.artifacts]
    forgotten = [name for name in planned if name not in taken]
    if forgotten:
        raise RunFailed("dump.incomplete", f"no snapshot was taken of {_named(forgotten)}: run the backup again")
    for name, state in taken.items():
        if name in plan.inventory["counts"]:
            plan.inventory["counts"][name] = state.messages
        plan.inventory["streams"][name].update(messages=state.messages, first_seq=state.first_seq, last_seq=state.last_seq)
    streams = await list_streams(session)
    known = [stream.name for stream in streams.found] + streams.missing
    warnings = []
    if added := sorted(chosen_among(known, options) - set(planned)):
        warnings.append(f"made while the backup was under way, and only in the next one: {_named(added)}")
    if gone := sorted(set(planned) - set(known)):
        warnings.append(f"deleted while the backup was under way, and in it as before: {_named(gone)}")
    return warnings


def chosen_among(names: Iterable[str], options: NATSOptions) -> set[str]:
    """Those of the streams that the options want backed up; does not mind what is absent.  Proofs of restores are not."""
    known = [name for name in names if not name.startswith(PROOF_PREFIX)]
    include = [each for each in options.include if each in known or any(sign in each for sign in "*?[")]
    if options.include and not include:
        return set()
    return set(select(known, include, options.exclude, what="stream")[0])


def inventory_of(infos: Sequence[StreamInfo], consumers: Mapping[str, Sequence[ConsumerInfo]]) -> dict[str, Any]:
    """In the form of `BackupPlan.inventory`.

    Streams whose messages may have a time to live are not among the counts: how many are left depends on the day.
    """
    return {
        "counts": {stream.name: stream.state.messages for stream in infos if not stream.config.get("allow_msg_ttl")},
        "streams": {
            stream.name: {
                "kind": stream.kind,
                "subjects": stream.subjects,
                "storage": stream.config.get("storage", "file"),
                "retention": stream.config.get("retention", "limits"),
                "replicas": stream.config.get("num_replicas", 1),
                "messages": stream.state.messages,
                "bytes": stream.state.bytes,
                "first_seq": stream.state.first_seq,
                "last_seq": stream.state.last_seq,
                "consumers": {
                    consumer.name: {
                        "durable": consumer.is_durable,
                        "push": consumer.is_push,
                        "pending": consumer.num_pending,
                        "ack_pending": consumer.num_ack_pending,
                    }
                    for consumer in consumers.get(stream.name, [])
                },
            }
            for stream in infos
        },
    }


def _summary(infos: Sequence[StreamInfo], consumers: Mapping[str, Sequence[ConsumerInfo]]) -> Attributes:
    return {
        "streams": len(infos),
        "kv_buckets": sum(stream.kind == "kv" for stream in infos),
        "object_buckets": sum(stream.kind == "object-store" for stream in infos),
        "messages": sum(stream.state.messages for stream in infos),
        "consumers": sum(map(len, consumers.values())),
        "engine_bytes": sum(stream.state.bytes for stream in infos),
    }


def _facts(stream: StreamInfo, consumers: Sequence[ConsumerInfo], version: str, archive: str) -> StreamAttributes:
    replicas = stream.config.get("num_replicas", 1)
    return StreamAttributes(
        server_version=version,
        archive=archive,
        storage=str(stream.config.get("storage", "file")),
        replicas=replicas if isinstance(replicas, int) else 1,
        messages=stream.state.messages,
        durable_consumers=sum(consumer.is_durable for consumer in consumers),
        push_consumers=sum(consumer.is_push for consumer in consumers),
        is_fed=stream.is_fed,
    )


def _choose(streams: Streams, options: NATSOptions) -> tuple[set[str], list[str]]:
    known = {stream.name for stream in streams.found} | set(streams.missing)
    known = {name for name in known if not name.startswith(PROOF_PREFIX)}
    chosen, warnings = select(sorted(known), options.include, options.exclude, what="stream")
    return set(chosen), warnings


def _require_reachable(streams: Streams, chosen: set[str]) -> None:
    missing = [name for name in streams.missing if name in chosen]
    if missing:
        what = f"not to be read at the moment, for want of a server that answers or of a leader: {_named(missing)}"
        raise RunFailed("engine.degraded", f"{what}; check the cluster with `nats stream report`")


def _require_snapshots(session: Session, infos: Sequence[StreamInfo]) -> None:
    if session.version_pair >= NATSARC_SINCE:
        return
    refused = [stream.name for stream in infos if stream.in_memory]
    if refused:
        what = f"nats-server {session.version} takes no snapshots of what lies in memory: {_named(refused)}"
        excludes = " ".join(f"--exclude {name}" for name in refused[:_SHOWN])
        raise RunFailed("engine.unsupported", f"{what}; leave that out with {excludes}, or upgrade the server to 2.15")


async def _consumers_of(session: Session, infos: Sequence[StreamInfo]) -> dict[str, list[ConsumerInfo]]:
    with_some = [stream.name for stream in infos if stream.state.consumer_count]
    found: dict[str, list[ConsumerInfo]] = {}
    for start in range(0, len(with_some), _ASK_AT_ONCE):
        names = with_some[start : start + _ASK_AT_ONCE]
        answers = await asyncio.gather(*(list_consumers(session, name) for name in names))
        found.update(zip(names, answers, strict=True))
    return found


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:_SHOWN]))
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{'stream' if len(names) == 1 else 'streams'} {shown}{more}"
