"""A project in customer custody on a whole platform, and everything that travels while it is worked with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from nats.aio.msg import Msg

from contracts import control
from contracts.age import Identity
from contracts.custody import CustodyKind
from contracts.services import PostgreSQLOptions
from tests.integration.platform import Platform, PlatformOperator
from tests.servers.postgres import Database


async def set_up(operator: PlatformOperator, shop: Database, *identities: Identity) -> None:
    """`acme/orders` on `node-1`, whose backups open for these identities only."""
    recipients = [str(identity.recipient) for identity in identities]
    create = control.ProjectCreate(name="acme", custody=CustodyKind.CUSTOMER, recipients=recipients)
    made = await operator.call(control.PROJECT_CREATE, create)
    assert made.key_id == ""
    assert made.recipients == recipients
    await operator.call(control.NODE_ADD, control.NodeRef(node="node-1"))
    options = PostgreSQLOptions(include=[shop.name], globals=False)
    add = control.ServiceAdd(project="acme", name="orders", options=options, nodes=["node-1"])
    await operator.call(control.SERVICE_ADD, add)
    await operator.alive("node-1")


@asynccontextmanager
async def everything_heard(platform: Platform) -> AsyncIterator[list[bytes]]:
    """Every message of the coordinator's account, as it was sent: subject, headers, payload."""
    heard: list[bytes] = []

    async def hear(message: Msg) -> None:
        heard.append(b"\n".join([message.subject.encode(), repr(message.headers).encode(), message.data]))

    async with platform.nats.connect_coordinator() as client:
        await client.subscribe(">", cb=hear)
        await client.flush()
        yield heard
        await client.flush()


def key_file(path: Path, *identities: Identity) -> Path:
    """As `age-keygen` writes them, one after another."""
    lines = [f"# created: today\n# public key: {each.recipient}\n{each.reveal()}\n" for each in identities]
    path.write_text("\n".join(lines))
    path.chmod(0o600)
    return path
