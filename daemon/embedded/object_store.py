"""SeaweedFS as a child: an S3 endpoint on the loopback interface, for machines without an object store."""

from __future__ import annotations

import asyncio
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from aiobotocore.config import AioConfig
from botocore.exceptions import BotoCoreError, ClientError

from contracts.errors import InvalidInput
from daemon.embedded.binaries import WEED, find_program
from daemon.embedded.children import Child, ChildSpec, plain_environment
from daemon.embedded.errors import PortTaken
from daemon.embedded.ports import LOOPBACK, is_free, start_with_free_ports
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
    volume_size_mb,
)
from daemon.embedded.store_security import write_security
from daemon.embedded.supervisor import Supervisor
from daemon.store.durability import sync_filesystem
from daemon.store.session import store_session

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

_ERROR_CODE: Final = "store.unavailable"
_READY_KEY: Final = ".ready"
_READY_TIMEOUT_S: Final = 60.0
"""A start takes 3 s; after a crash the server also reads the index of every volume."""
_STOP_GRACE_S: Final = 25.0
"""The filer always waits 15 s for its own subscriptions before it closes its database.  Source: measured on 4.48."""


class StoreCredentials(msgspec.Struct, frozen=True, kw_only=True):
    """The coordinator's S3 credentials."""

    access_key: str
    secret_key: str

    def __repr__(self) -> str:
        return f"StoreCredentials(access_key={self.access_key!r}, secret_key='***')"


@dataclass(frozen=True, kw_only=True)
class EmbeddedStoreSettings:
    """What the embedded object store needs to know."""

    directory: Path
    """For objects, credentials, configuration and log; made when absent."""
    bucket: str = "strongroom"
    """Made when absent."""
    s3_port: int | None = None
    """None: the port of the last start if it is free, else any."""
    limits: StoreLimits | None = None
    """None: all of the disk but one percent."""
    program: Path | None = None
    """None: see `daemon.embedded.binaries`."""
    stop_grace_s: float = _STOP_GRACE_S
    """How long an orderly end may take before the server is killed; it survives that as well, so 0 suits a demo."""


@dataclass(frozen=True, kw_only=True)
class EmbeddedStore:
    """A running object store and how to reach it."""

    child: Child
    endpoint_url: str
    region: str
    bucket: str
    credentials: StoreCredentials
    directory: Path

    async def flush(self) -> None:
        """Returns when everything that was stored so far would survive a power cut.

        SeaweedFS answers as soon as the kernel has the bytes, which a crash of the server survives and one of the machine
        does not.  Raises: OSError when the disk refused data that were acknowledged before.
        """
        await sync_filesystem(self.directory)


async def start_object_store(supervisor: Supervisor, settings: EmbeddedStoreSettings) -> EmbeddedStore:
    """Starts SeaweedFS under the supervisor; returns when the bucket exists and takes objects.

    Raises: ProgramMissing; PortTaken when the configured port is in use; ChildFailed; InvalidInput for damaged files.
    """
    program = await asyncio.to_thread(find_program, WEED, settings.program)
    files = StoreFiles(base=make_private_dir(settings.directory.resolve()))
    credentials = await asyncio.to_thread(_prepare, files)

    async def start_on(numbers: Sequence[int]) -> EmbeddedStore:
        return await _start_on(StorePorts.of(numbers), supervisor, settings, files, credentials, program)

    known = _remembered_ports(files)
    if settings.s3_port is not None:
        if not is_free(settings.s3_port):
            raise PortTaken(_ERROR_CODE, "weed", f"cannot listen: port {settings.s3_port} is in use", log_tail="")
        known = replace(known, s3=settings.s3_port) if known else None
    if known is not None:
        # The server names a directory after its master port: the same ports again keep its state in one place.
        try:
            return await _start_on(known, supervisor, settings, files, credentials, program)
        except PortTaken:
            pass
    if settings.s3_port is None:
        return await start_with_free_ports(StorePorts.COUNT, start_on)
    fixed = settings.s3_port
    return await start_with_free_ports(StorePorts.COUNT - 1, lambda inner: start_on([fixed, *inner]))


async def _start_on(
    ports: StorePorts,
    supervisor: Supervisor,
    settings: EmbeddedStoreSettings,
    files: StoreFiles,
    credentials: StoreCredentials,
    program: Path,
) -> EmbeddedStore:
    endpoint_url = f"http://{LOOPBACK}:{ports.s3}"

    def cleanup() -> None:
        for path in stray_sockets(ports):
            path.unlink(missing_ok=True)

    limits = settings.limits or StoreLimits(volume_size_mb=volume_size_mb(shutil.disk_usage(files.data).free))
    child = Child(
        ChildSpec(
            name="weed",
            argv=(str(program), *server_arguments(ports, files, limits)),
            directory=files.base,
            environment={**plain_environment(), **STORE_ENVIRONMENT},
            ready=lambda: _takes_objects(ports.s3, endpoint_url, credentials, settings.bucket),
            error_code=_ERROR_CODE,
            ready_timeout_s=_READY_TIMEOUT_S,
            stop_grace_s=settings.stop_grace_s,
            cleanup=cleanup,
        )
    )
    await supervisor.start(child)
    await asyncio.to_thread(write_private, files.ports, msgspec.json.encode(ports))
    return EmbeddedStore(
        child=child,
        endpoint_url=endpoint_url,
        region=REGION,
        bucket=settings.bucket,
        credentials=credentials,
        directory=files.data,
    )


def _prepare(files: StoreFiles) -> StoreCredentials:
    """Makes directories and configuration files; the credentials of the first start are kept."""
    for path in (files.data, files.config, files.sockets):
        make_private_dir(path)
    try:
        credentials = msgspec.json.decode(files.credentials.read_bytes(), type=StoreCredentials)
    except FileNotFoundError:
        credentials = StoreCredentials(access_key=secrets.token_hex(10).upper(), secret_key=secrets.token_urlsafe(30))
        write_private(files.credentials, msgspec.json.encode(credentials))
    except msgspec.DecodeError as exc:
        raise InvalidInput("config.invalid", f"{files.credentials} is damaged: {exc}", field="data_dir") from None
    write_private(files.identities, render_identities(credentials.access_key, credentials.secret_key))
    write_private(files.config / "master.toml", render_master_config())
    write_security(files.config, datetime.now(UTC))
    return credentials


def _remembered_ports(files: StoreFiles) -> StorePorts | None:
    try:
        return msgspec.json.decode(files.ports.read_bytes(), type=StorePorts)
    except (FileNotFoundError, msgspec.DecodeError):
        return None  # a convenience only: other ports do as well


async def _takes_objects(port: int, endpoint_url: str, credentials: StoreCredentials, bucket: str) -> bool:
    """Whether the bucket exists, made here if need be, and an object can be written: master, volumes and filer work."""
    try:
        _, writer = await asyncio.open_connection(LOOPBACK, port)
        writer.close()
        await writer.wait_closed()
    except OSError:
        return False
    config = AioConfig(
        signature_version="s3v4",
        s3={"addressing_style": "path"},
        retries={"total_max_attempts": 1},
        connect_timeout=2,
        read_timeout=10,
    )
    async with store_session().create_client(
        "s3",
        config=config,
        endpoint_url=endpoint_url,
        region_name=REGION,
        aws_access_key_id=credentials.access_key,
        aws_secret_access_key=credentials.secret_key,
    ) as client:
        try:
            await _ensure_bucket(client, bucket)
            await client.put_object(Bucket=bucket, Key=_READY_KEY, Body=b"ready")
            await client.delete_object(Bucket=bucket, Key=_READY_KEY)
        except (BotoCoreError, ClientError):
            return False
    return True


async def _ensure_bucket(client: S3Client, bucket: str) -> None:
    try:
        await client.create_bucket(Bucket=bucket)
    except ClientError as exc:
        if exc.response.get("Error", {}).get("Code") not in {"BucketAlreadyExists", "BucketAlreadyOwnedByYou"}:
            raise
