"""The servers of the tests themselves: they run, are apart from each other, and leave nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.servers.directories import sweep
from tests.servers.nats import NatsServer
from tests.servers.postgres import Database, PostgresCluster, PostgresFactory
from tests.servers.process import ServerFailed, is_alive, start_on_free_ports
from tests.servers.s3 import TINY, Bucket, S3Factory, S3Server
from tests.servers.waiting import eventually, eventually_blocking

ROOT = Path(__file__).parents[2]


async def test_every_kind_of_user_connects_to_nats(nats_server: NatsServer) -> None:
    async with (
        nats_server.connect_coordinator() as coordinator,
        nats_server.connect_operator() as operator,
        nats_server.connect_node("node-1") as agent,
    ):
        assert all(client.is_connected for client in (coordinator, operator, agent))
        assert (await coordinator.jetstream().account_info()).streams == 0


@pytest.mark.nodes("db-1")
async def test_nats_keeps_its_port_and_streams_when_it_is_killed(nats_server: NatsServer) -> None:
    async with nats_server.connect_coordinator() as client:
        await client.jetstream().add_stream(name="KEPT", subjects=["kept"])
        ack = await client.jetstream().publish("kept", b"1")
        nats_server.kill()
        await eventually(lambda: not client.is_connected)
        nats_server.start()
        await eventually(lambda: client.is_connected)
        assert (await client.jetstream().stream_info("KEPT")).state.last_seq == ack.seq


async def test_a_bucket_takes_objects_and_shows_pending_uploads(bucket: Bucket) -> None:
    async with bucket.client() as client:
        await client.put_object(Bucket=bucket.name, Key="a/1", Body=b"one")
        upload = await client.create_multipart_upload(Bucket=bucket.name, Key="a/2")
    assert bucket.list_keys() == ["a/1"]
    assert bucket.list_uploads() == [("a/2", upload["UploadId"])]
    assert bucket.read("a/1") == b"one"


def test_a_bucket_can_be_closed_to_writes_and_opened_again(s3: S3Server, bucket: Bucket) -> None:
    bucket.write("before", b"1")
    bucket.close_to_writes()
    with pytest.raises(ClientError, match="InternalError"):
        bucket.write("while", b"1")
    assert bucket.read("before") == b"1"
    other = s3.create_bucket()
    other.write("elsewhere", b"1")
    other.remove()
    bucket.open_to_writes()
    bucket.write("after", b"1")
    assert bucket.list_keys() == ["after", "before"]


def test_a_store_without_room_refuses_writes_and_keeps_what_it_has(s3_factory: S3Factory) -> None:
    bucket = s3_factory(TINY).create_bucket()
    stored = bucket.fill()
    assert 2 <= stored < 10
    with pytest.raises(ClientError, match="InternalError"):
        bucket.write("one more", b"x")
    assert bucket.list_keys() == [f"fill-{number}" for number in range(stored)]
    assert bucket.read("fill-0") == bytes(5_000_000)


def test_every_test_gets_an_empty_bucket(s3: S3Server, bucket: Bucket) -> None:
    assert bucket.list_keys() == []
    assert bucket.list_uploads() == []


def test_a_database_belongs_to_its_role_alone(postgres: PostgresCluster, database: Database) -> None:
    database.query("CREATE TABLE t (n int)")
    database.query("INSERT INTO t VALUES (%s)", [7])
    assert database.query("SELECT n FROM t") == [(7,)]
    assert database.query("SELECT rolsuper FROM pg_roles WHERE rolname = current_user") == [(False,)]
    assert postgres.query("SHOW password_encryption") == [("scram-sha-256",)]


def test_a_cluster_of_its_own_survives_a_kill(postgres_factory: PostgresFactory) -> None:
    cluster = postgres_factory(fsync="on", synchronous_commit="on", full_page_writes="on", wal_level="logical")
    database = cluster.create_database()
    database.query("CREATE TABLE t AS SELECT 7 AS n")
    cluster.kill()
    cluster.start()
    assert database.query("SELECT n FROM t") == [(7,)]
    assert cluster.query("SHOW wal_level") == [("logical",)]
    cluster.kill()


RUN = """
import signal, sys, time
from tests.servers.directories import server_directory
from tests.servers.directories import sweep
from tests.servers.nats import NatsServer
from tests.servers.postgres import PostgresCluster

with server_directory("pg") as pg, server_directory("nats") as nats:
    cluster, server = PostgresCluster(pg), NatsServer(nats)
    server.start()
    cluster.start()
    print(server.pid, cluster.pid, pg, nats, flush=True)
    time.sleep(60)
"""


def test_a_test_run_that_is_killed_takes_its_servers_with_it() -> None:
    with subprocess.Popen([sys.executable, "-c", RUN], cwd=ROOT, stdout=subprocess.PIPE, text=True) as run:
        try:
            assert run.stdout is not None
            nats_pid, postgres_pid, *directories = run.stdout.readline().split()
            assert Path(f"/proc/{postgres_pid}").exists()
        finally:
            run.kill()
    eventually_blocking(lambda: not is_alive(int(nats_pid)) and not is_alive(int(postgres_pid)))
    sweep()
    assert not any(Path(directory).exists() for directory in directories)


def test_a_port_that_somebody_else_was_quicker_to_take_is_given_up_for_another() -> None:
    tried: list[int] = []

    def start(ports: list[int]) -> None:
        tried.extend(ports)
        if len(tried) < 3:
            raise ServerFailed("bind: Address already in use")

    start_on_free_ports(1, start)
    assert len(set(tried)) == 3


def test_a_server_that_fails_for_another_reason_is_not_started_again() -> None:
    tried: list[int] = []

    def start(ports: list[int]) -> None:
        tried.extend(ports)
        raise ServerFailed("no room")

    with pytest.raises(ServerFailed, match="no room"):
        start_on_free_ports(2, start)
    assert len(tried) == 2
