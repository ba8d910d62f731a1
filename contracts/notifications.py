"""Who is told of what: alerts, the channels that they go out on, and the pings that are sent after backups.

An address to which messages go holds secrets (a password, a webhook's token).  It is kept sealed, and shown to nobody again.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final

import msgspec

from contracts.ids import Slug
from contracts.records import Bytes

CHANNEL_ID_PATTERN: Final = r"\A[a-z2-7]{10}\Z"

ChannelId = Annotated[str, msgspec.Meta(pattern=CHANNEL_ID_PATTERN)]
ChannelName = Annotated[str, msgspec.Meta(min_length=1, max_length=60, pattern=r"\A[^\x00-\x1f\x7f]+\Z")]
"""What people call it, such as `on-call`."""
SecretUrl = Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]


class Severity(StrEnum):
    """The mildest first."""

    INFO = "info"
    """Good to know."""
    WARNING = "warning"
    """Look at it when there is time."""
    CRITICAL = "critical"
    """What should be safe is not: act."""

    @property
    def rank(self) -> int:
        return tuple(Severity).index(self)


class AlertKind(StrEnum):
    """What there is to be told of."""

    FAILED = "failed"
    """A backup failed."""
    MISSED = "missed"
    """A backup was due, and nobody was there to make it."""
    RECOVERED = "recovered"
    """What was told of before is over.  It goes to whoever was told of that, whatever the least severity."""
    SUSPICIOUS = "suspicious"
    """The newest backup is suspiciously small; nothing is deleted until somebody has looked."""
    QUOTA_NEAR = "quota_near"
    """A project has nearly used up its quota."""
    AGENT_SILENT = "agent_silent"
    """An agent is not heard of any more."""
    RESTORE_FAILED = "restore_failed"
    """A restore failed, or no agent took it up."""


Kinds = Annotated[tuple[AlertKind, ...], msgspec.Meta(min_length=1)]
ALL_KINDS: Final = tuple(AlertKind)


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """What a recovery puts an end to."""

    kinds: list[AlertKind]
    since: datetime
    runs: int = 0
    """Of a series of bad runs: how many they were."""


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to be told of, with all that a message says of it."""

    key: str
    """Follows from the fact that it tells of: the same fact, met again, is the same alert."""
    kind: AlertKind
    severity: Severity
    at: datetime
    """When it happened."""
    noted_at: datetime
    """When it was decided that it is told of."""
    channels: list[str] = []
    """The ids of those that it goes out on."""
    project: str = ""
    """Empty for what concerns no project, such as a node without services."""
    service: str = ""
    node: str = ""
    run_id: str = ""
    code: str = ""
    """Of the error, if there was one."""
    reason: str = ""
    """One sentence."""
    since: datetime | None = None
    """When the trouble began, if that was before."""
    last_good_at: datetime | None = None
    """When the newest good backup was asked for."""
    last_good_bytes: Bytes | None = None
    runs: int = 1
    """How many runs it stands for."""
    reminder: int = 0
    """Which reminder of a trouble that goes on it is."""
    is_made_up_for: bool = False
    """Of missed runs: whether a newer one has completed already."""
    used_bytes: Bytes | None = None
    quota_bytes: Bytes | None = None
    services: list[str] = []
    """Of a silent agent: the services of the project that nobody can back up now."""
    ends: Ended | None = None


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """A series of bad runs of a service that no good one has ended."""

    since: datetime
    key: str
    """Of its first alert."""
    told: list[AlertKind]
    """Of each kind, the first was told of."""
    told_to: list[str]
    """The ids of the channels."""
    last_told_at: datetime
    kind: AlertKind
    """Of the newest bad run, like what follows."""
    run_id: str
    code: str = ""
    reason: str = ""
    runs: int = 1
    reminders: int = 0
    last_good_at: datetime | None = None
    last_good_bytes: Bytes | None = None


class Suspicion(msgspec.Struct, frozen=True, kw_only=True):
    """The newest backup of a service is suspiciously small."""

    run_id: str
    since: datetime
    told_to: list[str]


class NearQuota(msgspec.Struct, frozen=True, kw_only=True):
    """A project whose quota is nearly used up."""

    severity: Severity
    since: datetime
    told_to: list[str]


class Silence(msgspec.Struct, frozen=True, kw_only=True):
    """A node that is not heard of."""

    since: datetime
    told_to: dict[str, list[str]]
    """By the projects whose services it serves; `` where it serves none."""


class WatchRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What was told of a service, a project or a node and is not over."""

    trouble: Trouble | None = None
    suspicion: Suspicion | None = None
    near_quota: NearQuota | None = None
    silence: Silence | None = None
    seen: int = 0
    """The sequence of the last event that changed it: what is read again up to there has had its effect."""

    @property
    def is_quiet(self) -> bool:
        return self.trouble is None and self.suspicion is None and self.near_quota is None and self.silence is None


class ReadUntil(msgspec.Struct, frozen=True, kw_only=True):
    """How far the events were looked at."""

    sequence: int


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """How far a channel is with its messages."""

    handled: int = 0
    """Alerts up to this revision of their bucket were sent, or were not for it."""
    sending: str = ""
    """Who is sending a message at this moment, so that nobody else sends it too."""
    last_sent_at: datetime | None = None
    failing_since: datetime | None = None
    failures: int = 0
    """One after another, up to now."""
    error: str = ""
    """Why the last try failed, in words that hold no secret."""


class ChannelRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One way to tell people.  Whoever reads this cannot use it: the address is sealed under the master key."""

    id: ChannelId
    name: ChannelName
    project: Annotated[str, msgspec.Meta(max_length=40)] = ""
    """The only project it is told of; empty for all of them."""
    sealed_url: bytes
    target: str
    """As much of the address as may be seen: what it is, and the host."""
    min_severity: Severity = Severity.WARNING
    kinds: Kinds = ALL_KINDS
    enabled: bool = True
    created_at: datetime
    created_by: str = ""
    delivery: Delivery = Delivery()


class PingMethod(StrEnum):
    GET = "get"
    POST = "post"


class PingSignal(StrEnum):
    """What is told."""

    SUCCESS = "success"
    FAILURE = "failure"
    START = "start"


class PendingPing(msgspec.Struct, frozen=True, kw_only=True):
    """A ping that has not arrived."""

    signal: PingSignal
    run_id: str
    since: datetime


class PingOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a ping."""

    signal: PingSignal
    run_id: str
    at: datetime
    ok: bool
    message: str
    """In words that hold no secret, such as `the server answered 200`."""


class PingRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The dead man's switch of a service: somebody who notices when backups stop being told of."""

    project: Slug
    service: Slug
    sealed_url: bytes
    target: str
    """As much of the address as may be seen."""
    method: PingMethod = PingMethod.GET
    tell_failure: bool = False
    """Whether `/fail` is called after a backup that failed or was missed."""
    tell_start: bool = False
    """Whether `/start` is called when a backup begins."""
    created_at: datetime
    created_by: str = ""
    pending: PendingPing | None = None
    last: PingOutcome | None = None
    last_ok_at: datetime | None = None
