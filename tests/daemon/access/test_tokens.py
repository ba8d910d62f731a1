"""Tokens let in those who hold them, for what they are good for, until they end."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import pytest

from contracts import control
from contracts.access import Role, TokenState
from contracts.errors import Denied, NotFound, StrongroomError
from contracts.wire import encode
from daemon.access.caller import Via
from daemon.access.tokens import Tokens
from daemon.catalog.catalog import Catalog
from daemon.catalog.topology import ensure_topology
from daemon.runs.events import EventPublisher
from tests.daemon.events import stored_events
from tests.daemon.running import Operator, SetClock
from tests.servers.nats import NatsServer

START = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def clock() -> SetClock:
    return SetClock(START)


@pytest.fixture
async def catalog(nats_server: NatsServer) -> AsyncIterator[Catalog]:
    async with nats_server.connect_coordinator() as client:
        js = client.jetstream()
        await ensure_topology(js, replicas=1)
        yield Catalog(client, js)


@pytest.fixture
async def tokens(nats_server: NatsServer, catalog: Catalog, clock: SetClock) -> AsyncIterator[Tokens]:
    async with nats_server.connect_coordinator() as client:
        yield Tokens(catalog, EventPublisher(client.jetstream()), clock)


async def test_a_token_lets_its_holder_in_as_what_it_was_made_for(tokens: Tokens) -> None:
    new = await tokens.create(control.TokenCreate(name="ci of acme", role=Role.OPERATOR, actor="jane"))
    caller = await tokens.authenticate(new.token, Via.HTTP)
    assert (caller.actor, caller.role, caller.project, caller.via) == ("token:ci of acme", Role.OPERATOR, "", Via.HTTP)
    assert new.view.created_by == "jane"


def changed(token: str, position: int) -> str:
    other = "A" if token[position] != "A" else "B"
    return token[:position] + other + token[len(token[:position]) + 1 :]


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda _: "", id="nothing"),
        pytest.param(lambda token: token[:-1], id="without its end"),
        pytest.param(lambda token: changed(token, -1), id="another secret"),
        pytest.param(lambda token: changed(token, 20), id="another secret at its beginning"),
        pytest.param(lambda token: token.replace(token[4:14], "a" * 10), id="another id"),
        pytest.param(lambda token: f"{token} ", id="with a space"),
        pytest.param(lambda token: token.upper(), id="in capitals"),
        pytest.param(lambda _: "srm_ä_x", id="other letters"),
    ],
)
async def test_anything_but_the_token_itself_lets_nobody_in(tokens: Tokens, spoil: Callable[[str], str]) -> None:
    new = await tokens.create(control.TokenCreate(name="ci", role=Role.ADMIN))
    with pytest.raises(Denied) as told:
        await tokens.authenticate(spoil(new.token), Via.HTTP)
    assert told.value.code == "access.unauthenticated"


async def test_a_revoked_token_lets_nobody_in(tokens: Tokens) -> None:
    new = await tokens.create(control.TokenCreate(name="ci", role=Role.ADMIN))
    await tokens.revoke(control.TokenRef(id=new.view.id, actor="jane"))
    with pytest.raises(Denied, match="is revoked"):
        await tokens.authenticate(new.token, Via.HTTP)
    with pytest.raises(Denied, match="is revoked"):
        await tokens.caller_of(new.view.id, Via.WEB)


async def test_a_token_ends_when_its_time_is_over(tokens: Tokens, clock: SetClock) -> None:
    new = await tokens.create(control.TokenCreate(name="ci", role=Role.ADMIN, expires_in_days=1))
    clock.advance(hours=23)
    await tokens.authenticate(new.token, Via.HTTP)
    clock.advance(hours=1)
    with pytest.raises(Denied, match="is expired"):
        await tokens.authenticate(new.token, Via.HTTP)
    assert [view.state for view in await tokens.all("")] == [TokenState.EXPIRED]


async def test_a_token_without_an_end_stays(tokens: Tokens, clock: SetClock) -> None:
    new = await tokens.create(control.TokenCreate(name="ci", role=Role.ADMIN, expires_in_days=None))
    clock.advance(days=10_000)
    await tokens.authenticate(new.token, Via.HTTP)


async def test_what_is_kept_of_a_token_lets_nobody_in(tokens: Tokens, catalog: Catalog) -> None:
    new = await tokens.create(control.TokenCreate(name="ci", role=Role.ADMIN))
    (stored,) = await catalog.tokens.select()
    secret = new.token.removeprefix(f"srm_{new.view.id}_")
    assert stored.value.secret_sha256 == hashlib.sha256(secret.encode()).digest()
    assert secret not in encode(stored.value).decode()


async def test_a_project_that_there_is_not_gets_no_token(tokens: Tokens) -> None:
    with pytest.raises(NotFound) as told:
        await tokens.create(control.TokenCreate(name="ci", role=Role.VIEWER, project="nowhere"))
    assert told.value.code == "project.not_found"


async def test_revoking_twice_is_the_same_as_once(tokens: Tokens, clock: SetClock) -> None:
    new = await tokens.create(control.TokenCreate(name="ci", role=Role.ADMIN))
    first = await tokens.revoke(control.TokenRef(id=new.view.id))
    clock.advance(days=1)
    assert await tokens.revoke(control.TokenRef(id=new.view.id)) == first


async def test_a_project_sees_and_ends_its_own_tokens_only(operator: Operator) -> None:
    for name in ("acme", "globex"):
        await operator.call(control.PROJECT_CREATE, control.ProjectCreate(name=name))
    made = {
        name: await operator.call(control.TOKEN_CREATE, control.TokenCreate(name=name, role=Role.ADMIN, project=name))
        for name in ("acme", "globex")
    }
    listed = await operator.call(control.TOKEN_LIST, control.TokenList(project="acme"))
    assert [view.name for view in listed.tokens] == ["acme"]
    foreign = control.TokenRef(id=made["globex"].view.id, project="acme")
    with pytest.raises(NotFound) as told:
        await operator.call(control.TOKEN_REVOKE, foreign)
    assert told.value.code == "token.not_found"


async def test_the_audit_log_has_every_call_that_may_change_something_and_what_came_of_it(operator: Operator) -> None:
    await operator.call(control.PROJECT_CREATE, control.ProjectCreate(name="acme"))
    with pytest.raises(StrongroomError):
        await operator.call(control.PROJECT_CREATE, control.ProjectCreate(name="acme"))
    await operator.call(control.PROJECT_LIST, control.ProjectList())
    delete = control.ProjectDelete(project="acme", actor="jane@laptop")
    await operator.call(control.PROJECT_DELETE, delete)
    calls = await stored_events(operator.client, "access.called")
    told = [(call.facts["verb"], call.facts["outcome"], call.actor) for call in calls if call.facts is not None]
    assert told == [
        ("project.create", "done", "operator"),
        ("project.create", "project.exists", "operator"),
        ("project.delete", "done", "jane@laptop"),
    ]
    assert calls[-1].project == "acme"
