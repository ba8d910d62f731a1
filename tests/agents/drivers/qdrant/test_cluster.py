"""A cluster: every shard is in the backup, with as few snapshots as can be, or the run is none."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import AsyncQdrantClient, models

from agents.drivers.qdrant.connection import QdrantConnection
from agents.drivers.qdrant.driver import QdrantDriver
from contracts.errors import InvalidInput, RunFailed
from contracts.records import RestoreTarget
from contracts.services import QdrantOptions
from tests.agents.drivers.playing import back_up, restore
from tests.agents.drivers.qdrant.engine import client_of, content_of, wipe
from tests.servers.qdrant.server import PEERS, QdrantServer


class Cluster:
    def __init__(self, server: QdrantServer, directory: Path) -> None:
        self.server = server
        self._directory = directory
        (directory / "key").write_text(server.api_key)
        self._work_dir = directory / "work"
        self._work_dir.mkdir()

    def driver(self, *, nodes: list[int] | None = None, key: str = "", options: QdrantOptions | None = None) -> QdrantDriver:
        """With the URLs of these nodes, by their position; of all unless said otherwise."""
        if key:
            (self._directory / "key").write_text(key)
        urls = [self.server.urls[at] for at in (range(len(self.server.urls)) if nodes is None else nodes)]
        connection = QdrantConnection(url=urls, api_key_file=str(self._directory / "key"))
        return QdrantDriver(connection, options, runtime_dir=self._directory, work_dir=self._work_dir)

    def client(self) -> contextlib.AbstractAsyncContextManager[AsyncQdrantClient]:
        return client_of(self.server.url, self.server.api_key)

    async def content(self) -> Any:
        async with self.client() as client:
            return await content_of(client)


@pytest.fixture
async def cluster(cluster_server: QdrantServer, tmp_path: Path) -> Cluster:
    """Three nodes: `spread` has a shard on each, `copied` each of its two shards on two."""
    cluster = Cluster(cluster_server, tmp_path)
    async with cluster.client() as client:
        await wipe(client)
        for name, shards, copies in (("spread", 3, 1), ("copied", 2, 2)):
            await client.create_collection(
                name,
                vectors_config=models.VectorParams(size=2, distance=models.Distance.DOT),
                shard_number=shards,
                replication_factor=copies,
            )
            points = [models.PointStruct(id=point, vector=[point, 1.0], payload={"n": point}) for point in range(50)]
            await client.upsert(name, points, wait=True)
    return cluster


def target(*, replace: bool = False, **more: Any) -> RestoreTarget:
    return RestoreTarget(project="acme", service="vectors", node="db-1", replace=replace, **more)


async def test_every_shard_is_taken_with_as_few_snapshots_as_can_be(cluster: Cluster) -> None:
    plan = await cluster.driver().plan_backup()
    names = [artifact.name for artifact in plan.artifacts]
    # The second node has both shards of `copied`.
    assert names == ["copied", *(f"spread@peer-{peer}" for peer in PEERS[:3]), "aliases"]
    assert plan.artifacts[0].attributes["peer"] == str(PEERS[1])
    assert plan.artifacts[0].attributes["shards"] == ["0", "1"]
    assert plan.inventory["counts"] == {"copied": 50, "spread": 50}
    health = await cluster.driver().health()
    assert health.error is None
    assert health.missing_shards == []


@pytest.mark.parametrize("peer", PEERS[:3])
async def test_a_node_that_lags_behind_does_not_keep_a_collection_out_of_the_backup(cluster: Cluster, peer: int) -> None:
    """Whichever node that is: the others know of the collection, and that a shard of it is out of reach."""
    cluster.server.fail(unknown=[f"copied@{peer}"])
    plan = await cluster.driver().plan_backup()
    assert plan.inventory["counts"] == {"copied": 50, "spread": 50}
    assert {"0", "1"} == {
        shard
        for artifact in plan.artifacts
        if artifact.attributes.get("collection") == "copied"
        for shard in artifact.attributes["shards"]  # type: ignore[union-attr]
    }
    backup = await back_up(cluster.driver())
    assert not [warning for warning in backup.warnings if "copied" in warning]
    cluster.server.fail(unknown=[f"spread@{peer}"])
    with pytest.raises(RunFailed) as caught:
        await cluster.driver().plan_backup()
    assert caught.value.code == "engine.degraded"
    assert "spread/" in caught.value.message


async def test_a_cluster_comes_back_each_node_with_its_own(cluster: Cluster) -> None:
    before = await cluster.content()
    backup = await back_up(cluster.driver())
    assert [file for file in cluster.server.files() if "snapshot" in Path(file).name] == []
    async with cluster.client() as client:
        for name in ("spread", "copied"):
            await client.delete_collection(name)
    await restore(cluster.driver(), backup, target())
    assert await cluster.content() == before
    assert cluster.server.files() == []


async def test_a_collection_of_several_parts_is_replaced_as_one(cluster: Cluster) -> None:
    before = await cluster.content()
    backup = await back_up(cluster.driver())
    async with cluster.client() as client:
        await client.delete("spread", models.PointIdsList(points=list(range(20))), wait=True)
    await restore(cluster.driver(), backup, target(replace=True))
    assert await cluster.content() == before
    assert cluster.server.files() == []


async def test_a_collection_of_several_parts_comes_back_under_another_name(cluster: Cluster) -> None:
    before = await cluster.content()
    backup = await back_up(cluster.driver(options=QdrantOptions(include=["spread"])))
    await restore(cluster.driver(), backup, target(rename={"spread": "again"}))
    after = await cluster.content()
    assert after["collections"]["again"]["points"] == before["collections"]["spread"]["points"]


async def test_a_cluster_comes_back_on_a_single_node(cluster: Cluster, server: QdrantServer, tmp_path: Path) -> None:
    before = await cluster.content()
    backup = await back_up(cluster.driver())
    directory = tmp_path / "alone"
    directory.mkdir()
    alone = Cluster(server, directory)
    async with alone.client() as client:
        await wipe(client)
    await restore(alone.driver(), backup, target())
    after = await alone.content()
    for name in ("spread", "copied"):
        assert after["collections"][name]["points"] == before["collections"][name]["points"]


async def test_a_shard_on_a_node_that_is_not_listed_fails_the_plan(cluster: Cluster) -> None:
    driver = cluster.driver(nodes=[0, 1])
    health = await driver.health()
    assert health.error is None
    assert health.missing_shards == [f"spread/2 (peer {PEERS[2]}: Active)"]
    with pytest.raises(RunFailed) as caught:
        await driver.plan_backup()
    assert caught.value.code == "engine.degraded"
    assert "spread/2" in caught.value.message
    assert "name all nodes of the cluster under url" in caught.value.message


async def test_another_replica_is_taken_where_one_is_dead(cluster: Cluster) -> None:
    cluster.server.fail(states={f"copied/0@{PEERS[1]}": "Dead", f"copied/1@{PEERS[2]}": "Recovery"})
    plan = await cluster.driver().plan_backup()
    parts = {artifact.name: artifact.attributes["shards"] for artifact in plan.artifacts if "copied" in artifact.name}
    assert parts == {f"copied@peer-{PEERS[0]}": ["0"], f"copied@peer-{PEERS[1]}": ["1"]}


async def test_a_shard_without_an_active_replica_fails_the_plan(cluster: Cluster) -> None:
    cluster.server.fail(states={f"copied/0@{peer}": "Dead" for peer in PEERS[:2]})
    health = await cluster.driver().health()
    assert health.missing_shards == [f"copied/0 (peer {PEERS[0]}: Dead, peer {PEERS[1]}: Dead)"]
    with pytest.raises(RunFailed) as caught:
        await cluster.driver().plan_backup()
    assert caught.value.code == "engine.degraded"
    assert "copied/0" in caught.value.message


async def test_a_node_that_is_down_is_a_warning_where_others_have_its_shards(cluster: Cluster) -> None:
    gone = "http://127.0.0.1:9"
    connection = QdrantConnection(url=[*cluster.server.urls, gone], api_key_file=str(cluster._directory / "key"))
    driver = QdrantDriver(connection, runtime_dir=cluster._directory, work_dir=cluster._work_dir)
    plan = await driver.plan_backup()
    assert [gone in warning for warning in plan.warnings] == [True]
    backup = await back_up(driver)
    with pytest.raises(RunFailed) as caught:  # but a restore needs every node
        await driver.check_restore(backup.records, target(replace=True))
    assert caught.value.code == "engine.unreachable"


async def test_a_token_by_collections_is_enough_for_these(cluster: Cluster) -> None:
    token = cluster.server.token([{"collection": "spread", "access": "rw"}])
    backup = await back_up(cluster.driver(key=token, options=QdrantOptions(include=["spread"])))
    assert len(backup.records) == 4


async def test_servers_that_are_no_cluster_are_not_taken_for_one(server: QdrantServer, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(server.api_key)
    connection = QdrantConnection(url=[server.url, "http://127.0.0.1:9"], api_key_file=str(tmp_path / "key"))
    driver = QdrantDriver(connection, runtime_dir=tmp_path, work_dir=tmp_path)
    with pytest.raises(InvalidInput) as caught:
        await driver.plan_backup()
    assert caught.value.code == "config.invalid"
    assert "is not part of a cluster" in caught.value.message
