"""SeaweedFS as embedded mode runs it: its start, its end, its crashes, and who may come in."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import msgspec
import pytest
from aiobotocore.config import AioConfig
from botocore.exceptions import BotoCoreError, ClientError

from daemon.embedded.errors import PortTaken
from daemon.embedded.object_store import EmbeddedStore, EmbeddedStoreSettings, start_object_store
from daemon.embedded.store_config import StorePorts, stray_sockets
from daemon.embedded.supervisor import Backoff, Supervisor
from daemon.store.session import store_session
from tests.servers.s3 import Bucket, S3Server
from tests.servers.waiting import eventually

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

QUICK = Backoff(first_s=0.01)
TLS_ALERT = b"\x15"


def settings(directory: Path, s3_port: int | None = None) -> EmbeddedStoreSettings:
    return EmbeddedStoreSettings(directory=directory, s3_port=s3_port, stop_grace_s=0)


@asynccontextmanager
async def client_of(store: EmbeddedStore) -> AsyncIterator[S3Client]:
    async with store_session().create_client(
        "s3",
        config=AioConfig(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
        endpoint_url=store.endpoint_url,
        region_name=store.region,
        aws_access_key_id=store.credentials.access_key,
        aws_secret_access_key=store.credentials.secret_key,
    ) as client:
        yield client


async def read(client: S3Client, bucket: str, key: str) -> bytes:
    answer = await client.get_object(Bucket=bucket, Key=key)
    async with answer["Body"] as body:
        return await body.read()


async def test_whatever_was_acknowledged_survives_a_kill_under_load(tmp_path: Path) -> None:
    """And the store comes back by itself, with the same address, credentials and bucket."""
    stored: dict[str, bytes] = {}
    async with Supervisor(QUICK) as supervisor:
        store = await start_object_store(supervisor, settings(tmp_path / "store"))
        async with client_of(store) as client:

            async def write_until_it_fails(writer: int) -> None:
                for number in range(1000):
                    key, body = f"{writer}/{number}", os.urandom(200_000 if number % 5 else 5_000_000)
                    try:
                        await client.put_object(Bucket=store.bucket, Key=key, Body=body)
                    except (ClientError, BotoCoreError, aiohttp.ClientError):
                        return
                    stored[key] = body

            writers = [asyncio.create_task(write_until_it_fails(writer), name="writer") for writer in range(3)]
            await eventually(lambda: len(stored) >= 20, 30)
            assert store.child.pid is not None
            os.kill(store.child.pid, signal.SIGKILL)
            await asyncio.gather(*writers)
            await eventually(lambda: store.child.restarts == 1, 30)
            for key, body in stored.items():
                assert await read(client, store.bucket, key) == body
            await store.flush()


async def test_a_second_start_finds_objects_credentials_and_ports(tmp_path: Path) -> None:
    async with Supervisor() as supervisor:
        first = await start_object_store(supervisor, settings(tmp_path / "store"))
        async with client_of(first) as client:
            await client.put_object(Bucket=first.bucket, Key="kept", Body=b"1")
    async with Supervisor() as supervisor:
        second = await start_object_store(supervisor, settings(tmp_path / "store"))
        assert (second.endpoint_url, second.credentials) == (first.endpoint_url, first.credentials)
        async with client_of(second) as client:
            assert await read(client, second.bucket, "kept") == b"1"
            listed = await client.list_objects_v2(Bucket=second.bucket)
            assert [entry["Key"] for entry in listed["Contents"]] == ["kept"], "nothing is left of the readiness probe"
    ports = msgspec.json.decode((tmp_path / "store" / "ports.json").read_bytes(), type=StorePorts)
    assert not any(path.exists() for path in stray_sockets(ports))


async def test_a_configured_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        async with Supervisor() as supervisor:
            with pytest.raises(PortTaken, match=f"port {port} is in use"):
                await start_object_store(supervisor, settings(tmp_path / "store", port))


async def test_other_users_of_the_host_reach_nothing(s3: S3Server, bucket: Bucket) -> None:
    """SeaweedFS asks for no credentials on the ports between its roles unless it is told to."""
    bucket.write("kept", b"secret")
    ports = s3.ports
    requests = [
        ("GET", ports.master, "/dir/assign"),
        ("GET", ports.master, "/dir/status"),
        ("GET", ports.master, "/dir/lookup?fileId=1,0100000000"),
        ("GET", ports.master, f"/col/delete?collection={bucket.name}"),
        ("GET", ports.master, "/vol/grow?count=1"),
        ("GET", ports.volume, "/1,0100000000"),
        ("DELETE", ports.volume, "/1,0100000000"),
        ("POST", ports.volume, "/1,0100000000"),
        ("GET", ports.filer, f"/buckets/{bucket.name}/kept"),
        ("PUT", ports.filer, f"/buckets/{bucket.name}/kept"),
        ("DELETE", ports.filer, f"/buckets/{bucket.name}/kept"),
        ("DELETE", ports.filer, "/buckets?recursive=true"),
        ("GET", ports.s3, f"/{bucket.name}/kept"),
        ("GET", ports.s3, f"/{bucket.name}?list-type=2"),
        ("PUT", ports.s3, f"/{bucket.name}/kept"),
        ("DELETE", ports.s3, f"/{bucket.name}/kept"),
    ]
    async with aiohttp.ClientSession() as session:
        for method, port, path in requests:
            async with session.request(method, f"http://127.0.0.1:{port}{path}") as answer:
                assert answer.status in {401, 403, 404}, f"{method} {path}: {answer.status}"
                assert b"secret" not in await answer.read()
    assert bucket.read("kept") == b"secret"


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])


async def greeting(port: int, context: ssl.SSLContext | None) -> bytes:
    """What the server says to an HTTP/2 client that shows no certificate."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    try:
        writer.write(PREFACE)
        return await asyncio.wait_for(reader.read(9), 5)
    except (ConnectionResetError, ssl.SSLError):
        return b""
    finally:
        writer.close()
        with contextlib.suppress(ConnectionResetError, ssl.SSLError):
            await writer.wait_closed()


async def test_the_inner_rpc_ports_want_a_certificate(s3: S3Server) -> None:
    unknown = ssl.create_default_context()
    unknown.check_hostname = False
    unknown.verify_mode = ssl.CERT_NONE
    unknown.set_alpn_protocols(["h2"])
    for port in (s3.ports.master_grpc, s3.ports.volume_grpc, s3.ports.filer_grpc, s3.ports.s3_grpc):
        assert (await greeting(port, None))[:1] in {b"", TLS_ALERT}
        assert await greeting(port, unknown) == b""
