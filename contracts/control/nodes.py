"""Verbs of nodes: the hosts that run agents."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec

from contracts.access import Role, TokenId
from contracts.control.verb import Nothing, Verb
from contracts.records import Alive, NodeRecord


class NodeRef(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    node: str


class NodeView(msgspec.Struct, frozen=True, kw_only=True):
    record: NodeRecord
    alive: Alive | None
    """None when its heartbeats have stopped."""


class Nodes(msgspec.Struct, frozen=True, kw_only=True):
    nodes: list[NodeView]


class NodeEnroll(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    node: str
    """Registered when it is new; one that is enrolled gets new keys when the token is used."""
    services: Annotated[list[str], msgspec.Meta(max_length=200)] = []
    """`project/service` of each that the node serves as soon as it has joined."""
    valid_s: Annotated[float, msgspec.Meta(ge=60, le=604_800)] = 3600
    """How long the token is good."""
    actor: str = ""


class NodeRevoke(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    node: str
    actor: str = ""


class InvitationRef(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: TokenId
    actor: str = ""


class InvitationView(msgspec.Struct, frozen=True, kw_only=True):
    """A join token without what would let anybody in."""

    id: str
    node: str
    services: list[str] = []
    created_at: datetime
    created_by: str = ""
    expires_at: datetime
    used_at: datetime | None = None
    revoked_at: datetime | None = None


class Invitations(msgspec.Struct, frozen=True, kw_only=True):
    """The newest first; those that ended stay for a while."""

    invitations: list[InvitationView]


class Invited(msgspec.Struct, frozen=True, kw_only=True):
    """A join token for one host."""

    id: str
    node: str
    token: str
    """Shown this once, and kept nowhere."""
    expires_at: datetime


NODE_ADD = Verb(
    "node.add",
    NodeRef,
    NodeRecord,
    "Register a node",
    role=Role.ADMIN,
    route="POST /nodes",
)
NODE_LIST = Verb(
    "node.list",
    Nothing,
    Nodes,
    "All nodes, and which are alive",
    role=Role.VIEWER,
    route="GET /nodes",
)
NODE_REMOVE = Verb(
    "node.remove",
    NodeRef,
    Nothing,
    "Remove a node that no service names",
    role=Role.ADMIN,
    route="DELETE /nodes/{node}",
)
NODE_ENROLL = Verb(
    "node.enroll",
    NodeEnroll,
    Invited,
    "Make a join token for a host, which is shown once",
    role=Role.ADMIN,
    route="POST /nodes/{node}/invitations",
)
NODE_REVOKE = Verb(
    "node.revoke",
    NodeRevoke,
    NodeRecord,
    "Shut a node out, at once; it may be enrolled again",
    role=Role.ADMIN,
    route="POST /nodes/{node}/revoke",
)
INVITATION_LIST = Verb(
    "invitation.list",
    Nothing,
    Invitations,
    "All join tokens, without their secrets",
    role=Role.ADMIN,
    route="GET /invitations",
)
INVITATION_REVOKE = Verb(
    "invitation.revoke",
    InvitationRef,
    InvitationView,
    "End a join token; a host that used it stays",
    role=Role.ADMIN,
    route="DELETE /invitations/{id}",
)
