"""How SeaweedFS is started for embedded mode: its arguments and configuration files, as pure functions of settings.

One process holds all four roles (master, volume server, filer, S3 gateway).  Everything it could do beyond that is off:
WebDAV, SFTP, IAM, table catalogues, metrics, and the usage report it would send to its makers.
Source: `weed help server` of version 4.48.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from daemon.embedded.ports import LOOPBACK

REGION: Final = "us-east-1"
"""The S3 gateway accepts any; SDKs want one to sign with."""
VOLUMES_AT_ONCE: Final = 2
"""Volumes created when a bucket has none left to write to.  The default, 7, would reserve much room for each bucket."""
STORE_ENVIRONMENT: Final = {"GOMEMLIMIT": "512MiB"}
"""Uploads otherwise leave it with 750 MB resident; with this half of it, a tenth slower.  A soft limit: nothing fails."""
VACUUM_INTERVAL_S: Final = 300
"""How often the room of deleted objects is reclaimed."""


@dataclass(frozen=True, kw_only=True)
class StorePorts:
    """The TCP ports of one SeaweedFS process; gRPC ports would otherwise be 10000 above, taken or not."""

    s3: int
    s3_grpc: int
    master: int
    master_grpc: int
    volume: int
    volume_grpc: int
    filer: int
    filer_grpc: int

    COUNT = 8

    @classmethod
    def of(cls, ports: Sequence[int]) -> StorePorts:
        s3, s3_grpc, master, master_grpc, volume, volume_grpc, filer, filer_grpc = ports
        return cls(
            s3=s3,
            s3_grpc=s3_grpc,
            master=master,
            master_grpc=master_grpc,
            volume=volume,
            volume_grpc=volume_grpc,
            filer=filer,
            filer_grpc=filer_grpc,
        )


@dataclass(frozen=True, kw_only=True)
class StoreFiles:
    """Where one SeaweedFS process keeps what; all of it below one private directory."""

    base: Path

    @property
    def data(self) -> Path:
        return self.base / "data"

    @property
    def config(self) -> Path:
        """Where `security.toml` and `master.toml` are looked for first."""
        return self.base / "config"

    @property
    def identities(self) -> Path:
        return self.config / "identities.json"

    @property
    def credentials(self) -> Path:
        return self.base / "credentials.json"

    @property
    def ports(self) -> Path:
        return self.base / "ports.json"

    @property
    def sockets(self) -> Path:
        return self.base / "sockets"


@dataclass(frozen=True, kw_only=True)
class StoreLimits:
    """How much the store may hold."""

    volume_size_mb: int
    max_volumes: int = 0
    """0: as many as fit on the disk, worked out again as the disk fills."""
    min_free_space: str = "1"
    """Below this the store takes no more writes: percent of the disk, or a size such as `10GiB`."""


def volume_size_mb(free_bytes: int) -> int:
    """A volume size that leaves some hundreds of volumes to the free room: a power of two from 32 MiB to 4 GiB.

    The store creates a volume only where all of it fits, so large ones waste a small disk: of 1.5 GB only 0.6 GB could be
    used with 256 MiB.  Small ones on a large disk cost open files and memory.  It may differ from start to start.
    """
    wanted = free_bytes // (400 * 1024 * 1024)
    return max(32, min(4096, 1 << max(0, wanted.bit_length() - 1)))


def server_arguments(ports: StorePorts, files: StoreFiles, limits: StoreLimits) -> list[str]:
    """The arguments after the program's name, for a process that runs in `files.base`.

    The socket paths are relative: an absolute one could be longer than the 107 bytes the kernel allows.
    """
    return [
        "-logtostderr=true",
        f"-config_dir={files.config}",
        "server",
        f"-ip={LOOPBACK}",
        f"-ip.bind={LOOPBACK}",
        f"-dir={files.data}",
        # The master's HTTP API asks nobody for a name: GET /col/delete would let any user, or web page, drop a bucket.
        "-disableHttp=true",
        f"-master.port={ports.master}",
        f"-master.port.grpc={ports.master_grpc}",
        "-master.peers=none",  # the only master: it need not wait 10 to 20 s for an election after each restart
        "-master.telemetry=false",
        f"-master.vacuumIntervalSeconds={VACUUM_INTERVAL_S}",
        f"-master.volumeSizeLimitMB={limits.volume_size_mb}",
        f"-volume.port={ports.volume}",
        f"-volume.port.grpc={ports.volume_grpc}",
        f"-volume.max={limits.max_volumes}",
        f"-volume.minFreeSpace={limits.min_free_space}",
        "-volume.preStopSeconds=0",  # nobody else has to learn first that this volume server goes away
        "-filer",
        f"-filer.port={ports.filer}",
        f"-filer.port.grpc={ports.filer_grpc}",
        "-filer.localSocket=sockets/filer.sock",
        "-filer.exposeDirectoryData=false",
        "-filer.ui.deleteDir=false",
        "-s3",
        f"-s3.port={ports.s3}",
        f"-s3.port.grpc={ports.s3_grpc}",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        f"-s3.config={files.identities}",
        "-s3.localSocket=sockets/s3.sock",
        "-s3.iam=false",
        "-s3.autoCreateBucket=false",
        "-s3.allowDeleteBucketNotEmpty=false",
        "-webdav=false",
        "-sftp=false",
        "-iam=false",
        "-mq.broker=false",
    ]


def stray_sockets(ports: StorePorts) -> tuple[Path, ...]:
    """Unix sockets that the server makes outside its directory, by names that cannot be changed, and leaves when killed."""
    roles = {"master": ports.master_grpc, "volume": ports.volume_grpc, "filer": ports.filer_grpc, "s3": ports.s3_grpc}
    return tuple(Path("/tmp") / f"seaweedfs-{role}-grpc-{port}.sock" for role, port in roles.items())  # noqa: S108


def render_identities(access_key: str, secret_key: str) -> str:
    """The S3 identities: the coordinator, and nobody else.  Without any identity the gateway would serve everybody."""
    identity = {
        "name": "coordinator",
        "credentials": [{"accessKey": access_key, "secretKey": secret_key}],
        "actions": ["Admin"],
    }
    return json.dumps({"identities": [identity]}, indent=2) + "\n"


def render_master_config() -> str:
    return f"[master.volume_growth]\ncopy_1 = {VOLUMES_AT_ONCE}\n"
