"""The agent's settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from agents.datapath.limits import DownloadLimits, UploadLimits
from contracts.ids import Slug
from contracts.settings import NatsSettings, load_settings
from contracts.tracing import TracingSettings

ENV_PREFIX = "STRONGROOM_AGENT"


class MetricsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[metrics]`: where Prometheus finds `/metrics` of this agent.  There is no token: it names this host's services."""

    host: str = "127.0.0.1"
    """An address of this machine that only Prometheus reaches."""
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8421
    """0: any free one."""


class AgentSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`agent.toml`; every key may be overridden by `STRONGROOM_AGENT_<SECTION>_<KEY>`."""

    node: Slug
    nats: NatsSettings
    identity_file: str
    """The node's own age identity, made at the first start; mode 0600.  File keys for restores are sealed to it."""
    services_dir: str
    """One TOML file for each service of this host; read again when a file changes."""
    runtime_dir: str
    """For short-lived private files, such as a pgpass file while a tool runs; best on a memory file system."""
    upload: UploadLimits
    download: DownloadLimits = DownloadLimits()
    work_dir: str = ""
    """For what an engine can only give or take as a whole file; may need as much room as the largest collection, stream or
    data directory.  Empty: `drivers` in the spool directory."""
    parallel_runs: Annotated[int, msgspec.Meta(ge=1, le=64)] = 2
    heartbeat_s: Annotated[float, msgspec.Meta(ge=0.1, le=10)] = 5
    check_every_s: Annotated[float, msgspec.Meta(ge=0.1, le=15)] = 10
    """How often a run under way is renewed and checked with the coordinator: a third of the requests' ack wait, so that a
    lost beat or two do not bring the request back."""
    health_every_s: Annotated[float, msgspec.Meta(ge=0.1)] = 30
    tracing: TracingSettings | None = None
    """Without it, nothing is traced."""
    metrics: MetricsSettings | None = None
    """Without it nothing listens; it needs the extra `metrics`."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @property
    def drivers_dir(self) -> str:
        """`work_dir`, or its default."""
        return self.work_dir or str(Path(self.upload.spool_dir) / "drivers")


def load_agent_settings(path: Path, environ: Mapping[str, str]) -> AgentSettings:
    """Raises: InvalidInput `config.invalid` naming the file and the key."""
    return load_settings(AgentSettings, path, env_prefix=ENV_PREFIX, environ=environ)
