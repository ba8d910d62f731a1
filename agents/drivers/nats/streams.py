"""The streams of an account, as JetStream describes them."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from agents.drivers.nats.errors import NOT_FOUND, ApiRefused
from agents.drivers.nats.session import Session
from contracts.errors import RunFailed

KV_PREFIX: Final = "KV_"
OBJECT_PREFIX: Final = "OBJ_"
MARK: Final = "strongroom-restoring"
"""Key in the metadata of a stream that is being restored, with the run's id: a stream that bears it is not whole."""
PROOF_PREFIX: Final = "strongroom-proof-"
"""Names of streams in which an archive is tried out before another stream makes way for it."""
_MOST_PAGES: Final = 10_000


class StreamState(msgspec.Struct, frozen=True, kw_only=True):
    """What is in a stream at one moment."""

    messages: int = 0
    bytes: int = 0
    first_seq: int = 0
    last_seq: int = 0
    consumer_count: int = 0


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    name: str = ""
    leader: str = ""


class StreamInfo(msgspec.Struct, frozen=True, kw_only=True):
    config: dict[str, Any]
    """As the server has it, with whatever this version of it knows."""
    created: str = ""
    """When, by which a stream is told from a later one of the same name."""
    state: StreamState = StreamState()
    cluster: Cluster | None = None

    @property
    def name(self) -> str:
        return str(self.config.get("name", ""))

    @property
    def kind(self) -> str:
        """`stream`, `kv` or `object-store`."""
        return kind_of_stream(self.config)

    @property
    def in_memory(self) -> bool:
        return self.config.get("storage") == "memory"

    @property
    def is_unfinished(self) -> bool:
        """Whether it is what a restore has left that was killed."""
        return bool(mark_of(self.config))

    @property
    def is_fed(self) -> bool:
        """Whether it takes its messages from other streams, as a mirror does."""
        return bool(self.config.get("mirror") or self.config.get("sources"))

    @property
    def subjects(self) -> list[str]:
        return subjects_of(self.config)

    @property
    def is_leaderless(self) -> bool:
        return self.cluster is not None and bool(self.cluster.name) and not self.cluster.leader


class ConsumerInfo(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    config: dict[str, Any] = {}
    num_pending: int = 0
    num_ack_pending: int = 0

    @property
    def is_durable(self) -> bool:
        return bool(self.config.get("durable_name"))

    @property
    def is_push(self) -> bool:
        """Whether messages are sent to a subject of its own without anybody asking for them."""
        return bool(self.config.get("deliver_subject"))


class Streams(msgspec.Struct, frozen=True, kw_only=True):
    """All streams of the account."""

    found: list[StreamInfo]
    missing: list[str]
    """Those that exist but whose servers do not answer."""

    def get(self, name: str) -> StreamInfo | None:
        return next((stream for stream in self.found if stream.name == name), None)


class _Page(msgspec.Struct, frozen=True, kw_only=True):
    total: int = 0
    streams: list[StreamInfo] | None = None
    missing: list[str] | None = None
    offline: dict[str, str] | None = None


class _ConsumerPage(msgspec.Struct, frozen=True, kw_only=True):
    total: int = 0
    consumers: list[ConsumerInfo] | None = None
    missing: list[str] | None = None


def kind_of_stream(config: dict[str, Any]) -> str:
    """A bucket is a stream of a certain name with certain subjects; see the client libraries' ADR-8 and ADR-20."""
    name, subjects = str(config.get("name", "")), subjects_of(config)
    if name.startswith(KV_PREFIX) and (not subjects or all(each.startswith("$KV.") for each in subjects)):
        return "kv"
    if name.startswith(OBJECT_PREFIX) and (not subjects or all(each.startswith("$O.") for each in subjects)):
        return "object-store"
    return "stream"


def mark_of(config: dict[str, Any]) -> str:
    """The id of the restore that makes the stream, while it is not whole."""
    return str((config.get("metadata") or {}).get(MARK, ""))


def subjects_of(config: dict[str, Any]) -> list[str]:
    return [str(subject) for subject in config.get("subjects") or []]


async def list_streams(session: Session) -> Streams:
    """Every stream, sorted by name.  Raises: RunFailed `engine.*`."""
    doing = "listing the streams"
    found: dict[str, StreamInfo] = {}
    missing: set[str] = set()
    offset = 0
    for _ in range(_MOST_PAGES):
        answer = await session.ask("STREAM.LIST", {"offset": offset}, doing=doing)
        page = _converted(session, answer, _Page, doing)
        found.update((stream.name, stream) for stream in page.streams or [])
        missing.update([*(page.missing or []), *(page.offline or {})])
        entries = len(page.streams or []) + len(page.missing or []) + len(page.offline or {})
        offset += entries
        if not entries or offset >= page.total:
            break
    silent = {stream.name for stream in found.values() if stream.is_leaderless}
    return Streams(found=[found[name] for name in sorted(found)], missing=sorted(missing | silent))


async def list_consumers(session: Session, stream: str) -> list[ConsumerInfo]:
    """Every consumer of a stream, sorted by name."""
    doing = f"listing the consumers of stream {stream!r}"
    found: dict[str, ConsumerInfo] = {}
    offset = 0
    for _ in range(_MOST_PAGES):
        answer = await session.ask(f"CONSUMER.LIST.{stream}", {"offset": offset}, doing=doing)
        page = _converted(session, answer, _ConsumerPage, doing)
        found.update((consumer.name, consumer) for consumer in page.consumers or [])
        entries = len(page.consumers or []) + len(page.missing or [])
        offset += entries
        if not entries or offset >= page.total:
            break
    return [found[name] for name in sorted(found)]


async def look_at_stream(session: Session, name: str) -> StreamInfo | None:
    """None when there is no such stream."""
    doing = f"looking at stream {name!r}"
    try:
        answer = await session.ask(f"STREAM.INFO.{name}", doing=doing)
    except ApiRefused as exc:
        if exc.err_code == NOT_FOUND:
            return None
        raise
    info: StreamInfo = _converted(session, answer, StreamInfo, doing)
    return info


async def delete_stream(session: Session, name: str) -> bool:
    """Whether there was such a stream."""
    try:
        await session.ask(f"STREAM.DELETE.{name}", doing=f"deleting stream {name!r}", timeout_s=60.0)
    except ApiRefused as exc:
        if exc.err_code == NOT_FOUND:
            return False
        raise
    return True


async def delete_unfinished(session: Session, name: str, run_id: str) -> None:
    """Deletes the stream if that restore is still making it: one without its mark is somebody else's."""
    found = await look_at_stream(session, name)
    if found is not None and mark_of(found.config) == run_id:
        await delete_stream(session, name)


def _converted(session: Session, answer: dict[str, Any], to: type[Any], doing: str) -> Any:
    try:
        return msgspec.convert(answer, to)
    except msgspec.ValidationError as exc:
        what = f"JetStream at {session.place} gave an answer that cannot be understood while {doing}: {exc}"
        raise RunFailed("engine.refused", what) from exc
