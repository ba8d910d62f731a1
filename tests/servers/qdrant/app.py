"""The HTTP API of one peer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from qdrant_client.http import models

from tests.servers.qdrant.answers import Failure, body_of, no_collection, ok, query_of
from tests.servers.qdrant.rights import ACCESS, OPEN_PATHS, Keys, access_of
from tests.servers.qdrant.snapshot_api import SnapshotApi
from tests.servers.qdrant.store import VERSION, Store

_READ_BYTES: Final = 256 * 1024
_DEFAULTS: Final[dict[str, Any]] = {
    "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10000, "max_indexing_threads": 0},
    "optimizer_config": {
        "deleted_threshold": 0.2,
        "vacuum_min_vector_number": 1000,
        "default_segment_number": 0,
        "flush_interval_sec": 5,
    },
    "wal_config": {"wal_capacity_mb": 32, "wal_segments_ahead": 0},
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Peer:
    """One node.  `distributed` is false for a server that runs alone."""

    def __init__(self, store: Store, peer: int, keys: Keys, *, distributed: bool) -> None:
        self._store = store
        self._peer = peer
        self._keys = keys
        self._distributed = distributed
        self._snapshots = SnapshotApi(store, peer)

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._guard], client_max_size=1 << 30)
        one = "/collections/{collection}"
        app.add_routes(
            [
                web.get("/", self._version),
                web.get("/healthz", self._healthz),
                web.get("/telemetry", self._telemetry),
                web.get("/cluster", self._cluster),
                web.get("/collections", self._list),
                web.get("/aliases", self._list_aliases),
                web.post("/collections/aliases", self._change_aliases),
                web.get(one, self._describe),
                web.put(one, self._create),
                web.delete(one, self._delete),
                web.get(f"{one}/exists", self._exists),
                web.get(f"{one}/aliases", self._collection_aliases),
                web.get(f"{one}/cluster", self._collection_cluster),
                web.put(f"{one}/index", self._create_index),
                web.put(f"{one}/points", self._upsert),
                web.post(f"{one}/points/delete", self._delete_points),
                web.post(f"{one}/points/count", self._count),
                web.post(f"{one}/points/scroll", self._scroll),
                *self._snapshots.routes(),
            ]
        )
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._store.faults.gateway_broken:
            return web.Response(status=502, text="<html><h1>502 Bad Gateway</h1></html>")
        try:
            if request.path not in OPEN_PATHS:
                request[ACCESS] = access_of(self._keys, request.headers)
            timeout_s = self._store.faults.gateway_timeout_s
            if not timeout_s or request.method == "GET":
                return await handler(request)
            try:
                async with asyncio.timeout(timeout_s):
                    return await handler(request)
            except TimeoutError:
                return web.Response(status=504, text="<html><h1>504 Gateway Time-out</h1></html>")
        except Failure as failure:
            return failure.response()

    # the service

    async def _version(self, request: web.Request) -> web.Response:
        del request
        answer = {"title": "qdrant - vector search engine", "version": VERSION, "commit": "0" * 40}
        models.VersionInfo.model_validate(answer)
        return web.json_response(answer)

    async def _healthz(self, request: web.Request) -> web.Response:
        del request
        return web.Response(text="healthz check passed")

    async def _telemetry(self, request: web.Request) -> web.Response:
        query_of(request, "details_level", "anonymize", "timeout", "per_collection")
        request[ACCESS].require_global()
        detailed = int(request.query.get("details_level", "0")) >= 2
        collections = {
            "number_of_collections": len(self._store.collections),
            "snapshots": self._snapshots.activity() if detailed else None,
        }
        return ok({"id": "0", "collections": collections})

    async def _cluster(self, request: web.Request) -> web.Response:
        request[ACCESS].require_global()
        if not self._distributed:
            return ok({"status": "disabled"}, models.ClusterStatusOneOf)
        answer = {
            "status": "enabled",
            "peer_id": self._peer,
            "peers": {str(peer): {"uri": f"http://127.0.0.1:{6335 + at}/"} for at, peer in enumerate(self._store.peers)},
            "raft_info": {
                "term": 1,
                "commit": 1,
                "pending_operations": 0,
                "leader": self._store.peers[0],
                "role": "Leader" if self._peer == self._store.peers[0] else "Follower",
                "is_voter": True,
            },
            "consensus_thread_status": {"consensus_thread_status": "working", "last_update": "2026-11-22T00:05:12Z"},
            "message_send_failures": {},
        }
        return ok(answer, models.ClusterStatusOneOf1)

    # collections and aliases

    async def _list(self, request: web.Request) -> web.Response:
        unknown = self._store.faults.unknown
        names = [
            name for name in self._store.collections if request[ACCESS].sees(name) and f"{name}@{self._peer}" not in unknown
        ]
        return ok({"collections": [{"name": name} for name in names]}, models.CollectionsResponse)

    async def _describe(self, request: web.Request) -> web.Response:
        name = self._named(request)
        known = self._store.collections[name]
        schema = {field: {"data_type": kind, "points": 0} for field, kind in known["schema"].items()}
        answer = {
            "status": "green",
            "optimizer_status": "ok",
            "indexed_vectors_count": 0,
            "points_count": self._store.count(name),
            "segments_count": len(known["shards"]),
            "config": known["config"],
            "payload_schema": schema,
        }
        return ok(answer, models.CollectionInfo)

    async def _create(self, request: web.Request) -> web.Response:
        request[ACCESS].require_global(manage=True)
        wanted = await body_of(request, models.CreateCollection)
        query_of(request, "timeout")
        params = {
            "vectors": wanted.get("vectors", {}),
            "shard_number": wanted.get("shard_number") or len(self._store.peers),
            "replication_factor": wanted.get("replication_factor") or 1,
            "write_consistency_factor": wanted.get("write_consistency_factor") or 1,
            "on_disk_payload": wanted.get("on_disk_payload", True),
        }
        hnsw = {**_DEFAULTS["hnsw_config"], **(wanted.get("hnsw_config") or {})}
        self._store.create(request.match_info["collection"], {**_DEFAULTS, "hnsw_config": hnsw, "params": params})
        return ok(True)

    async def _delete(self, request: web.Request) -> web.Response:
        request[ACCESS].require_global(manage=True)
        query_of(request, "timeout")
        return ok(self._store.delete(request.match_info["collection"]))

    async def _exists(self, request: web.Request) -> web.Response:
        name = request.match_info["collection"]
        request[ACCESS].require(name)
        return ok({"exists": name in self._store.collections or name in self._store.aliases}, models.CollectionExistence)

    async def _list_aliases(self, request: web.Request) -> web.Response:
        seen = {alias: name for alias, name in self._store.aliases.items() if request[ACCESS].sees(name)}
        return self._aliases(seen)

    async def _collection_aliases(self, request: web.Request) -> web.Response:
        name = self._named(request)
        return self._aliases({alias: target for alias, target in self._store.aliases.items() if target == name})

    def _aliases(self, aliases: dict[str, str]) -> web.Response:
        listed = [{"alias_name": alias, "collection_name": name} for alias, name in aliases.items()]
        return ok({"aliases": listed}, models.CollectionsAliasesResponse)

    async def _change_aliases(self, request: web.Request) -> web.Response:
        request[ACCESS].require_global(manage=True)
        store = self._store
        for action in (await body_of(request, models.ChangeAliasesOperation))["actions"]:
            if (creation := action.get("create_alias")) is not None:
                alias, name = creation["alias_name"], creation["collection_name"]
                if name not in store.collections:
                    raise no_collection(name)
                if alias in store.collections:
                    raise Failure(409, f"Wrong input: Collection `{alias}` already exists!")
                store.aliases[alias] = name
            elif (removal := action.get("delete_alias")) is not None:
                store.aliases.pop(removal["alias_name"], None)
            else:
                raise Failure(400, "Wrong input: this server does not rename aliases")
        store.save()
        return ok(True)

    async def _collection_cluster(self, request: web.Request) -> web.Response:
        name = self._named(request, extras=True)
        store = self._store
        local: list[dict[str, Any]] = []
        remote: list[dict[str, Any]] = []
        for shard, peer, state in store.replicas(name):
            if peer == self._peer:
                count = store.count(name) if len(store.peers) == 1 else 0
                local.append({"shard_id": shard, "points_count": count, "state": state})
            else:
                remote.append({"shard_id": shard, "peer_id": peer, "state": state})
        answer = {
            "peer_id": self._peer,
            "shard_count": len(store.collections[name]["shards"]),
            "local_shards": local,
            "remote_shards": remote,
            "shard_transfers": [],
        }
        return ok(answer, models.CollectionClusterInfo)

    # points

    async def _create_index(self, request: web.Request) -> web.Response:
        name = self._named(request, write=True, extras=True)
        query_of(request, "wait", "ordering", "timeout")
        wanted = await body_of(request, models.CreateFieldIndex)
        self._store.collections[name]["schema"][wanted["field_name"]] = wanted["field_schema"]
        self._store.save()
        return self._updated()

    async def _upsert(self, request: web.Request) -> web.Response:
        name = self._named(request, write=True)
        query_of(request, "wait", "ordering", "timeout")
        self._store.upsert(name, (await body_of(request, models.PointsList))["points"])
        return self._updated()

    async def _delete_points(self, request: web.Request) -> web.Response:
        name = self._named(request, write=True)
        query_of(request, "wait", "ordering", "timeout")
        self._store.remove(name, (await body_of(request, models.PointIdsList))["points"])
        return self._updated()

    def _updated(self) -> web.Response:
        return ok({"operation_id": 1, "status": "completed"}, models.UpdateResult)

    async def _count(self, request: web.Request) -> web.Response:
        name = self._named(request)
        query_of(request, "timeout", "consistency")
        await body_of(request, models.CountRequest)
        shards = {shard for shard, _, _ in self._store.replicas(name)}
        if len(list(self._store.readable(name))) < len(shards):
            raise Failure(500, "Service internal error: The replica set has no active replica")
        return ok({"count": self._store.count(name)}, models.CountResult)

    async def _scroll(self, request: web.Request) -> web.Response:
        name = self._named(request)
        query_of(request, "timeout", "consistency")
        wanted = await body_of(request, models.ScrollRequest)
        points = self._store.scroll(name, with_vector=bool(wanted.get("with_vector")))
        offset, limit = wanted.get("offset"), wanted.get("limit") or 10
        if offset is not None:
            points = points[[point["id"] for point in points].index(offset) :]
        following = points[limit]["id"] if len(points) > limit else None
        return ok({"points": points[:limit], "next_page_offset": following}, models.ScrollResult)

    def _named(self, request: web.Request, *, write: bool = False, extras: bool = False) -> str:
        name = request.match_info["collection"]
        request[ACCESS].require(name, write=write, extras=extras)
        if f"{name}@{self._peer}" in self._store.faults.unknown:
            raise no_collection(name)
        return self._store.resolve(name)


def load_config(path: Path) -> dict[str, Any]:
    """The configuration file: YAML in the server, of which JSON is a part."""
    config: dict[str, Any] = json.loads(path.read_text())
    return config
