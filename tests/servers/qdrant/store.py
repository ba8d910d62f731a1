"""The data of all peers: collections, aliases and shards, on disk, so that they outlive a server that is killed.

One process plays all peers of a cluster; the file `meta.json` is what they agree upon.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import qdrant_edge as edge

from tests.servers.qdrant.answers import Failure, no_collection
from tests.servers.qdrant.faults import Faults, read_faults

VERSION: Final = "1.18.2"
_FORBIDDEN: Final = '<>:"/\\|?*\0\x1f'
_DISTANCES: Final = {
    "Cosine": edge.Distance.Cosine,
    "Dot": edge.Distance.Dot,
    "Euclid": edge.Distance.Euclid,
    "Manhattan": edge.Distance.Manhattan,
}


class Store:
    """Of one server process."""

    def __init__(self, directory: Path, peers: list[int]) -> None:
        self.directory = directory
        self.peers = peers
        self._meta_path = directory / "meta.json"
        self._open: dict[tuple[int, str, int], edge.EdgeShard] = {}
        meta = json.loads(self._meta_path.read_text()) if self._meta_path.exists() else {"collections": {}, "aliases": {}}
        self.collections: dict[str, dict[str, Any]] = meta["collections"]
        self.aliases: dict[str, str] = meta["aliases"]
        for peer in peers:
            self.snapshots(peer, "").mkdir(parents=True, exist_ok=True)
            shutil.rmtree(self.temporary(peer), ignore_errors=True)  # as the server does when it starts
            self.temporary(peer).mkdir()

    @property
    def faults(self) -> Faults:
        return read_faults(self.directory)

    def save(self) -> None:
        temporary = self._meta_path.with_suffix(".new")
        temporary.write_text(json.dumps({"collections": self.collections, "aliases": self.aliases}))
        temporary.rename(self._meta_path)

    def snapshots(self, peer: int, collection: str) -> Path:
        return self.directory / str(peer) / "snapshots" / collection

    def temporary(self, peer: int) -> Path:
        return self.directory / str(peer) / "snapshots_temp"

    def shard_path(self, peer: int, collection: str, shard: int) -> Path:
        return self.directory / str(peer) / "storage" / collection / str(shard)

    def resolve(self, name: str) -> str:
        """The collection of that name or alias."""
        found = self.aliases.get(name, name)
        if found not in self.collections:
            raise no_collection(name)
        return found

    def create(self, name: str, config: dict[str, Any], schema: dict[str, Any] | None = None) -> None:
        if not name or len(name) > 255 or any(character in _FORBIDDEN for character in name):
            raise Failure(422, "Validation error in path parameters: collection_name")
        if name in self.collections or name in self.aliases:
            raise Failure(409, f"Wrong input: Collection `{name}` already exists!")
        params = config["params"]
        copies = min(params["replication_factor"], len(self.peers))
        shards = {
            str(shard): {str(self.peers[(shard + copy) % len(self.peers)]): "Active" for copy in range(copies)}
            for shard in range(params["shard_number"])
        }
        self.collections[name] = {"config": config, "schema": schema or {}, "shards": shards}
        for shard, replicas in shards.items():
            for peer in replicas:
                self.reset_shard(int(peer), name, int(shard))
        self.save()

    def delete(self, name: str) -> bool:
        """As the server does it: aliases go with the collection, its snapshots stay."""
        for key in [key for key in self._open if key[1] == name]:
            self._open.pop(key).close()
        known = self.collections.pop(name, None)
        for alias in [alias for alias, target in self.aliases.items() if target == name]:
            del self.aliases[alias]
        self.save()
        for peer in self.peers:
            shutil.rmtree(self.shard_path(peer, name, 0).parent, ignore_errors=True)
        return known is not None

    def replicas(self, name: str) -> Iterator[tuple[int, int, str]]:
        """(shard, peer, state)."""
        states = self.faults.states
        for shard, replicas in self.collections[name]["shards"].items():
            for peer, state in replicas.items():
                yield int(shard), int(peer), states.get(f"{name}/{shard}@{peer}", state)

    def shard(self, peer: int, name: str, shard: int) -> edge.EdgeShard:
        key = (peer, name, shard)
        if key not in self._open:
            self._open[key] = edge.EdgeShard.load(str(self.shard_path(*key)), self.edge_config(name))
        return self._open[key]

    def close_shard(self, peer: int, name: str, shard: int) -> None:
        if (known := self._open.pop((peer, name, shard), None)) is not None:
            known.close()

    def reset_shard(self, peer: int, name: str, shard: int) -> None:
        self.close_shard(peer, name, shard)
        path = self.shard_path(peer, name, shard)
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        self._open[peer, name, shard] = edge.EdgeShard.create(str(path), self.edge_config(name))

    def edge_config(self, name: str) -> edge.EdgeConfig:
        return edge_config(self.collections[name]["config"])

    def readable(self, name: str) -> Iterator[edge.EdgeShard]:
        """One active replica of each shard."""
        done = set()
        for shard, peer, state in self.replicas(name):
            if shard not in done and state == "Active":
                done.add(shard)
                yield self.shard(peer, name, shard)

    def count(self, name: str) -> int:
        return sum(shard.count(edge.CountRequest(exact=True)) for shard in self.readable(name))

    def upsert(self, name: str, points: list[dict[str, Any]]) -> None:
        shard_count = self.collections[name]["config"]["params"]["shard_number"]
        for number, peer, _ in list(self.replicas(name)):
            mine = [
                edge.Point(point["id"], point["vector"], point.get("payload"))
                for point in points
                if _shard_of(point["id"], shard_count) == number
            ]
            if mine:
                shard = self.shard(peer, name, number)
                shard.update(edge.UpdateOperation.upsert_points(mine))  # in its log, which outlives the process

    def remove(self, name: str, ids: list[Any]) -> None:
        for number, peer, _ in list(self.replicas(name)):
            shard = self.shard(peer, name, number)
            shard.update(edge.UpdateOperation.delete_points(ids))

    def scroll(self, name: str, *, with_vector: bool) -> list[dict[str, Any]]:
        """All points, by id."""
        found = []
        for shard in self.readable(name):
            records, _ = shard.scroll(edge.ScrollRequest(limit=1_000_000, with_payload=True, with_vector=with_vector))
            for record in records:
                point: dict[str, Any] = {"id": record.id, "payload": record.payload or {}}
                if with_vector:
                    point["vector"] = record.vector
                found.append(point)
        return sorted(found, key=lambda point: str(point["id"]).zfill(40))

    def close(self) -> None:
        for key in list(self._open):
            with contextlib.suppress(Exception):
                self._open.pop(key).close()


def edge_config(config: dict[str, Any]) -> edge.EdgeConfig:
    vectors = config["params"]["vectors"]
    named = {"": vectors} if "size" in vectors else vectors
    return edge.EdgeConfig(
        vectors={
            name: edge.EdgeVectorParams(size=each["size"], distance=_DISTANCES[each["distance"]])
            for name, each in named.items()
        }
    )


def _shard_of(point_id: object, shards: int) -> int:
    return zlib.crc32(str(point_id).encode()) % shards
