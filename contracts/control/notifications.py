"""Verbs of notifications: the channels on which people are told, and the pings that tell a dead man's switch."""

from __future__ import annotations

from datetime import datetime

import msgspec

from contracts.access import Role
from contracts.control.services import ServiceRef
from contracts.control.verb import Nothing, Verb
from contracts.notifications import (
    ALL_KINDS,
    ChannelId,
    ChannelName,
    Kinds,
    PingMethod,
    PingOutcome,
    SecretUrl,
    Severity,
)


class ChannelCreate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: ChannelName
    url: SecretUrl
    """Of Apprise, such as `mailtos://user:password@example.org?to=ops@example.org` or `slack://…`.  Kept sealed, and shown
    to nobody again."""
    project: str = ""
    """The only project it is told of; empty for all of them."""
    min_severity: Severity = Severity.WARNING
    kinds: Kinds = ALL_KINDS
    enabled: bool = True
    actor: str = ""


class ChannelChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is null stays as it is."""

    id: ChannelId
    project: str = ""
    """Only if it belongs to this project alone; empty for any."""
    name: ChannelName | None = None
    url: SecretUrl | None = None
    min_severity: Severity | None = None
    kinds: Kinds | None = None
    enabled: bool | None = None
    actor: str = ""


class ChannelRef(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: ChannelId
    project: str = ""
    """Only if it belongs to this project alone; empty for any."""
    actor: str = ""


class ChannelList(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    project: str = ""
    """Only those of this project; empty for all, those of no project among them."""


class ChannelView(msgspec.Struct, frozen=True, kw_only=True):
    """A channel without its address."""

    id: ChannelId
    name: ChannelName
    project: str
    target: str
    """As much of the address as may be seen: what it is, and the host."""
    min_severity: Severity
    kinds: Kinds
    enabled: bool
    created_at: datetime
    created_by: str = ""
    last_sent_at: datetime | None = None
    failing_since: datetime | None = None
    """Since when messages do not arrive; what there is to tell waits, and is tried again at least once an hour."""
    error: str = ""
    """Why the last try failed."""


class Channels(msgspec.Struct, frozen=True, kw_only=True):
    """By project and name, those of no project first."""

    channels: list[ChannelView]


class TestOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a test message at one target."""

    __test__ = False  # this is no test, whatever pytest takes it for

    target: str
    ok: bool
    message: str
    """One sentence."""


class ChannelTest(msgspec.Struct, frozen=True, kw_only=True):
    channel: ChannelView
    outcomes: list[TestOutcome]

    @property
    def ok(self) -> bool:
        return all(outcome.ok for outcome in self.outcomes)


class PingSet(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Replaces what was set before."""

    project: str
    service: str
    url: SecretUrl | None = None
    """An http or https URL that is called after each good backup; kept sealed, and shown to nobody again.  Null: the one
    that was set before."""
    method: PingMethod = PingMethod.GET
    tell_failure: bool = False
    """Whether `/fail` below it is called after a backup that failed or was missed."""
    tell_start: bool = False
    """Whether `/start` below it is called when a backup begins."""
    actor: str = ""


class PingRef(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    project: str
    service: str
    actor: str = ""


class PingView(msgspec.Struct, frozen=True, kw_only=True):
    """A service's ping without its address."""

    project: str
    service: str
    target: str
    """As much of the address as may be seen."""
    method: PingMethod
    tell_failure: bool
    tell_start: bool
    created_at: datetime
    created_by: str = ""
    last: PingOutcome | None = None
    """What became of the last one."""
    last_ok_at: datetime | None = None


CHANNEL_CREATE = Verb(
    "channel.create",
    ChannelCreate,
    ChannelView,
    "Add a channel on which people are told of trouble",
    role=Role.ADMIN,
    route="POST /channels",
)
CHANNEL_LIST = Verb(
    "channel.list",
    ChannelList,
    Channels,
    "All channels, without their addresses",
    role=Role.VIEWER,
    route="GET /channels",
)
CHANNEL_CHANGE = Verb(
    "channel.change",
    ChannelChange,
    ChannelView,
    "Change a channel's name, address, or what it is told of",
    role=Role.ADMIN,
    route="PATCH /channels/{id}",
)
CHANNEL_DELETE = Verb(
    "channel.delete", ChannelRef, Nothing, "Remove a channel", role=Role.ADMIN, route="DELETE /channels/{id}"
)
CHANNEL_TEST = Verb(
    "channel.test",
    ChannelRef,
    ChannelTest,
    "Send a test message now, and tell what became of it",
    role=Role.ADMIN,
    route="POST /channels/{id}/test",
)
PING_SET = Verb(
    "ping.set",
    PingSet,
    PingView,
    "Have a URL called after each good backup of a service",
    role=Role.ADMIN,
    route="PUT /projects/{project}/services/{service}/ping",
)
PING_SHOW = Verb(
    "ping.show",
    ServiceRef,
    PingView,
    "What is called after backups of a service, and what became of it",
    role=Role.VIEWER,
    route="GET /projects/{project}/services/{service}/ping",
)
PING_REMOVE = Verb(
    "ping.remove",
    PingRef,
    Nothing,
    "Have nothing called any more after backups of a service",
    role=Role.ADMIN,
    route="DELETE /projects/{project}/services/{service}/ping",
)
