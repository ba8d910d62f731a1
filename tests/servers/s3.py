"""A real S3-compatible object store (SeaweedFS), configured as embedded mode configures it."""

from __future__ import annotations

import json
import secrets
import socket
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import botocore.session
from aiobotocore.config import AioConfig
from botocore.exceptions import BotoCoreError, ClientError

from daemon.embedded.binaries import WEED, find_program
from daemon.embedded.private_files import make_private_dir, write_private
from daemon.embedded.store_config import (
    REGION,
    STORE_ENVIRONMENT,
    StoreFiles,
    StoreLimits,
    StorePorts,
    render_identities,
    render_master_config,
    server_arguments,
    stray_sockets,
)
from daemon.embedded.store_security import write_security
from daemon.store.session import store_session
from tests.servers.directories import STRAY_FILES
from tests.servers.process import ServerProcess, start_on_free_ports

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

TINY = StoreLimits(volume_size_mb=8, max_volumes=4)
"""A store that is full after some 20 MB: `s3_factory(TINY)`."""
_PROBE_BUCKET = "probe"
_CONFIG = AioConfig(
    signature_version="s3v4",
    s3={"addressing_style": "path"},
    retries={"total_max_attempts": 1},
    connect_timeout=5,
    read_timeout=30,
)


class S3Server:
    """SeaweedFS on free loopback ports, which stay over restarts."""

    def __init__(self, directory: Path, limits: StoreLimits | None = None) -> None:
        self.access_key = secrets.token_hex(10).upper()
        self.secret_key = secrets.token_urlsafe(30)
        self.region = REGION
        self._files = StoreFiles(base=directory)
        self._limits = limits or StoreLimits(volume_size_mb=64)
        self._ports: StorePorts | None = None
        self._process: ServerProcess | None = None
        self._sync_client: Any = None
        for path in (self._files.data, self._files.config, self._files.sockets):
            make_private_dir(path)
        write_private(self._files.identities, render_identities(self.access_key, self.secret_key))
        write_private(self._files.config / "master.toml", render_master_config())
        write_security(self._files.config, datetime.now(UTC))

    @property
    def endpoint_url(self) -> str:
        assert self._ports is not None, "the object store was not started"
        return f"http://127.0.0.1:{self._ports.s3}"

    @property
    def ports(self) -> StorePorts:
        assert self._ports is not None, "the object store was not started"
        return self._ports

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.running

    def start(self) -> None:
        """Starts the server, again on the ports it had before, and waits until it serves requests (about 3 s)."""
        if self._ports is not None:
            self._run(self._ports)
        else:
            start_on_free_ports(StorePorts.COUNT, lambda ports: self._run(StorePorts.of(ports)))

    def kill(self) -> None:
        """Ends the server at once.  An orderly end takes it 15 s, which no test has to spare."""
        if self._sync_client is not None:
            self._sync_client.close()
            self._sync_client = None
        if self._process is not None:
            self._process.kill()
        if self._ports is not None:
            for path in stray_sockets(self._ports):
                path.unlink(missing_ok=True)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[S3Client]:
        """A client with the coordinator's rights.  It does not retry: tests see the first answer."""
        async with store_session().create_client(
            "s3",
            config=_CONFIG,
            endpoint_url=self.endpoint_url,
            region_name=self.region,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
        ) as client:
            yield client

    @property
    def blocking_client(self) -> Any:
        """A botocore client, for fixtures and assertions outside an event loop."""
        if self._sync_client is None:
            session = botocore.session.get_session()
            self._sync_client = session.create_client(
                "s3",
                config=_CONFIG,
                endpoint_url=self.endpoint_url,
                region_name=self.region,
                aws_access_key_id=self.access_key,
                aws_secret_access_key=self.secret_key,
            )
        return self._sync_client

    def create_bucket(self) -> Bucket:
        """A fresh bucket with a name of its own."""
        name = f"test-{secrets.token_hex(6)}"
        self.blocking_client.create_bucket(Bucket=name)
        return Bucket(self, name)

    def shell(self, *commands: str) -> str:
        """What `weed shell` prints for the commands; takes about 0.4 s."""
        assert self._ports is not None, "the object store was not started"
        result = subprocess.run(
            [
                find_program(WEED),
                f"-config_dir={self._files.config}",
                "-logtostderr=true",
                "shell",
                f"-master=127.0.0.1:{self._ports.master}.{self._ports.master_grpc}",
            ],
            input="\n".join([*commands, "exit", ""]),
            cwd=self._files.base,
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        return result.stdout

    def _run(self, ports: StorePorts) -> None:
        arguments = server_arguments(ports, self._files, self._limits)
        self._process = ServerProcess(
            "weed", [str(find_program(WEED)), *arguments], directory=self._files.base, env=STORE_ENVIRONMENT
        )
        self._ports = ports
        (self._files.base / STRAY_FILES).write_text(json.dumps([str(path) for path in stray_sockets(ports)]))
        try:
            self._process.start(self._is_ready)
        except BaseException:
            self.kill()
            self._ports = None
            raise

    def _is_ready(self) -> bool:
        assert self._ports is not None
        try:
            socket.create_connection(("127.0.0.1", self._ports.s3), timeout=1).close()
        except OSError:
            return False
        client = self.blocking_client
        try:
            if _PROBE_BUCKET not in {entry["Name"] for entry in client.list_buckets()["Buckets"]}:
                client.create_bucket(Bucket=_PROBE_BUCKET)
            client.put_object(Bucket=_PROBE_BUCKET, Key="ready", Body=b"ready")  # needs master, volumes and filer
        except (BotoCoreError, ClientError):
            return False
        return True


class Bucket:
    """A bucket of one test, and what there is to assert about it."""

    def __init__(self, server: S3Server, name: str) -> None:
        self.server = server
        self.name = name
        self.client: Callable[[], AbstractAsyncContextManager[S3Client]] = server.client

    def list_keys(self, prefix: str = "") -> list[str]:
        """All object keys, sorted."""
        pages = self.server.blocking_client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
        return sorted(entry["Key"] for page in pages for entry in page.get("Contents", []))

    def list_uploads(self) -> list[tuple[str, str]]:
        """(object key, upload id) of every multipart upload that was neither completed nor aborted."""
        pages = self.server.blocking_client.get_paginator("list_multipart_uploads").paginate(Bucket=self.name)
        return sorted((entry["Key"], entry["UploadId"]) for page in pages for entry in page.get("Uploads", []))

    def read(self, key: str) -> bytes:
        body = self.server.blocking_client.get_object(Bucket=self.name, Key=key)["Body"]
        with body:
            return bytes(body.read())

    def write(self, key: str, data: bytes) -> None:
        self.server.blocking_client.put_object(Bucket=self.name, Key=key, Body=data)

    def fill(self, size_bytes: int = 5_000_000, at_most: int = 100) -> int:
        """Writes objects `fill-0`, `fill-1`, ... until the store refuses one; how many it took.  See `TINY`."""
        for number in range(at_most):
            try:
                self.write(f"fill-{number}", bytes(size_bytes))
            except ClientError:
                return number
        raise AssertionError(f"the store took {at_most} objects of {size_bytes} bytes")

    def close_to_writes(self) -> None:
        """From now on the store refuses all writes to this bucket as it does when it has no room: status 500.

        Reads, deletions and other buckets work.  A quota that is exceeded has the same effect, half a minute later.
        """
        self.server.shell(f"fs.configure -locationPrefix=/buckets/{self.name}/ -readOnly=true -apply")

    def open_to_writes(self) -> None:
        """Undoes `close_to_writes`."""
        self.server.shell(f"fs.configure -locationPrefix=/buckets/{self.name}/ -delete -apply")

    def remove(self) -> None:
        """Empties and removes the bucket."""
        client = self.server.blocking_client
        for key, upload_id in self.list_uploads():
            client.abort_multipart_upload(Bucket=self.name, Key=key, UploadId=upload_id)
        for key in self.list_keys():
            client.delete_object(Bucket=self.name, Key=key)
        client.delete_bucket(Bucket=self.name)


S3Factory = Callable[..., S3Server]
