"""The nats-server configuration: who may do what on the bus, as a pure function of settings.

The coordinator and the operator live in the account CORE, with JetStream.  Every agent lives in an account of its own
and reaches CORE through service imports only: NATS does not check the reply subject of a publish, so inside one account
an agent could make the server itself write to a KV bucket or into another agent's inbox.  Across accounts a reply
travels by a subject that the server chooses, back into the account it came from.
Source: measured on nats-server 2.15; tests/daemon/embedded/test_nats_isolation.py repeats the attacks.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from contracts.errors import InvalidInput
from contracts.ids import check_slug
from contracts.subjects import EVENTS_STREAM, LOGS_STREAM, REQUESTS_STREAM

MIB: Final = 1024 * 1024
CORE_ACCOUNT: Final = "CORE"
RELOADS: Final = 2
"""SIGHUPs until a changed configuration holds.  An account that is new gets its users at the first reload, but its service
imports only at the next.  Source: nats-server 2.15, server/server.go, `configureAccounts`, and measured.
"""
_INDENT: Final = "  "


@dataclass(frozen=True, kw_only=True)
class NodeAccess:
    """A node, and the public nkey its agent proves to hold."""

    name: str
    public_key: str


@dataclass(frozen=True, kw_only=True)
class NatsSettings:
    """Everything the configuration depends on."""

    port: int
    store_dir: Path
    coordinator_key: str
    operator_key: str
    nodes: Sequence[NodeAccess] = ()
    host: str = "127.0.0.1"
    server_name: str = "strongroom"
    max_file_bytes: int = 8 * 1024 * MIB
    """Room for all streams and buckets.  A million backup records need less than 1 GiB; the rest is events and logs."""
    max_memory_bytes: int = 128 * MIB
    ping_interval_s: int = 10
    """Whoever does not answer two of these is cut off."""


def inbox_prefix(node: str) -> str:
    """The prefix below which a node's agent receives answers: it may listen nowhere else."""
    return f"_INBOX_{node}"


def render_config(settings: NatsSettings) -> str:
    """The text of the configuration file; equal settings give equal text.

    Raises: InvalidInput for a node name that is no slug, a key that is no user nkey, or a name or key used twice.
    """
    nodes = sorted(settings.nodes, key=lambda node: node.name)
    _check(settings, nodes)
    lines = [
        f"server_name: {_quote(settings.server_name)}",
        f"listen: {_quote(f'{settings.host}:{settings.port}')}",
        "# An agent that vanished without a word is noticed within a minute.",
        "# Of several coordinators, one whose host is gone is still sent its share of questions until it is cut off.",
        f'ping_interval: "{settings.ping_interval_s}s"',
        "ping_max: 2",
        "# A report names every artifact of a backup, and there may be thousands.",
        f"max_payload: {8 * MIB}",
        "",
        "jetstream {",
        f"  store_dir: {_quote(str(settings.store_dir))}",
        "  # Acknowledged means on disk: with one server there is no replica to ask after a power cut.",
        "  sync_interval: always",
        f"  max_file_store: {settings.max_file_bytes}",
        f"  max_memory_store: {settings.max_memory_bytes}",
        "}",
        "",
        "accounts {",
        *_indented(_core_account(settings, nodes)),
    ]
    for node in nodes:
        lines += _indented(_agent_account(node))
    lines.append("}")
    return "\n".join(lines) + "\n"


def node_subjects(node: str) -> tuple[str, str, str]:
    """What a node's agent may publish: pulls from its own consumer, acknowledgements to it, and its own messages."""
    return (
        f"$JS.API.CONSUMER.MSG.NEXT.{REQUESTS_STREAM}.{node}",
        f"$JS.ACK.{REQUESTS_STREAM}.{node}.>",
        f"strongroom.agent.{node}.>",
    )


def operator_subjects() -> tuple[str, ...]:
    """What an operator may publish: control verbs, and what reading the event and log streams takes."""
    subjects = ["strongroom.control.>", "$SRV.>", "$JS.API.INFO", "$JS.API.STREAM.NAMES"]
    for stream in (EVENTS_STREAM, LOGS_STREAM):
        subjects += [
            f"$JS.API.STREAM.INFO.{stream}",
            f"$JS.API.DIRECT.GET.{stream}",
            f"$JS.API.DIRECT.GET.{stream}.>",
            f"$JS.API.CONSUMER.CREATE.{stream}",
            f"$JS.API.CONSUMER.CREATE.{stream}.>",
            f"$JS.API.CONSUMER.INFO.{stream}.*",
            f"$JS.API.CONSUMER.DELETE.{stream}.*",
            f"$JS.API.CONSUMER.MSG.NEXT.{stream}.*",
            f"$JS.ACK.{stream}.>",
            f"$JS.FC.{stream}.>",
        ]
    return tuple(subjects)


OPERATOR_LISTENS: Final = ("_INBOX.>", "strongroom.event.>", "strongroom.progress.>", "strongroom.log.>")


def _account(node: str) -> str:
    return f"AG_{node}"


def _core_account(settings: NatsSettings, nodes: Sequence[NodeAccess]) -> list[str]:
    lines = [
        f"{CORE_ACCOUNT} {{",
        "  jetstream: enabled",
        "  users: [",
        f"    {{ nkey: {settings.coordinator_key} }}",
        "    {",
        f"      nkey: {settings.operator_key}",
        *_indented(_permissions(operator_subjects(), OPERATOR_LISTENS), 3),
        "    }",
        "  ]",
    ]
    if nodes:
        # Without an account list an export would be open to every account, so there is none without nodes.
        accounts = _list(_account(node.name) for node in nodes)
        pull, ack, own = node_subjects("*")
        lines += [
            "  exports: [",
            f"    {{ service: {_quote(pull)}, response_type: stream, accounts: {accounts} }}",
            f"    {{ service: {_quote(ack)}, accounts: {accounts} }}",
            f"    {{ service: {_quote(own)}, accounts: {accounts} }}",
            "  ]",
        ]
    return [*lines, "}"]


def _agent_account(node: NodeAccess) -> list[str]:
    subjects = node_subjects(node.name)
    return [
        f"{_quote(_account(node.name))} {{",
        "  users: [",
        "    {",
        f"      nkey: {node.public_key}",
        *_indented(_permissions(subjects, (f"{inbox_prefix(node.name)}.>",)), 3),
        "    }",
        "  ]",
        "  imports: [",
        *(f"    {{ service: {{ account: {CORE_ACCOUNT}, subject: {_quote(subject)} }} }}" for subject in subjects),
        "  ]",
        "}",
    ]


def _permissions(publish: Iterable[str], subscribe: Iterable[str]) -> list[str]:
    return [
        "permissions: {",
        "  publish: { allow: [",
        *(f"    {_quote(subject)}" for subject in publish),
        "  ] }",
        "  subscribe: { allow: [",
        *(f"    {_quote(subject)}" for subject in subscribe),
        "  ] }",
        "}",
    ]


def _check(settings: NatsSettings, nodes: Sequence[NodeAccess]) -> None:
    keys = [settings.coordinator_key, settings.operator_key]
    for node in nodes:
        check_slug(node.name, "node")
        keys.append(node.public_key)
    for key in keys:
        if not (len(key) == 56 and key.startswith("U") and key.isalnum() and key.isascii()):
            raise InvalidInput("key.invalid", f"{key!r} is not a user's public nkey", field="public_key")
    if len(set(keys)) < len(keys):
        raise InvalidInput("key.invalid", "an nkey belongs to two users", field="public_key")
    names = [node.name for node in nodes]
    if len(set(names)) < len(names):
        raise InvalidInput("input.invalid", "a node is named twice", field="nodes")


def _indented(lines: Iterable[str], depth: int = 1) -> list[str]:
    return [_INDENT * depth + line for line in lines]


def _list(values: Iterable[str]) -> str:
    return "[" + ", ".join(_quote(value) for value in values) + "]"


def _quote(value: str) -> str:
    # The server's format knows JSON's short escapes, but no \uXXXX.
    return json.dumps(value, ensure_ascii=False)
