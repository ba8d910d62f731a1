"""Writing one index: its definition, its documents, and how many they were.

index.json   data-000001.ndjson   data-000002.ndjson   …   count.json
"""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from agents.drivers.base import PlannedArtifact
from agents.drivers.elasticsearch.catalogue import refresh
from agents.drivers.elasticsearch.cluster import look_at_cluster, open_cluster, reason_of
from agents.drivers.elasticsearch.connection import ElasticsearchConnection
from agents.drivers.elasticsearch.index_settings import flatten
from agents.drivers.elasticsearch.lines import (
    COUNT_MEMBER,
    INDEX_MEMBER,
    Count,
    IndexDefinition,
    data_member,
    described,
    one_line,
    pack_hits,
)
from agents.drivers.elasticsearch.page_size import MOST_DOCUMENTS, PageSize
from agents.drivers.elasticsearch.reading import Reading, index_reader
from agents.drivers.http_engine import EngineHttp, EngineRefused, quote_path
from agents.drivers.members import MAX_MEMBER_BYTES, MemberWriter
from agents.drivers.pipes import PipeWriter
from contracts.errors import RunFailed
from contracts.services import ElasticsearchOptions

MEMBER_BYTES: Final = 8 * 1024 * 1024
"""Of a file of documents, unless a single one is larger."""


class _DocumentWriter:
    """Pages of all slices, one after the other."""

    def __init__(self, members: MemberWriter, index: str) -> None:
        self._members = members
        self._index = index
        self._number = 0
        self._turn = asyncio.Lock()

    async def take(self, hits: list[msgspec.Raw]) -> None:
        async with self._turn:
            for lines in pack_hits(hits, MEMBER_BYTES):
                if len(lines) > MAX_MEMBER_BYTES:
                    raise RunFailed(
                        "engine.unsupported",
                        f"index {self._index!r} has a document of {len(lines) // 1048576} MiB; more than "
                        f"{MAX_MEMBER_BYTES // 1048576} MiB cannot be backed up. Leave the index out with --exclude",
                    )
                await self._add(lines)

    async def end(self) -> None:
        """There is a file of documents even when there are none: `tar` fails for a pattern that nothing matches."""
        if self._number == 0:
            await self._add(b"")

    async def _add(self, lines: bytes) -> None:
        self._number += 1
        await self._members.add(data_member(self._number), lines)


async def dump_index(
    connection: ElasticsearchConnection,
    options: ElasticsearchOptions,
    artifact: PlannedArtifact,
    pipe: PipeWriter,
    *,
    reading: Reading | None = None,
) -> list[str]:
    """Raises: RunFailed `dump.failed`, `dump.incomplete`, `engine.*`."""
    index = artifact.name
    warnings: list[str] = []
    async with open_cluster(connection) as http:
        facts = await look_at_cluster(http)
        is_fresh = await refresh(http, [index])
        async with index_reader(http, facts, index, slices=options.slices, reading=reading) as reader:
            # After the view of the documents was taken: whatever fields they have, the mapping knows them.
            answer = await _definition(http, index)
            settings = _settings_of(answer)
            if not is_fresh and (every := settings.get("index.refresh_interval")) is not None:
                warnings.append(
                    f"{index!r}: what was written since its last refresh (refresh_interval is {every}) is missing: give the "
                    "backup's user the privilege `maintenance` on it, so that it may refresh"
                )
            members = MemberWriter(pipe)
            await members.add(INDEX_MEMBER, described(answer))
            writer = _DocumentWriter(members, index)

            def size() -> PageSize:
                return PageSize(
                    stored_bytes=artifact.estimate_bytes // 3,
                    documents=_number(artifact.attributes.get("documents"), 0),
                    most=_number(settings.get("index.max_result_window"), MOST_DOCUMENTS),
                )

            shards = _number(settings.get("index.number_of_shards"), 1)
            documents = await reader.read(writer.take, size, shards=shards)
        await writer.end()
        await members.add(COUNT_MEMBER, msgspec.json.encode(Count(documents=documents)) + b"\n")
        await members.end()
    return warnings


async def _definition(http: EngineHttp, index: str) -> bytes:
    try:
        return one_line(await http.send("GET", quote_path(index)))
    except EngineRefused as exc:
        if exc.code != "engine.refused":
            raise
        raise RunFailed("dump.failed", f"index {index!r} could not be read: {reason_of(exc)}", detail=exc.detail) from exc


def _settings_of(answer: bytes) -> dict[str, object]:
    found = msgspec.json.decode(answer, type=dict[str, IndexDefinition])
    return {name: value for definition in found.values() for name, value in flatten(definition.settings).items()}


def _number(value: object, otherwise: int) -> int:
    return int(value) if isinstance(value, int | str) and str(value).isdecimal() else otherwise
