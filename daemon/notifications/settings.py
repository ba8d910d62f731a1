"""How people are told, and where messages may go."""

from __future__ import annotations

from typing import Annotated

import msgspec


class NotificationSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[notifications]` of `coordinator.toml`."""

    allow_private: bool = True
    """Whether channels and pings may reach loopback and private addresses, as of a mail server in the same network.  Where
    people who administer single projects are not trusted with this network, set it to false: whatever a name resolves to,
    only public addresses are connected to then.  Link-local addresses are never connected to.  A proxy (`HTTPS_PROXY`)
    resolves names itself, and has to be held to the same."""
    window_s: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 60
    """What happens in so many seconds after the first news for a channel becomes one message."""
    every_s: Annotated[float, msgspec.Meta(gt=0, le=60)] = 1
    """How often it is looked for news."""
    send_timeout_s: Annotated[float, msgspec.Meta(gt=0, le=300)] = 30
    """How long a message may take."""
    ping_timeout_s: Annotated[float, msgspec.Meta(gt=0, le=60)] = 10
    """How long a ping may take."""
    retry_s: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 15
    """How long it is waited after a message or ping that did not arrive; each time twice as long, up to an hour."""
