"""What HTTP handlers and pages work with."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from nats.aio.client import Client
from nats.js import JetStreamContext

from daemon.access.attempts import FailedAttempts
from daemon.access.refusals import Refusals
from daemon.access.tokens import Tokens
from daemon.catalog.catalog import Catalog
from daemon.control import Control
from daemon.http.settings import HttpSettings
from daemon.keys.custody import Custody
from daemon.metrics.metrics import Metrics
from daemon.metrics.watch import FleetWatch
from daemon.store.s3 import ObjectStore


@dataclass(frozen=True, kw_only=True)
class Backend:
    """The running coordinator.

    Everything that a caller asks for goes through `control.invoke`, which decides whether it may and writes it down; the
    bus and the store are for streams: events, progress, logs, bytes.
    """

    control: Control
    tokens: Tokens
    catalog: Catalog
    custody: Custody
    store: ObjectStore
    client: Client
    js: JetStreamContext
    settings: HttpSettings
    session_key: bytes
    """32 bytes that seal the cookies of sessions: the same on all coordinators, and after a restart."""
    now: Callable[[], datetime]
    metrics: Metrics
    fleet_watch: FleetWatch
    clock_s: Callable[[], float] = time.monotonic
    attempts: FailedAttempts = field(default_factory=FailedAttempts)
    refusals: Refusals = field(default_factory=Refusals)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the coordinator begins to stop: answers that would go on for ever end."""
