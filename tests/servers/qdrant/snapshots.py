"""Snapshots in the server's layout, made from shards of the real engine and opened by it.

A collection's is a tar of `config.json`, `version.info`, `payload_index.json`, `shard_key_mapping.json` and a directory
per shard; in that `replica_state.json`, `shard_config.json` and, where the shard is this peer's own, `wal/` and a tar per
segment.  GNU sparse entries, as the server writes them.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import qdrant_edge as edge

from tests.servers.qdrant.answers import Failure
from tests.servers.qdrant.store import VERSION, Store

_POLL_S = 0.02


async def create_snapshot(store: Store, peer: int, name: str) -> dict[str, Any]:
    """Its description.  Goes on when nobody waits for it."""
    stamp = store.faults.second or datetime.now(UTC).strftime("%Y-%m-%d-%H-%M-%S")
    file_name = f"{name}-{peer}-{stamp}.snapshot"
    while store.faults.hold_snapshots:  # noqa: ASYNC110 - set by another process
        await asyncio.sleep(_POLL_S)
    if store.faults.disk_full or store.faults.silent_failures:
        raise Failure(500, "Service internal error: failed to create snapshot: No space left on device (os error 28)")
    with tempfile.TemporaryDirectory(dir=store.temporary(peer), ignore_cleanup_errors=True) as temporary:
        root = Path(temporary) / "content"
        root.mkdir()
        await _lay_out(store, peer, name, root)
        packed = Path(temporary) / "packed"
        await _tar("-S", "--format=gnu", "-cf", packed, "-C", root, *sorted(path.name for path in root.iterdir()))
        directory = store.snapshots(peer, name)
        directory.mkdir(parents=True, exist_ok=True)
        digest = await asyncio.to_thread(_sha256, packed)
        (directory / f"{file_name}.checksum").write_text(digest)
        packed.rename(directory / file_name)
    return describe(store, directory / file_name)


def describe(store: Store, path: Path) -> dict[str, Any]:
    checksum = path.with_name(f"{path.name}.checksum")
    digest = checksum.read_text() if checksum.exists() else None
    if store.faults.wrong_checksum:
        digest = "0" * 64
    status = path.stat()
    described: dict[str, Any] = {
        "name": path.name,
        "creation_time": datetime.fromtimestamp(int(status.st_mtime), UTC).strftime("%Y-%m-%dT%H:%M:%S"),
        "size": status.st_size,
    }
    if digest is not None and not store.faults.no_checksum:
        described["checksum"] = digest
    return described


async def recover(store: Store, peer: int, name: str, path: Path) -> None:
    """Into the collection of that name or alias, or a new one.  Raises: Failure."""
    while store.faults.hold_uploads:  # noqa: ASYNC110 - set by another process
        await asyncio.sleep(_POLL_S)
    with tempfile.TemporaryDirectory(dir=store.temporary(peer), ignore_cleanup_errors=True) as temporary:
        root = Path(temporary)
        await _tar("-xf", path, "-C", root)
        try:
            config = json.loads((root / "config.json").read_text())
            schema = json.loads((root / "payload_index.json").read_text())["schema"]
        except (OSError, ValueError, KeyError) as exc:
            raise Failure(500, f"Service internal error: cannot read the snapshot's configuration: {exc}") from exc
        if name not in store.collections and name not in store.aliases:
            store.create(name, config, schema)
        target = store.resolve(name)
        if name in store.faults.disk_full_for:
            raise Failure(500, "Service internal error: No space left on device (os error 28)")
        existing = store.collections[target]["config"]["params"]
        for field in ("vectors", "shard_number"):
            if config["params"][field] != existing[field]:
                raise Failure(400, "Wrong input: Snapshot is not compatible with existing collection")
        for shard in range(existing["shard_number"]):
            if (root / str(shard) / "segments").is_dir():
                await _recover_shard(store, peer, target, shard, root / str(shard))
        store.save()


async def _recover_shard(store: Store, peer: int, name: str, shard: int, unpacked: Path) -> None:
    packed, ready = unpacked.with_suffix(".tar"), unpacked.with_suffix(".ready")
    await _tar("-S", "--format=gnu", "-cf", packed, "-C", unpacked, ".")
    try:
        edge.EdgeShard.unpack_snapshot(str(packed), str(ready))
        edge.EdgeShard.load(str(ready), store.edge_config(name)).close()
    except Exception as exc:
        raise Failure(500, f"Service internal error: shard {shard} cannot be loaded: {exc}") from exc
    store.close_shard(peer, name, shard)
    path = store.shard_path(peer, name, shard)
    shutil.rmtree(path, ignore_errors=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    ready.rename(path)
    # Priority `snapshot`: this replica is right, and others beyond the replication factor go.
    replicas = store.collections[name]["shards"][str(shard)]
    replicas[str(peer)] = "Active"
    others = [other for other in replicas if other != str(peer)]
    keep = store.collections[name]["config"]["params"]["replication_factor"] - 1
    for other in others[keep:]:
        del replicas[other]
    for other in others[:keep]:  # brought in line by a transfer
        store.close_shard(int(other), name, shard)
        theirs = store.shard_path(int(other), name, shard)
        shutil.rmtree(theirs, ignore_errors=True)
        theirs.parent.mkdir(parents=True, exist_ok=True)
        await _run("cp", "-a", "--sparse=always", path, theirs)


async def _lay_out(store: Store, peer: int, name: str, root: Path) -> None:
    known = store.collections[name]
    (root / "config.json").write_text(json.dumps(known["config"]))
    (root / "version.info").write_text(VERSION)
    (root / "payload_index.json").write_text(json.dumps({"schema": known["schema"]}))
    (root / "shard_key_mapping.json").write_text("{}")
    for shard, replicas in known["shards"].items():
        directory = root / shard
        directory.mkdir()
        state = {"is_local": str(peer) in replicas, "this_peer_id": peer, "peers": replicas}
        (directory / "replica_state.json").write_text(json.dumps(state))
        (directory / "shard_config.json").write_text(json.dumps({"type": "ReplicaSet"}))
        if str(peer) not in replicas:
            continue
        store.shard(peer, name, int(shard)).flush()
        own = store.shard_path(peer, name, int(shard))
        (directory / "segments").mkdir()
        for segment in (own / "segments").iterdir():
            prefix = "--transform=s,^\\.,snapshot/files,"
            target = directory / "segments" / f"{segment.name}.tar"
            await _tar("-S", "--format=gnu", "-cf", target, prefix, "-C", segment, ".")
        await _run("cp", "-a", "--sparse=always", own / "wal", directory / "wal")


async def _tar(*arguments: str | Path) -> None:
    await _run("tar", *arguments)


async def _run(*argv: str | Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *map(str, argv), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    if process.returncode:
        raise Failure(500, f"Service internal error: {argv[0]}: {said.decode(errors='replace')[-500:]}")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
