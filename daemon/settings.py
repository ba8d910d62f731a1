"""The coordinator's settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from contracts.settings import NatsSettings, load_settings
from contracts.tracing import TracingSettings
from daemon.catalog.topology import ACK_WAIT_S
from daemon.http.settings import HttpSettings
from daemon.notifications.settings import NotificationSettings
from daemon.reaper import ReaperSettings
from daemon.scheduler import SchedulerSettings
from daemon.store.settings import StoreSettings

ENV_PREFIX = "STRONGROOM"


class CoordinatorSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`coordinator.toml`; every key may be overridden by `STRONGROOM_<SECTION>_<KEY>`."""

    nats: NatsSettings
    store: StoreSettings
    master_key_file: str
    """Seals the projects' identities; whoever loses it loses every backup whose identity is nowhere else."""
    replicas: Annotated[int, msgspec.Meta(ge=1, le=5)] = 1
    """Of streams and buckets, when they are created: 3 in a cluster."""
    max_attempts: Annotated[int, msgspec.Meta(ge=1, le=10)] = 3
    request_ack_wait_s: Annotated[float, msgspec.Meta(ge=1)] = ACK_WAIT_S
    """How long after an agent's last sign of life its request is given out again; of nodes added from now on."""
    grace_days: Annotated[float, msgspec.Meta(ge=0, le=3650)] = 7
    """How long a deleted project or service can be had back; then its backups and keys go for good."""
    http: HttpSettings | None = None
    """Without it, the coordinator is reached over NATS only."""
    tracing: TracingSettings | None = None
    """Without it, nothing is traced."""
    scheduler: SchedulerSettings = SchedulerSettings()
    reaper: ReaperSettings = ReaperSettings()
    notifications: NotificationSettings = NotificationSettings()
    log_level: Literal["debug", "info", "warning", "error"] = "info"


def load_coordinator_settings(path: Path, environ: Mapping[str, str]) -> CoordinatorSettings:
    """Raises: InvalidInput `config.invalid` naming the file and the key."""
    return load_settings(CoordinatorSettings, path, env_prefix=ENV_PREFIX, environ=environ)
