"""A host becomes a node, on a real server in operator mode."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from agents.agent import run_agent
from agents.credentials import lifetime, public_key
from agents.joining import Places, join, usual_places
from agents.settings import load_agent_settings
from contracts.bus import connect
from contracts.enrolment import JoinToken
from contracts.errors import Conflict, Denied, InvalidInput, StrongroomError
from contracts.subjects import agent_inbox
from contracts.wire import utc_now
from daemon.catalog.catalog import Catalog
from daemon.catalog.topology import ensure_topology
from daemon.enrolment.enrolment import Enrolment
from daemon.enrolment.invitations import Invitations
from daemon.enrolment.proofs import Proofs
from daemon.listening import Listener
from daemon.node_registry import NodeRegistry
from daemon.nodes import Nodes
from daemon.runs.events import EventPublisher
from daemon.trust.settings import TrustSettings
from tests.servers.nats import NatsFactory, NatsServer
from tests.servers.waiting import eventually


class Desk:
    """The coordinator's side of enrolment, with all that it needs and nothing more."""

    def __init__(self, enrolment: Enrolment, invitations: Invitations, catalog: Catalog) -> None:
        self.enrolment, self.invitations, self.catalog = enrolment, invitations, catalog

    async def token(self, node: str = "db-2") -> JoinToken:
        return JoinToken.parse((await self.enrolment.invite(node, [], timedelta(hours=1), actor="eve")).token)


@pytest.fixture
def server(nats_factory: NatsFactory) -> NatsServer:
    return nats_factory(trust=True)


class _Now:
    """What `NodeRegistry` takes of `Runs`."""

    def __init__(self, catalog: Catalog, events: EventPublisher) -> None:
        self.catalog, self.events, self.now = catalog, events, utc_now


@pytest.fixture
async def desk(server: NatsServer, request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    lasting = getattr(request, "param", timedelta(days=30))
    client = await connect(server.settings(server.coordinator_seed), name="test", inbox_prefix="_INBOX_coordinator")
    js = client.jetstream(timeout=5)
    await ensure_topology(js, replicas=1)
    catalog, events = Catalog(client, js), EventPublisher(js)
    trust = TrustSettings(directory=str(server.trust_directory))
    invitations = Invitations(catalog, server.authority, server.settings(server.coordinator_seed), trust, utc_now)
    registry = NodeRegistry(_Now(catalog, events), js, ack_wait_s=30)  # type: ignore[arg-type]
    enrolment = Enrolment(
        catalog,
        registry,
        invitations,
        Proofs(b"k" * 32),
        server.authority,
        events,
        credentials=lasting,
        now=utc_now,
    )
    listener = Listener(client)
    await enrolment.listen(listener)
    await listener.listen("strongroom.agent.*.heartbeat", Nodes(catalog, events).handle)
    yield Desk(enrolment, invitations, catalog)
    await listener.close()
    await client.close()


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return usual_places({}, is_root=False, config=str(tmp_path / "host" / "agent.toml"))


async def test_a_host_that_joins_gets_credentials_and_settings_that_work_at_once(
    server: NatsServer, desk: Desk, places: Places
) -> None:
    admission = await join(await desk.token(), places, replace=False, version="1")
    assert admission.node == "db-2"
    assert server.admits(places.seed)
    record = (await desk.catalog.need_node("db-2")).value
    assert record.public_key == public_key(places.seed.read_text().strip())
    assert record.account
    assert record.recipient.startswith("age1")
    assert record.enrolled_at
    assert record.credentials_until == lifetime(places.jwt.read_text())[1]
    for file in (places.config, places.seed, places.jwt, places.identity):
        assert file.stat().st_mode & 0o777 == 0o600, file
    assert not places.pending("x").parent.joinpath("joining").exists()


async def test_the_agent_runs_on_what_join_wrote_and_its_heartbeat_arrives(desk: Desk, places: Places) -> None:
    await join(await desk.token(), places, replace=False, version="1")
    stop = asyncio.Event()
    agent = asyncio.create_task(run_agent(load_agent_settings(places.config, {}), stop))
    try:

        async def is_alive() -> bool:
            return await desk.catalog.alive.get("db-2") is not None

        await eventually(is_alive)
    finally:
        stop.set()
        await agent


async def test_a_lost_answer_is_repaired_by_the_same_command(server: NatsServer, desk: Desk, places: Places) -> None:
    token = await desk.token()
    await join(token, places, replace=False, version="1")
    first = (await desk.catalog.need_node("db-2")).value
    # As if the answer had been lost: the keys are pending, nothing else is there.
    pending = places.pending(token.id)
    pending.mkdir()
    places.seed.rename(pending / "node.nk")
    places.identity.rename(pending / "identity.txt")
    places.config.unlink()
    await join(token, places, replace=False, version="1")
    again = (await desk.catalog.need_node("db-2")).value
    assert (again.account, again.public_key) == (first.account, first.public_key)
    assert server.admits(places.seed)


async def test_a_used_token_is_good_for_no_other_host(
    server: NatsServer, desk: Desk, places: Places, tmp_path: Path
) -> None:
    token = await desk.token()
    await join(token, places, replace=False, version="1")
    thief = usual_places({}, is_root=False, config=str(tmp_path / "thief" / "agent.toml"))
    with pytest.raises(Denied) as refused:
        await join(token, thief, replace=False, version="1")
    assert refused.value.code == "join.refused"
    assert server.admits(places.seed)


async def test_a_token_with_a_wrong_secret_lets_nobody_in(desk: Desk, places: Places) -> None:
    token = msgspec.structs.replace(await desk.token(), secret="guessed")
    with pytest.raises(Denied) as refused:
        await join(token, places, replace=False, version="1")
    assert refused.value.code == "join.refused"
    assert not places.config.exists()


async def test_a_revoked_invitation_lets_nobody_in(desk: Desk, places: Places) -> None:
    token = await desk.token()
    await desk.invitations.revoke(token.id, actor="eve")
    with pytest.raises(Denied) as refused:
        await join(token, places, replace=False, version="1")
    assert refused.value.code == "join.expired"


async def test_an_agent_that_is_there_is_replaced_only_when_told_so(server: NatsServer, desk: Desk, places: Places) -> None:
    await join(await desk.token(), places, replace=False, version="1")
    before = (await desk.catalog.need_node("db-2")).value
    with pytest.raises(Conflict) as refused:
        await join(await desk.token(), places, replace=False, version="1")
    assert refused.value.code == "join.exists"
    await join(await desk.token(), places, replace=True, version="1")
    after = (await desk.catalog.need_node("db-2")).value
    assert after.recipient != before.recipient
    assert after.account != before.account
    assert server.admits(places.seed)


async def test_a_revoked_node_is_cut_off_at_once_and_stays_out(server: NatsServer, desk: Desk, places: Places) -> None:
    await join(await desk.token(), places, replace=False, version="1")
    settings = load_agent_settings(places.config, {})
    cut = asyncio.Event()

    async def closed() -> None:
        cut.set()

    client = await connect(settings.nats, name="agent", inbox_prefix=agent_inbox("db-2"), wait=False, closed=closed)
    record = await desk.enrolment.revoke("db-2", actor="eve")
    assert (record.account, record.recipient) == ("", "")
    async with asyncio.timeout(10):
        await cut.wait()
    await client.close()
    assert not server.admits(places.seed)
    await desk.enrolment.revoke("db-2", actor="eve")


@pytest.mark.parametrize("desk", [timedelta(seconds=6)], indirect=True)
async def test_an_agent_renews_its_credentials_and_stays_connected_past_their_end(desk: Desk, places: Places) -> None:
    await join(await desk.token(), places, replace=False, version="1")
    first = lifetime(places.jwt.read_text())[1]
    assert first is not None
    stop = asyncio.Event()
    agent = asyncio.create_task(run_agent(load_agent_settings(places.config, {}), stop))
    try:

        async def outlived() -> bool:
            alive = await desk.catalog.alive.get("db-2")
            assert not agent.done()
            return alive is not None and alive.value.seen_at > first + timedelta(seconds=2)

        await eventually(outlived, timeout_s=30)
    finally:
        stop.set()
        await agent
    assert lifetime(places.jwt.read_text())[1] != first


async def test_an_agent_that_was_off_too_long_says_what_to_do(desk: Desk, places: Places) -> None:
    await join(await desk.token(), places, replace=False, version="1")
    desk.enrolment._valid_for = timedelta(seconds=-5)
    ended = await desk.enrolment.admit(
        "db-2",
        public_key=public_key(places.seed.read_text().strip()),
        recipient=(await desk.catalog.need_node("db-2")).value.recipient,
    )
    places.jwt.write_text(ended.user_jwt)
    with pytest.raises(StrongroomError, match="join --replace"):
        await run_agent(load_agent_settings(places.config, {}), asyncio.Event())


@pytest.mark.parametrize("cut", [1, 8, 40])
async def test_a_token_that_was_cut_off_is_told_apart_from_a_wrong_one(desk: Desk, cut: int) -> None:
    text = (await desk.token()).reveal()
    assert JoinToken.parse(f" {text}\n").node == "db-2"
    with pytest.raises(InvalidInput, match="cut off"):
        JoinToken.parse(text[:-cut])
    with pytest.raises(InvalidInput, match="no join token"):
        JoinToken.parse("srm_aaaaaaaaaa_x")
