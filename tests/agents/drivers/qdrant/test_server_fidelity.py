"""The tests' own server is one for the official client, and its snapshots are the real engine's."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import httpx
import pytest
import qdrant_edge as edge
from qdrant_client import AsyncQdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

from tests.agents.drivers.qdrant.engine import client_of, wipe
from tests.servers.qdrant.server import PEERS, QdrantServer

VECTORS = models.VectorParams(size=3, distance=models.Distance.DOT)
POINTS = [models.PointStruct(id=n, vector=[n, 1.0, 2.0], payload={"n": n}) for n in range(10)]


async def filled(client: AsyncQdrantClient, name: str = "c") -> None:
    for each in (await client.get_collections()).collections:
        await client.delete_collection(each.name)
    assert await client.create_collection(name, vectors_config=VECTORS)
    result = await client.upsert(name, POINTS, wait=True)
    assert result.status is models.UpdateStatus.COMPLETED


async def test_collections_points_and_aliases(server: QdrantServer) -> None:
    async with client_of(server.url, server.api_key) as client:
        await filled(client)
        assert await client.collection_exists("c")
        assert (await client.get_collection("c")).config.params.vectors == VECTORS
        assert (await client.count("c", exact=True)).count == 10
        points, following = await client.scroll("c", limit=4, with_vectors=True)
        assert [point.vector for point in points] == [[n, 1.0, 2.0] for n in range(4)]
        assert following == 4
        await client.delete("c", models.PointIdsList(points=[0]), wait=True)
        assert (await client.count("c", exact=True)).count == 9
        creation = models.CreateAlias(collection_name="c", alias_name="a")
        assert await client.update_collection_aliases([models.CreateAliasOperation(create_alias=creation)])
        assert (await client.get_aliases()).aliases == [models.AliasDescription(alias_name="a", collection_name="c")]
        assert (await client.get_collection_aliases("c")).aliases[0].alias_name == "a"
        assert (await client.count("a", exact=True)).count == 9
        assert await client.delete_collection("c")
        assert (await client.get_aliases()).aliases == []
        with pytest.raises(UnexpectedResponse, match="Not found: Collection"):
            await client.get_collection("c")


async def test_snapshots_are_made_listed_recovered_and_removed(server: QdrantServer) -> None:
    async with client_of(server.url, server.api_key) as client:
        await filled(client)
        made = await client.create_snapshot("c", wait=True)
        assert made is not None
        assert await client.list_snapshots("c") == [made]
        location = f"{server.url}/collections/c/snapshots/{made.name}"
        assert await client.recover_snapshot(
            "d", location, api_key=server.api_key, checksum=made.checksum, priority=models.SnapshotPriority.SNAPSHOT
        )
        points, _ = await client.scroll("d", limit=100, with_vectors=True)
        assert [(point.id, point.vector, point.payload) for point in points] == [
            (point.id, point.vector, point.payload) for point in POINTS
        ]
        with pytest.raises(UnexpectedResponse, match="checksum mismatch"):
            await client.recover_snapshot("e", location, api_key=server.api_key, checksum="0" * 64)
        assert await client.delete_snapshot("c", made.name, wait=True)
        assert await client.list_snapshots("c") == []


async def test_an_uploaded_file_stays_among_the_snapshots_as_in_the_server(server: QdrantServer) -> None:
    async with client_of(server.url, server.api_key) as client:
        await filled(client)
        made = await client.create_snapshot("c", wait=True)
        assert made is not None
        async with httpx.AsyncClient(headers={"api-key": server.api_key}) as http:
            data = (await http.get(f"{server.url}/collections/c/snapshots/{made.name}")).content
            assert hashlib.sha256(data).hexdigest() == made.checksum
            upload = await http.post(
                f"{server.url}/collections/d/snapshots/upload",
                params={"priority": "snapshot", "checksum": made.checksum or ""},
                files={"snapshot": ("mine.snapshot", data)},
            )
            assert upload.json()["result"] is True
            wrong = await http.post(
                f"{server.url}/collections/e/snapshots/upload",
                params={"checksum": "0" * 64},
                files={"snapshot": ("mine.snapshot", data)},
            )
            assert wrong.status_code == 400
        assert [each.name for each in await client.list_snapshots("d")] == ["mine.snapshot"]


async def test_a_cluster_tells_its_peers_and_shards(cluster_server: QdrantServer) -> None:
    server = cluster_server
    async with client_of(server.urls[1], server.api_key) as client:
        await wipe(client)
        await client.create_collection("c", vectors_config=VECTORS, shard_number=3)
        await client.upsert("c", POINTS, wait=True)
        status = await client.cluster_status()
        assert isinstance(status, models.ClusterStatusOneOf1)
        assert status.peer_id == PEERS[1]
        assert set(status.peers) == {str(peer) for peer in PEERS[:3]}
        info = (await client.http.distributed_api.collection_cluster_info("c")).result
        assert info is not None
        assert [shard.shard_id for shard in info.local_shards] == [1]
        assert [(shard.shard_id, shard.peer_id) for shard in info.remote_shards] == [(0, PEERS[0]), (2, PEERS[2])]
        assert (await client.count("c", exact=True)).count == 10


async def test_keys_and_tokens(server: QdrantServer) -> None:
    async with client_of(server.url, server.api_key) as client:
        await filled(client)
    async with client_of(server.url, server.read_only_key) as client:
        assert (await client.count("c", exact=True)).count == 10
        with pytest.raises(UnexpectedResponse, match="Global manage access is required"):
            await client.delete_collection("c")
    async with client_of(server.url, server.token([{"collection": "c", "access": "r"}])) as client:
        with pytest.raises(UnexpectedResponse, match="Write access to collection c is required"):
            await client.create_snapshot("c")
        with pytest.raises(UnexpectedResponse, match="Access to collection d is required"):
            await client.get_collection("d")
    async with client_of(server.url, "") as client:
        with pytest.raises(UnexpectedResponse, match="Must provide an API key"):
            await client.get_collections()


async def test_what_is_backed_up_opens_with_the_real_engine(server: QdrantServer, tmp_path: Path) -> None:
    async with client_of(server.url, server.api_key) as client:
        await filled(client)
        made = await client.create_snapshot("c", wait=True)
        assert made is not None
    async with httpx.AsyncClient(headers={"api-key": server.api_key}) as http:
        data = (await http.get(f"{server.url}/collections/c/snapshots/{made.name}")).content
    (tmp_path / "collection").write_bytes(data)
    root, shard = tmp_path / "root", tmp_path / "shard"
    root.mkdir()
    subprocess.run(["tar", "-xf", tmp_path / "collection", "-C", root], check=True)
    subprocess.run(["tar", "-cf", tmp_path / "shard.tar", "-C", root / "0", "."], check=True)
    edge.EdgeShard.unpack_snapshot(str(tmp_path / "shard.tar"), str(shard))
    opened = edge.EdgeShard.load(str(shard))
    assert opened.count(edge.CountRequest(exact=True)) == 10
    records, _ = opened.scroll(edge.ScrollRequest(limit=100, with_payload=True, with_vector=True))
    assert sorted((record.id, record.payload["n"]) for record in records if record.payload) == [(n, n) for n in range(10)]
    opened.close()
