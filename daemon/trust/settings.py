"""The section `[trust]` of the coordinator's settings."""

from __future__ import annotations

from typing import Annotated

import msgspec


class TrustSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """With it, nodes are enrolled while everything runs; without it, the NATS servers' own files say who may connect."""

    directory: str
    """With the signing keys, as `strongroom nats trust` makes it; mode 0700."""
    agent_url: str = ""
    """How agents reach the NATS servers, where that is not `nats.url`: one URL, or several with commas between."""
    credentials_days: Annotated[float, msgspec.Meta(gt=0, le=3650)] = 30
    """How long an agent's credentials hold; it renews them by itself well before."""
