"""Who may say and hear what on the bus: the lists that static configuration and JWTs are both made from."""

from __future__ import annotations

from typing import Final

from contracts.subjects import ENROL_SUBJECTS, EVENTS_STREAM, LOGS_STREAM, REQUESTS_STREAM, agent_inbox

PULL: Final = f"$JS.API.CONSUMER.MSG.NEXT.{REQUESTS_STREAM}.{{node}}"
ACK: Final = f"$JS.ACK.{REQUESTS_STREAM}.{{node}}.>"
OWN: Final = "strongroom.agent.{node}.>"


def node_subjects(node: str) -> tuple[str, str, str]:
    """What a node's agent may publish: pulls from its own consumer, acknowledgements to it, and its own messages."""
    return PULL.format(node=node), ACK.format(node=node), OWN.format(node=node)


def node_listens(node: str) -> tuple[str, ...]:
    """Where a node's agent may listen: below its own inbox."""
    return (f"{agent_inbox(node)}.>",)


def operator_services() -> tuple[str, ...]:
    """What an operator may ask in CORE: control verbs, and records of the event and log streams read one by one.

    No consumers: the subject to which a consumer delivers is not checked against anybody's permissions.
    """
    subjects = ["strongroom.control.>", "$SRV.>"]
    for stream in (EVENTS_STREAM, LOGS_STREAM):
        subjects += [
            f"$JS.API.STREAM.INFO.{stream}",
            f"$JS.API.DIRECT.GET.{stream}",
            f"$JS.API.DIRECT.GET.{stream}.>",
        ]
    return tuple(subjects)


JETSTREAM_SHADOW: Final = "$JS.API.INFO"
"""Imported by whoever reads streams of CORE, and permitted to nobody: an account that does not import it is given the
server's own `$JS.API.>` beside its imports, which then answers first, that the account has no JetStream.
Source: nats-server 2.15, server/jetstream.go, `enableJetStreamInfoServiceImportOnly`, and measured.
"""

OPERATOR_STREAMS: Final = ("strongroom.event.>", "strongroom.progress.>", "strongroom.log.>")
"""What an operator may hear in CORE."""
OPERATOR_LISTENS: Final = ("_INBOX.>", *OPERATOR_STREAMS)

GUEST_SERVICES: Final = (ENROL_SUBJECTS,)
"""What the holder of a join token may ask in CORE."""
GUEST_PAYLOAD_BYTES: Final = 16 * 1024
GUEST_CONNECTIONS: Final = 64
"""Of all guests together: they come for a second, one host each."""

SINGLE_ANSWER: Final = frozenset({ACK.format(node="*"), OWN.format(node="*"), ENROL_SUBJECTS, "strongroom.control.>"})
"""Exports whose requests have one answer each; the others may have several (a pull, a batch, a discovery)."""
