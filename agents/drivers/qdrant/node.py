"""One node's HTTP API, as far as a backup needs it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final, TypeVar

import msgspec

from agents.drivers.http_engine import EngineHttp, EngineRefused, open_engine, quote_path
from agents.drivers.qdrant.answers import (
    Aliases,
    Answer,
    ClusterStatus,
    CollectionCluster,
    CollectionInfo,
    Collections,
    Count,
    Snapshot,
    SnapshotActivity,
    Telemetry,
    Version,
)
from agents.drivers.qdrant.connection import QdrantConnection
from agents.drivers.secret_files import read_secret
from contracts.errors import RunFailed

T = TypeVar("T")

QUICK_S: Final = 5.0
"""For what a node answers from memory."""
COUNT_S: Final = 600.0
GATEWAY: Final = frozenset({408, 502, 503, 504})
"""What a proxy answers when the server takes too long, or is gone for a while."""
_WORDS: Final = 500


class Node:
    """Made by `open_nodes`.  Raises throughout: RunFailed `engine.*`."""

    def __init__(self, http: EngineHttp) -> None:
        self._http = http

    @property
    def url(self) -> str:
        return self._http.url

    async def version(self, *, timeout_s: float = 60.0) -> str:
        """Told to everybody, whatever the credentials."""
        return (await self._http.ask("GET", "/", type=Version, timeout_s=timeout_s)).version

    async def cluster_status(self, *, timeout_s: float = 60.0) -> ClusterStatus | None:
        """None when the credentials are for some collections only, and so do not let us look."""
        try:
            return await self._ask("GET", "/cluster", ClusterStatus, timeout_s=timeout_s)
        except EngineRefused as exc:
            if exc.code == "engine.permission":
                return None
            raise

    async def collections(self, *, timeout_s: float = 60.0) -> list[str]:
        """Those that the credentials show; sorted."""
        listed = await self._ask("GET", "/collections", Collections, timeout_s=timeout_s)
        return sorted(each.name for each in listed.collections)

    async def aliases(self) -> dict[str, str]:
        """Collections by alias."""
        listed = await self._ask("GET", "/aliases", Aliases)
        return {each.alias_name: each.collection_name for each in sorted(listed.aliases, key=lambda each: each.alias_name)}

    async def change_aliases(self, actions: list[dict[str, Any]]) -> None:
        """All at once."""
        await self._http.send("POST", "/collections/aliases", json={"actions": actions})

    async def info(self, collection: str) -> CollectionInfo:
        return await self._ask("GET", quote_path("collections", collection), CollectionInfo)

    async def cluster(self, collection: str, *, timeout_s: float = 60.0) -> CollectionCluster:
        path = quote_path("collections", collection, "cluster")
        return await self._ask("GET", path, CollectionCluster, timeout_s=timeout_s)

    async def count(self, collection: str) -> int:
        """The exact number of points, on all nodes together."""
        path = quote_path("collections", collection, "points", "count")
        return (await self._ask("POST", path, Count, json={"exact": True}, timeout_s=COUNT_S)).count

    async def create_collection(self, collection: str) -> None:
        """An empty one, of which only the name matters."""
        smallest = {"vectors": {"size": 1, "distance": "Dot"}}
        await self._http.send("PUT", quote_path("collections", collection), json=smallest)

    async def delete_collection(self, collection: str) -> None:
        """Does nothing where there is none, but needs the right to."""
        await self._http.send("DELETE", quote_path("collections", collection))

    async def snapshots(self, collection: str) -> list[Snapshot]:
        return await self._ask("GET", quote_path("collections", collection, "snapshots"), list[Snapshot])

    async def create_snapshot(self, collection: str, *, timeout_s: float) -> Snapshot:
        path = quote_path("collections", collection, "snapshots")
        return await self._ask("POST", path, Snapshot, params={"wait": "true"}, timeout_s=timeout_s)

    async def delete_snapshot(self, collection: str, name: str) -> None:
        """Does nothing when it is gone."""
        try:
            await self._http.send(
                "DELETE", quote_path("collections", collection, "snapshots", name), params={"wait": "true"}
            )
        except EngineRefused as exc:
            if exc.status != 404:
                raise

    @asynccontextmanager
    async def download(self, collection: str, name: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """The bytes of a snapshot; RunFailed `dump.failed` when they are cut off."""
        path = quote_path("collections", collection, "snapshots", name)
        async with self._http.stream("GET", path) as pieces:
            yield pieces

    async def upload(self, collection: str, body: Any, *, checksum: str = "", timeout_s: float) -> None:
        """Recovers a collection, or makes it, from a multipart body; returns when that is done."""
        params = {"priority": "snapshot", "wait": "true"}
        if checksum:
            params["checksum"] = checksum
        path = quote_path("collections", collection, "snapshots", "upload")
        await self._http.send("POST", path, data=body, params=params, timeout_s=timeout_s)

    async def activity(self, collection: str) -> SnapshotActivity | None:
        """What the node is doing with snapshots of the collection; None when it does not tell."""
        try:
            telemetry = await self._ask("GET", "/telemetry", Telemetry, params={"details_level": "2"})
        except EngineRefused as exc:
            if exc.status in GATEWAY:
                raise
            return None
        listed = telemetry.collections.snapshots if telemetry.collections is not None else None
        if listed is None:
            return None
        return next((each for each in listed if each.id == collection), SnapshotActivity(collection, 0, 0))

    async def _ask(self, method: str, path: str, result: type[T], **request: Any) -> T:
        answer: Answer[T] = await self._http.ask(method, path, type=Answer[result], **request)  # type: ignore[valid-type]
        return answer.result


@asynccontextmanager
async def open_nodes(connection: QdrantConnection) -> AsyncIterator[list[Node]]:
    """All nodes of the connection, reachable or not.  Raises: InvalidInput `config.invalid`."""
    # No compression: the server would pack snapshots on the fly, for neighbours to unpack.
    headers = {"Accept-Encoding": "identity"}
    if connection.api_key_file:
        headers["api-key"] = read_secret(connection.api_key_file, "api_key_file").reveal()
    async with AsyncExitStack() as stack:
        yield [
            Node(
                await stack.enter_async_context(open_engine(url, name="Qdrant", headers=headers, ca_file=connection.ca_file))
            )
            for url in dict.fromkeys(connection.url)
        ]


async def reachable_nodes(nodes: list[Node], *, timeout_s: float = 60.0) -> tuple[list[Node], list[RunFailed]]:
    """Those that answer and take our credentials, and why others do not; any of the latter is the first error if none does.

    Raises: RunFailed `engine.*` when there is no node left.
    """
    looks = await asyncio.gather(*(node.collections(timeout_s=timeout_s) for node in nodes), return_exceptions=True)
    reached, failures = [], []
    for node, look in zip(nodes, looks, strict=True):
        if isinstance(look, RunFailed):
            failures.append(look)
        elif isinstance(look, BaseException):
            raise look
        else:
            reached.append(node)
    if not reached:
        raise failures[0]
    return reached, failures


def passes(exc: RunFailed) -> bool:
    """Whether it may be over in a moment, as a restart is."""
    return exc.code == "engine.unreachable" or (isinstance(exc, EngineRefused) and exc.status in GATEWAY)


def words_of(exc: EngineRefused) -> str:
    """What the server says of an error, in a line."""
    with contextlib.suppress(msgspec.DecodeError, KeyError, TypeError):
        return str(msgspec.json.decode(exc.body)["status"]["error"])[:_WORDS]
    return exc.body.strip()[:_WORDS] or f"status {exc.status}"
