"""Restoring one index of a data stream: as a new generation of that stream.

There is no way that all versions have to put a finished index into a stream.  So the index is loaded beside it and counted,
and its documents are copied into a fresh generation, which a rollover makes; what the stream had before goes only when they
are all there.  Names and numbers of the generations are the cluster's; the mapping is that of the stream's template.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import msgspec
import structlog

from agents.drivers.base import Confirm
from agents.drivers.elasticsearch.bulk import Loader, loading
from agents.drivers.elasticsearch.catalogue import look_at_streams
from agents.drivers.elasticsearch.check import require_stream_free
from agents.drivers.elasticsearch.cluster import ClusterFacts, look_at_cluster, open_cluster
from agents.drivers.elasticsearch.connection import ElasticsearchConnection
from agents.drivers.elasticsearch.indices import (
    FoundIndex,
    count_documents,
    delete_index,
    failed,
    find_index,
    put_settings,
    refresh_index,
)
from agents.drivers.elasticsearch.intake import ScratchIndex
from agents.drivers.elasticsearch.lines import parse_document
from agents.drivers.elasticsearch.names import path_chunks
from agents.drivers.elasticsearch.page_size import PageSize
from agents.drivers.elasticsearch.reading import index_reader
from agents.drivers.http_engine import EngineHttp, EngineRefused, quote_path
from agents.drivers.pipes import PipedRestore, PipeReader, piped_restore
from agents.processes import uncancelled
from contracts.errors import RunFailed, StrongroomError
from contracts.records import Attributes

log = structlog.get_logger()

_FINAL_PIPELINE: Final = "index.final_pipeline"


class StreamRestore:
    """What the restore of one generation does to the cluster, and how it is undone."""

    def __init__(
        self,
        http: EngineHttp,
        facts: ClusterFacts,
        scratch: ScratchIndex,
        stream: str,
        made: set[str],
        *,
        replace: bool,
    ) -> None:
        self._http = http
        self._facts = facts
        self._stream = stream
        self._replace = replace
        self._made = made
        """Generations that other artifacts of this restore have become."""
        self._scratch = scratch
        self._created = False
        """There was no such stream before."""
        self._generation = ""
        self._loader: Loader | None = None
        """What has copied the documents into the new generation."""
        self._committed = False
        """What was there before is gone: nothing can be undone any more."""

    async def take_in(self, pipe: PipeReader) -> None:
        await self._scratch.take_in(pipe)

    async def place(self) -> Attributes:
        """Raises: Conflict `restore.target_not_empty`, RunFailed `restore.failed`, `engine.*`; `leave` then undoes it."""
        old = await self._old_generations()
        await self._begin_generation()
        before = await find_index(self._http, self._generation)
        final = before.settings.get(_FINAL_PIPELINE) if isinstance(before, FoundIndex) else None
        if final is not None:  # no request can go past it; applications may be writing, so nothing else is changed
            await put_settings(self._http, self._generation, {_FINAL_PIPELINE: "_none"})
        await self._copy()
        await refresh_index(self._http, self._generation)
        if final is not None:
            await put_settings(self._http, self._generation, {_FINAL_PIPELINE: final})
        found = await count_documents(self._http, self._generation)
        if found < self._scratch.documents:
            what = f"data stream {self._stream!r} got {found} documents instead of {self._scratch.documents}"
            raise RunFailed("restore.failed", f"{what}: restore again")
        if others := found - self._scratch.documents:
            # Each of ours was answered for by itself: these are of applications that went on writing to the stream.
            self._scratch.warnings.append(
                f"data stream {self._stream!r} was written to meanwhile: {others} documents more than the backup's are in "
                f"{self._generation!r}"
            )
        for names, _ in path_chunks(old):
            self._committed = True
            await delete_index(self._http, *names)
        self._made.add(self._generation)
        log.info("restore.in_place", data_stream=self._stream, index=self._generation, documents=found)
        return {
            "data_stream": self._stream,
            "index": self._generation,
            "documents": self._scratch.documents,
            "replaced": bool(old),
            "warnings": self._scratch.warnings,
        }

    async def leave(self, *, finished: bool) -> None:
        try:
            if not finished and not self._committed:
                await self._undo()
            await delete_index(self._http, self._scratch.name)
        except StrongroomError as exc:
            log.error("restore.left_behind", data_stream=self._stream, index=self._generation, error=str(exc))

    async def _old_generations(self) -> list[str]:
        """To be removed when the first artifact of this restore is whole."""
        for stream in await look_at_streams(self._http):
            if stream.name == self._stream and self._made.intersection(stream.indices):
                return []
        return await require_stream_free(self._http, self._stream, replace=self._replace)

    async def _begin_generation(self) -> None:
        if await self._generations():
            answer = await self._http.ask("POST", f"{quote_path(self._stream)}/_rollover")
            self._generation = str(answer["new_index"])
            return
        try:
            await self._http.send("PUT", f"/_data_stream{quote_path(self._stream)}")
        except EngineRefused as exc:
            if exc.code != "engine.refused":
                raise
            raise RunFailed(
                "restore.failed",
                f"data stream {self._stream!r} could not be made: it needs an index template with data_stream whose "
                "patterns match it. Restore the artifact `cluster` of the same backup before, or make the template",
                detail=exc.detail,
            ) from exc
        self._created = True
        self._generation = (await self._generations())[-1]

    async def _generations(self) -> list[str]:
        for stream in await look_at_streams(self._http):
            if stream.name == self._stream:
                return stream.indices
        return []

    async def _copy(self) -> None:
        try:
            async with (
                index_reader(self._http, self._facts, self._scratch.name, slices=1) as reader,
                loading(self._http, self._stream, words=self._stream, pipeline="_none") as loader,
            ):

                async def take(hits: list[msgspec.Raw]) -> None:
                    for hit in hits:
                        await loader.add(parse_document(bytes(hit), self._scratch.name))

                self._loader = loader
                await reader.read(take, lambda: PageSize(stored_bytes=1, documents=1))
        except EngineRefused as exc:
            raise failed(f"the documents of data stream {self._stream!r} could not be copied into it", exc) from exc
        except RunFailed as exc:
            if exc.code in ("dump.failed", "dump.incomplete"):
                raise RunFailed("restore.failed", exc.message, detail=exc.detail) from exc
            raise

    async def _undo(self) -> None:
        if not self._generation:
            return
        if not self._created and (await self._generations())[-1:] == [self._generation]:
            await self._http.send("POST", f"{quote_path(self._stream)}/_rollover")  # what is written to cannot be deleted
        if await self._has_others():
            log.error("restore.left_behind", data_stream=self._stream, index=self._generation, reason="written to meanwhile")
        elif self._created:
            await self._http.send("DELETE", f"/_data_stream{quote_path(self._stream)}")
        else:
            await delete_index(self._http, self._generation)

    async def _has_others(self) -> bool:
        """Whether applications have written to the new generation; then ours are taken out of it, and theirs stay."""
        await refresh_index(self._http, self._generation)
        if await count_documents(self._http, self._generation) <= (self._loader.taken if self._loader else 0):
            return False
        async with index_reader(self._http, self._facts, self._scratch.name, slices=1) as reader:

            async def remove(hits: list[msgspec.Raw]) -> None:
                documents = [parse_document(bytes(hit), self._scratch.name) for hit in hits]
                lines = [b'{"delete":{"_id":%b,"routing":%b}}\n' % (each.id, each.routing) for each in documents]
                await self._http.send(
                    "POST",
                    f"{quote_path(self._generation)}/_bulk",
                    params={"refresh": "true"},
                    data=b"".join(lines),
                    headers={"Content-Type": "application/x-ndjson"},
                )

            await reader.read(remove, lambda: PageSize(stored_bytes=1, documents=1))
        return await count_documents(self._http, self._generation) > 0


@asynccontextmanager
async def start_stream_restore(
    connection: ElasticsearchConnection,
    artifact: str,
    stream: str,
    run_id: str,
    made: set[str],
    *,
    replace: bool,
    confirm: Confirm,
) -> AsyncIterator[PipedRestore]:
    """The restore under way.  `made` names what other artifacts of the same restore have become."""
    async with open_cluster(connection) as http:
        facts = await look_at_cluster(http)
        restore = StreamRestore(http, facts, ScratchIndex(http, artifact, run_id), stream, made, replace=replace)

        async def place() -> Attributes:
            return await uncancelled(restore.place(), name=f"restore:place:{stream}")

        sink: PipedRestore | None = None
        try:
            async with piped_restore(restore.take_in, place, name=artifact, confirm=confirm) as sink:
                yield sink
        finally:
            finished = sink is not None and sink.is_finished
            await uncancelled(restore.leave(finished=finished), name=f"restore:leave:{stream}")
