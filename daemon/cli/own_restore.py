"""A restore with an identity of the operator's: headers are opened here and sealed to the node that restores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.text import Text

from contracts import control
from contracts.errors import Denied, InvalidInput
from daemon.cli.terminal import Terminal

if TYPE_CHECKING:
    from contracts.age import Identity
    from daemon.cli.client import ControlClient

NodeRecipientOption = Annotated[
    str,
    typer.Option(
        "--node-recipient",
        metavar="AGE1…",
        help="With --identity: seal to nobody but the node with this recipient, as its own host shows it.",
        show_default=False,
    ),
]


async def with_headers(
    client: ControlClient,
    request: control.RestoreCreate,
    identities: Sequence[Identity],
    *,
    node_recipient: str,
    terminal: Terminal,
) -> control.RestoreCreate:
    """The request with a header for each artifact, sealed to its node; the identities stay in this process.

    Raises: Denied `key.unavailable`, InvalidInput for another node's recipient than the one that was named, Corrupt.
    """
    # Imported late: only whoever holds an identity needs these.
    from contracts.age import AgeError, Recipient
    from contracts.resealing import reseal_header

    found = await client.ask(
        control.RESTORE_PREPARE,
        control.RestorePrepare(
            project=request.project,
            service=request.service,
            id=request.id,
            to_project=request.to_project,
            to_service=request.to_service,
            node=request.node,
            artifacts=request.artifacts,
        ),
    )
    if node_recipient and node_recipient.strip() != found.recipient:
        raise Denied(
            "key.unavailable",
            f"node {found.node} has the recipient {found.recipient}, not the one that was named: nothing was sealed to it",
            field="node_recipient",
        )
    try:
        reader = Recipient.parse(found.recipient)
    except AgeError as exc:
        raise InvalidInput("key.invalid", f"the recipient of node {found.node}: {exc}", field="node") from exc
    terminal.say(
        Text.assemble(
            "Sealed to node ",
            (found.node, "name"),
            ": recipient ",
            found.recipient,
            ", fingerprint ",
            (found.fingerprint, "name"),
        )
    )
    headers = [reseal_header(each, identities, reader) for each in found.headers]
    return msgspec.structs.replace(request, id=found.id, node=found.node, headers=headers)
