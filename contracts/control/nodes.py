"""Verbs of nodes: the hosts that run agents."""

from __future__ import annotations

import msgspec

from contracts.access import Role
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
