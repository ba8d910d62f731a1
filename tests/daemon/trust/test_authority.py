"""Admitting, renewing and expelling nodes at a real server in operator mode."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from nats.aio.client import Client
from nats.errors import TimeoutError as NatsTimeout
from nats.js.api import RetentionPolicy, StreamConfig
from nats.js.errors import KeyNotFoundError

from contracts.errors import InvalidInput, Unavailable
from contracts.settings import NatsSettings
from contracts.subjects import EVENTS_STREAM, REPORTS_STREAM, agent_inbox, guest_inbox
from contracts.wire import utc_now
from daemon.embedded.nkey_files import ensure_user_seed
from daemon.embedded.private_files import write_private
from daemon.trust import claims, jwt
from daemon.trust.authority import Authority, GuestCredentials, KnownNode, NodeCredentials
from daemon.trust.book import ensure_trust, read_book, read_keys
from daemon.trust.keys import KeyKind, KeyPair
from daemon.trust.rights import GUEST_PAYLOAD_BYTES
from daemon.trust.system import system_account
from tests.servers.directories import server_directory
from tests.servers.nats import NatsFactory, NatsServer, jwt_beside, settle
from tests.servers.waiting import eventually


@pytest.fixture
def server(nats_factory: NatsFactory) -> NatsServer:
    return nats_factory(trust=True)


def directory(server: NatsServer) -> Path:
    assert server.trust_directory is not None
    return server.trust_directory


class Node:
    """An agent's own files: its seed, and what the coordinator gave it."""

    def __init__(self, server: NatsServer, name: str) -> None:
        self.name = name
        self.seed = server.directory / f"{name}.nk"
        self.public_key = ensure_user_seed(self.seed)

    def receives(self, credentials: NodeCredentials) -> None:
        jwt_beside(self.seed).write_text(credentials.user_jwt)


@asynccontextmanager
async def agent(server: NatsServer, node: Node, errors: list[str] | None = None) -> AsyncIterator[Client]:
    async with server.connect(node.seed, inbox=agent_inbox(node.name), errors=errors, reconnect=False) as client:
        yield client


async def admitted(server: NatsServer, name: str, valid_for: timedelta | None = None) -> tuple[Node, NodeCredentials]:
    node = Node(server, name)
    credentials = await server.authority.admit(name, node.public_key, now=utc_now(), valid_for=valid_for)
    node.receives(credentials)
    return node, credentials


async def make_reports(core: Client) -> None:
    subjects = ["strongroom.agent.*.report"]
    await core.jetstream().add_stream(
        StreamConfig(name=REPORTS_STREAM, subjects=subjects, retention=RetentionPolicy.WORK_QUEUE)
    )


async def test_an_admitted_node_works_at_once_and_no_server_file_changes(server: NatsServer) -> None:
    config = server.directory / "nats.conf"
    before = config.read_bytes(), config.stat().st_mtime_ns
    async with server.connect_coordinator() as core:
        await make_reports(core)
        node, credentials = await admitted(server, "db-1")
        assert credentials.expires_at is None
        assert credentials.account.startswith("A")
        async with agent(server, node) as client:
            ack = await client.jetstream().publish("strongroom.agent.db-1.report", b"{}")
            assert ack.stream == REPORTS_STREAM
    assert (config.read_bytes(), config.stat().st_mtime_ns) == before


async def test_credentials_open_nothing_without_the_nodes_own_seed(server: NatsServer) -> None:
    _, credentials = await admitted(server, "db-1")
    thief = Node(server, "thief")
    thief.receives(credentials)
    assert not server.admits(thief.seed)


async def test_an_expelled_node_is_cut_off_at_once_and_for_good(server: NatsServer) -> None:
    node, credentials = await admitted(server, "db-1")
    other, _ = await admitted(server, "db-2")
    async with agent(server, node) as client, agent(server, other) as kept:
        await server.authority.expel("db-1", credentials.account, now=utc_now())
        await eventually(lambda: client.is_closed)
        assert not server.admits(node.seed)
        # Neither what is signed for it later, nor a restart, brings it back.
        renewed = server.authority.renew(
            credentials.account, "db-1", node.public_key, now=utc_now() + timedelta(hours=1), valid_for=None
        )
        node.receives(renewed)
        assert not server.admits(node.seed)
        assert kept.is_connected
    await server.authority.expel("db-1", credentials.account, now=utc_now())
    server.stop()
    server.start()
    assert not server.admits(node.seed)
    assert server.admits(other.seed)


async def test_a_node_that_was_expelled_may_be_admitted_again(server: NatsServer) -> None:
    node, first = await admitted(server, "db-1")
    await server.authority.expel("db-1", first.account, now=utc_now())
    node, second = await admitted(server, "db-1")
    assert second.account != first.account
    assert server.admits(node.seed)


async def test_an_account_that_the_servers_never_knew_can_be_expelled(server: NatsServer) -> None:
    account = KeyPair.generate(KeyKind.ACCOUNT).public
    await server.authority.expel("db-1", account, now=utc_now())
    node = Node(server, "db-1")
    node.receives(server.authority.renew(account, "db-1", node.public_key, now=utc_now(), valid_for=None))
    assert not server.admits(node.seed)


async def test_credentials_end_and_are_renewed_without_telling_the_server(server: NatsServer) -> None:
    node, credentials = await admitted(server, "db-1", timedelta(seconds=3))
    assert credentials.expires_at is not None
    async with agent(server, node) as client:
        renewed = server.authority.renew(
            credentials.account, "db-1", node.public_key, now=utc_now(), valid_for=timedelta(hours=1)
        )
        await eventually(lambda: client.is_closed)
        assert utc_now() >= credentials.expires_at
        await eventually(lambda: not server.admits(node.seed))  # to the server, the last second still counts
        node.receives(renewed)
        assert server.admits(node.seed)


async def test_a_restarted_server_still_knows_its_nodes(server: NatsServer) -> None:
    node, _ = await admitted(server, "db-1")
    server.kill()
    server.start()
    assert server.admits(node.seed)


def forget_accounts(server: NatsServer) -> None:
    """As if the resolver's directory had been lost."""
    server.stop()
    for file in server.resolver_directory.iterdir():
        file.unlink()
    server.start()


async def test_accounts_that_the_servers_lost_are_given_to_them_again(server: NatsServer) -> None:
    node, credentials = await admitted(server, "db-1")
    expelled, gone = await admitted(server, "db-2")
    await server.authority.expel("db-2", gone.account, now=utc_now())
    forget_accounts(server)
    assert not server.admits(node.seed)
    known = [KnownNode(node="db-1", account=credentials.account, public_key=node.public_key)]
    await server.authority.reconcile(known, now=utc_now())
    assert server.admits(node.seed)
    assert not server.admits(expelled.seed)


async def lookup(server: NatsServer, account: str) -> str | None:
    keys = read_keys(directory(server))
    async with system_account(NatsSettings(url=server.url, nkey_file=""), keys.system, keys.system_jwt) as servers:
        return await servers.lookup(account)


async def test_reconciling_changes_nothing_where_nothing_is_missing(server: NatsServer) -> None:
    node, credentials = await admitted(server, "db-1")
    before = await lookup(server, credentials.account)
    known = [KnownNode(node="db-1", account=credentials.account, public_key=node.public_key)]
    async with agent(server, node) as client:
        await server.authority.reconcile(known, now=utc_now() + timedelta(days=1))
        await settle(client)
        assert client.is_connected
    assert await lookup(server, credentials.account) == before


async def test_an_account_that_nobody_noted_down_is_closed_after_an_hour(server: NatsServer) -> None:
    node, _ = await admitted(server, "db-1")
    await server.authority.reconcile([], now=utc_now())
    assert server.admits(node.seed)  # whoever admitted it may be about to note it down
    await server.authority.reconcile([], now=utc_now() + timedelta(hours=2))
    assert not server.admits(node.seed)


async def test_the_accounts_that_are_always_there_get_the_rights_of_this_version(server: NatsServer) -> None:
    """A trust directory that an older version made has other claims in its JWTs."""
    book, keys = read_book(directory(server)), read_keys(directory(server))
    old = {**claims.core_claims(book.core.signing_key), "exports": []}
    text = jwt.encode(
        keys.operator, type_="account", subject=book.core.account, name="CORE", claims=old, issued_at=utc_now()
    )
    async with system_account(NatsSettings(url=server.url, nkey_file=""), keys.system, keys.system_jwt) as servers:
        await servers.update(text)
    node, credentials = await admitted(server, "db-1")
    known = [KnownNode(node="db-1", account=credentials.account, public_key=node.public_key)]
    async with server.connect_coordinator() as core:
        await make_reports(core)
        await server.authority.reconcile(known, now=utc_now() + timedelta(seconds=2))
        async with agent(server, node) as client:
            ack = await client.jetstream().publish("strongroom.agent.db-1.report", b"{}")
            assert ack.stream == REPORTS_STREAM


async def test_a_server_that_does_not_answer_is_unavailable(server: NatsServer) -> None:
    authority = server.authority
    node, credentials = await admitted(server, "db-1")
    server.stop()
    now = utc_now()
    with pytest.raises(Unavailable) as refused:
        await authority.admit("db-2", node.public_key, now=now, valid_for=None)
    assert refused.value.code == "bus.unavailable"
    with pytest.raises(Unavailable):
        await authority.expel("db-1", credentials.account, now=now)
    with pytest.raises(Unavailable):
        await authority.reconcile([], now=now)


async def test_bad_names_and_keys_are_refused_before_anything_is_said(server: NatsServer) -> None:
    authority, now = server.authority, utc_now()
    with pytest.raises(InvalidInput) as refused:
        await authority.admit("No Slug", Node(server, "x").public_key, now=now, valid_for=None)
    assert refused.value.code == "input.invalid"
    for key in ("", "UABC", KeyPair.generate(KeyKind.ACCOUNT).public):
        with pytest.raises(InvalidInput) as refused:
            await authority.admit("db-1", key, now=now, valid_for=None)
        assert (refused.value.code, refused.value.field) == ("key.invalid", "public_key")
    core = read_book(directory(server)).core.account
    with pytest.raises(InvalidInput):
        await authority.expel("db-1", core, now=now)
    async with server.connect_coordinator() as client:
        assert client.is_connected


def test_a_directory_without_its_keys_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as refused:
        Authority.open(tmp_path, NatsSettings(nkey_file=""))
    assert refused.value.code == "config.invalid"
    assert str(tmp_path / "trust.json") in str(refused.value)


def test_no_seed_shows_in_what_is_handed_out(tmp_path: Path) -> None:
    pair = KeyPair.generate(KeyKind.USER)
    assert pair.reveal() not in repr(GuestCredentials(seed=pair.reveal(), user_jwt="x"))


@asynccontextmanager
async def guest(server: NatsServer, until: datetime, errors: list[str]) -> AsyncIterator[tuple[Client, str]]:
    """A guest's connection, and its inbox."""
    credentials = server.authority.guest(now=utc_now(), until=until)
    user = KeyPair(credentials.seed, KeyKind.USER)
    seed = server.directory / f"guest-{user.public}.nk"
    write_private(seed, credentials.seed)
    jwt_beside(seed).write_text(credentials.user_jwt)
    inbox = guest_inbox(user.public)
    async with server.connect(seed, inbox=inbox, errors=errors, reconnect=False) as client:
        yield client, inbox


async def test_a_guest_is_answered_by_the_coordinator_and_reaches_nothing_else(server: NatsServer) -> None:
    errors: list[str] = []
    until = utc_now() + timedelta(minutes=5)
    async with (
        server.connect_coordinator() as core,
        guest(server, until, errors) as (client, _),
        guest(server, until, errors) as (other, others_inbox),
    ):
        await make_reports(core)

        async def answer(message: object) -> None:
            await message.respond(b"welcome")  # type: ignore[attr-defined]

        await core.subscribe("strongroom.>", cb=answer)
        await settle(core)
        assert (await client.request("strongroom.enrol.join", b"{}", timeout=5)).data == b"welcome"
        assert errors == []
        for subject in (
            "strongroom.agent.db-1.report",
            "strongroom.agent.db-1.ask",
            "strongroom.control.node.list",
            "strongroom.event.x",
            "$JS.API.INFO",
            "$JS.API.STREAM.NAMES",
            "$SRV.PING",
            "$SYS.REQ.SERVER.PING",
        ):
            with pytest.raises(NatsTimeout):
                await client.request(subject, b"{}", timeout=0.3)
            assert f'"{subject.lower()}"' in errors.pop().lower()
        for subject in (f"{others_inbox}.>", "_INBOX.>", "strongroom.>", ">"):
            await client.subscribe(subject)
            await settle(client)
            assert "permissions violation" in errors.pop().lower()
        await settle(other)


async def test_a_guest_that_sends_a_large_message_is_cut_off(server: NatsServer) -> None:
    errors: list[str] = []
    async with (
        server.connect_coordinator() as core,
        guest(server, utc_now() + timedelta(minutes=5), errors) as (client, _),
    ):
        heard = await core.subscribe("strongroom.enrol.>")
        await settle(core)
        await client.publish("strongroom.enrol.join", b"x" * (GUEST_PAYLOAD_BYTES + 1))
        await eventually(lambda: client.is_closed)
        assert heard.pending_msgs == 0


async def test_a_guest_cannot_stay_beyond_its_time(server: NatsServer) -> None:
    errors: list[str] = []
    async with guest(server, utc_now() + timedelta(seconds=3), errors) as (client, _):
        await eventually(lambda: client.is_closed)


async def test_a_foreign_account_of_the_same_operator_cannot_import_from_core(server: NatsServer) -> None:
    """Another tenant's account is signed by the same operator, with an activation token that it signed itself."""
    keys, core = read_keys(directory(server)), read_book(directory(server)).core.account
    async with server.connect_coordinator() as client:
        await make_reports(client)
        for signer in (None, "own", "stolen"):
            own = KeyPair.generate(KeyKind.ACCOUNT)
            account = KeyPair.generate(KeyKind.ACCOUNT)
            exporter = claims.Exporter(account=core, signer=own)
            if signer == "stolen":  # a token that CORE signed for the account of a node
                victim = KeyPair.generate(KeyKind.ACCOUNT).public
                genuine = claims.Exporter(account=core, signer=keys.core)
                content = claims.node_claims("db-1", victim, own.public, genuine, utc_now())
            else:
                content = claims.node_claims("db-1", account.public, own.public, exporter, utc_now())
            if signer is None:
                for entry in content["imports"]:
                    del entry["token"]
            text = jwt.encode(
                keys.operator, type_="account", subject=account.public, name="AG_db-1", claims=content, issued_at=utc_now()
            )
            async with system_account(NatsSettings(url=server.url, nkey_file=""), keys.system, keys.system_jwt) as servers:
                try:
                    await servers.update(text)
                except Unavailable:
                    continue  # refused before it could be tried
            intruder = Node(server, f"intruder-{signer}".lower())
            jwt_beside(intruder.seed).write_text(
                jwt.encode(
                    own,
                    type_="user",
                    subject=intruder.public_key,
                    name="db-1",
                    claims=claims.scoped_user_claims(account.public),
                    issued_at=utc_now(),
                )
            )
            if not server.admits(intruder.seed):
                continue
            async with server.connect(intruder.seed, inbox=agent_inbox("db-1"), reconnect=False) as foreign:
                await foreign.publish("strongroom.agent.db-1.report", b"forged")
                await settle(foreign)
        assert (await client.jetstream().stream_info(REPORTS_STREAM)).state.messages == 0
        node, _ = await admitted(server, "db-1")
        async with agent(server, node) as own_agent:
            await own_agent.jetstream().publish("strongroom.agent.db-1.report", b"{}")


async def test_the_key_that_signs_agents_signs_nobody_with_more_rights(server: NatsServer) -> None:
    """The rights are in the account's JWT, not in the user's."""
    _, credentials = await admitted(server, "db-1")
    agents = read_keys(directory(server)).agents
    intruder = Node(server, "intruder")
    wide = claims.user_claims(credentials.account, publish=[">"], subscribe=[">"])
    for content in (wide, claims.user_claims(read_book(directory(server)).core.account)):
        text = jwt.encode(agents, type_="user", subject=intruder.public_key, name="x", claims=content, issued_at=utc_now())
        jwt_beside(intruder.seed).write_text(text)
        assert not server.admits(intruder.seed)


async def test_an_operator_reads_events_without_a_consumer_and_reaches_no_record(server: NatsServer) -> None:
    errors: list[str] = []
    async with server.connect_coordinator() as core, server.connect_operator(errors) as operator:
        await core.jetstream().add_stream(
            StreamConfig(name=EVENTS_STREAM, subjects=["strongroom.event.>"], allow_direct=True)
        )
        records = await core.jetstream().create_key_value(bucket="strongroom-backups")
        live = await operator.subscribe("strongroom.event.>")
        await settle(operator)
        await core.jetstream().publish("strongroom.event.backup.completed.acme.orders", b"{}")
        assert (await live.next_msg(5)).subject == "strongroom.event.backup.completed.acme.orders"
        info = await operator.request(f"$JS.API.STREAM.INFO.{EVENTS_STREAM}", b"", timeout=5)
        assert json.loads(info.data)["state"]["messages"] == 1
        inbox = operator.new_inbox()
        batch = await operator.subscribe(inbox)
        await operator.publish(f"$JS.API.DIRECT.GET.{EVENTS_STREAM}", b'{"seq": 1, "batch": 10}', reply=inbox)
        first, end = await batch.next_msg(5), await batch.next_msg(5)
        assert (first.data, (end.headers or {}).get("Status")) == (b"{}", "204")
        assert errors == []
        for subject in (
            f"$JS.API.CONSUMER.CREATE.{EVENTS_STREAM}",
            f"$JS.API.STREAM.DELETE.{EVENTS_STREAM}",
            "$JS.API.DIRECT.GET.KV_strongroom-backups",
            "strongroom.agent.db-1.report",
        ):
            with pytest.raises(NatsTimeout):
                await operator.request(subject, b'{"seq": 1}', timeout=0.3)
        await operator.publish("$KV.strongroom-backups.a", b"forged")
        # The reply subject of a question is no way in either.
        await operator.publish(f"$JS.API.STREAM.INFO.{EVENTS_STREAM}", b"", reply="$KV.strongroom-backups.a")
        await settle(operator)
        with pytest.raises(KeyNotFoundError):
            await records.get("a")
    assert len(errors) == 5


def test_a_half_made_trust_directory_is_made_whole(server: NatsServer) -> None:
    with server_directory("trust") as place:
        ensure_trust(place / "t", now=utc_now())
        (place / "t" / "trust.json").unlink()
        book = ensure_trust(place / "t", now=utc_now())
        assert ensure_trust(place / "t", now=utc_now()) == book
        assert all(path.stat().st_mode & 0o077 == 0 for path in (place / "t").rglob("*"))
