"""The command over HTTP: logged in with a token, it does what it does over NATS, and says what is wrong on the way."""

from __future__ import annotations

import asyncio
import stat
import tomllib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from contracts import control
from contracts.access import Role
from contracts.errors import ErrorInfo
from contracts.records import RunKind
from contracts.reports import LogLine
from contracts.subjects import LOGS_STREAM, agent_log_subject
from contracts.wire import encode, utc_now
from daemon.embedded.ports import free_ports
from daemon.http.settings import HttpSettings
from daemon.settings import CoordinatorSettings
from tests.daemon.cli.calling import Ended, Strongroom, Zygote
from tests.daemon.http.reading import consumers, make_token
from tests.daemon.running import Operator, running_coordinator
from tests.daemon.scene import Scene, scene
from tests.servers.nats import NatsServer
from tests.servers.waiting import eventually


@dataclass(frozen=True)
class Place:
    """A coordinator with a service that a robot backs up, and the command of somebody who has a token for it alone."""

    scene: Scene
    strongroom: Strongroom
    token: control.NewToken

    @property
    def url(self) -> str:
        return self.scene.url

    @property
    def profiles(self) -> Path:
        return self.strongroom.home / ".config/strongroom/profiles.toml"

    async def __call__(self, *argv: str, **env: str) -> Ended:
        return await self.strongroom.beside(*argv, **env)

    def token_file(self, token: control.NewToken, name: str = "token") -> str:
        path = self.strongroom.home / name
        path.write_text(f"{token.token}\n")
        return str(path)

    async def logged_in(self, token: control.NewToken | None = None, *argv: str) -> None:
        file = self.token_file(token or self.token)
        (await self("login", self.url, "--token-file", file, *argv)).ok()


@pytest.fixture
async def place(
    tmp_path: Path, settings: CoordinatorSettings, nats_server: NatsServer, zygote: Zygote
) -> AsyncIterator[Place]:
    home = tmp_path / "home"
    home.mkdir()
    listening = msgspec.structs.replace(settings, http=HttpSettings(port=0))
    async with scene(listening, nats_server, start=utc_now()) as made:
        await made.add_service("orders")
        token = await make_token(made.operator, Role.ADMIN, name="jane")
        yield Place(made, Strongroom(zygote, home, None), token)


async def test_a_login_is_kept_for_its_owner_alone_and_used_from_then_on(place: Place) -> None:
    ended = (await place("login", place.url, "--token-file", place.token_file(place.token))).ok()
    assert "token:jane" in ended.out
    assert place.token.token not in ended.out + ended.err
    assert stat.S_IMODE(place.profiles.stat().st_mode) == 0o600
    kept = tomllib.loads(place.profiles.read_text())
    assert kept == {"current": "default", "profiles": {"default": {"url": place.url, "token": place.token.token}}}
    document = (await place("whoami", "--json")).ok().document
    assert (document["actor"], document["role"]) == ("token:jane", "admin")
    assert document["coordinator"] == f"{place.url} (profile default)"
    assert (await place("project", "list", "--json")).ok().document["projects"][0]["name"] == "acme"
    assert "Logged out" in (await place("logout")).ok().out
    assert place.token.token not in place.profiles.read_text()
    (await place("whoami")).failed(2, "config.invalid")


async def test_a_token_is_asked_for_without_showing_it(place: Place) -> None:
    on_terminal = place.strongroom.on_terminal
    ended = await asyncio.to_thread(on_terminal, "login", place.url, types=f"{place.token.token}\n", after="Token:")
    assert ended.status == 0, ended.words
    assert "token:jane" in ended.words
    assert place.token.token not in ended.out
    (await place("whoami")).ok()


async def test_a_token_that_is_not_let_in_is_not_kept(place: Place) -> None:
    wrong = place.strongroom.home / "wrong"
    wrong.write_text("srm_aaaaaaaaaa_" + "x" * 43)
    ended = (await place("login", place.url, "--token-file", str(wrong))).failed(7, "access.unauthenticated")
    assert "x" * 43 not in ended.out + ended.err
    assert not place.profiles.exists()
    wrong.write_text("two words")
    (await place("login", place.url, "--token-file", str(wrong))).failed(2, "input.invalid")
    (await place("login", place.url, "--token-file", "-")).failed(2, "standard input")
    # A token is never taken from the command line, where everybody on the machine sees it.
    assert "Usage" in (await place("login", "--help")).ok().out
    assert "--token " not in (await place("login", "--help")).out


async def test_one_of_several_coordinators_is_chosen_by_its_name(place: Place) -> None:
    viewer = await make_token(place.scene.operator, Role.VIEWER, name="looker")
    await place.logged_in()
    await place.logged_in(viewer, "--profile", "eyes")
    listed = (await place("profile", "list", "--json")).ok().document["profiles"]
    assert [(each["name"], each["is_current"]) for each in listed] == [("default", False), ("eyes", True)]
    assert place.token.token not in (await place("profile", "list")).ok().out

    async def actor(*argv: str, **env: str) -> str:
        answer: str = (await place("whoami", "--json", *argv, **env)).ok().document["actor"]
        return answer

    assert await actor() == "token:looker"
    assert await actor("--profile", "default") == "token:jane"
    assert await actor(STRONGROOM_PROFILE="default") == "token:jane"
    (await place("profile", "use", "default")).ok()
    assert await actor() == "token:jane"
    assert await actor(STRONGROOM_URL=place.url, STRONGROOM_TOKEN=viewer.token) == "token:looker"
    file = place.token_file(viewer, "other")
    assert await actor(STRONGROOM_URL=place.url, STRONGROOM_TOKEN_FILE=file) == "token:looker"
    (await place("whoami", "--profile", "nobody")).failed(3, "profile.not_found")
    (await place("whoami", STRONGROOM_URL=place.url)).failed(2, "STRONGROOM_TOKEN")
    (await place("profile", "use", "--none")).ok()
    (await place("whoami")).failed(2, "config.invalid")


async def test_a_file_with_tokens_that_others_may_read_is_not_used(place: Place) -> None:
    await place.logged_in()
    place.profiles.chmod(0o644)
    assert "chmod 600" in (await place("whoami")).failed(2, "config.invalid").err


async def test_a_token_does_not_go_to_another_machine_unencrypted(place: Place) -> None:
    file = place.token_file(place.token)
    argv = ("login", "http://backups.invalid:8420", "--token-file", file)
    assert "https://" in (await place(*argv)).failed(2, "input.invalid").err
    (await place(*argv, "--plain-http")).failed(6, "http.unavailable")


async def test_a_backup_is_made_and_waited_for_and_its_lines_are_read(place: Place) -> None:
    await place.logged_in()
    place.scene.robot.may_finish.clear()
    creating = asyncio.create_task(place("backup", "create", "acme/orders", "--json"))
    await eventually(lambda: place.scene.robot.taken, 20)
    await _log(place.scene, place.scene.robot.taken[0].run_id)
    place.scene.robot.may_finish.set()
    created = (await creating).ok().document
    assert (created["state"], created["actor"]) == ("completed", "token:jane")
    events = (await place("events", "--since", "1h", "--type", "backup", "--output", "ndjson")).ok().out
    types = [msgspec.json.decode(line)["type"] for line in events.splitlines()]
    assert types == ["backup.requested", "backup.started", "backup.completed"]
    assert "completed" in (await place("backup", "list", "acme/orders")).ok().out
    logged = (await place("logs", f"acme/orders/{created['id']}", "--output", "ndjson")).ok().out
    assert [msgspec.json.decode(line)["event"] for line in logged.splitlines()] == ["artifact.closed"]
    place.scene.robot.failure = lambda _: ErrorInfo(code="dump.failed", message="the tool gave up", detail="its words")
    failed = (await place("backup", "create", "acme/orders")).failed(5, "dump.failed")
    assert "its words" in failed.err


async def _log(made: Scene, run_id: str) -> None:
    """A log line as the coordinator passes it on, stored."""
    line = LogLine(
        run=RunKind.BACKUP,
        project="acme",
        service="orders",
        run_id=run_id,
        attempt=1,
        at=utc_now(),
        level="info",
        event="artifact.closed",
    )
    await made.robot.client.publish(agent_log_subject(made.robot.node), encode(line))
    js = made.operator.client.jetstream(timeout=5)

    async def is_stored() -> bool:
        return (await js.stream_info(LOGS_STREAM)).state.messages > 0

    await eventually(is_stored)


async def test_errors_of_the_coordinator_are_the_same_as_over_nats(place: Place) -> None:
    await place.logged_in()
    assert "project list" in (await place("project", "show", "nobody")).failed(3, "project.not_found").err
    error = (await place("service", "show", "acme/nothing", "--json")).failed(3, "service.not_found").error
    assert error["field"] == "service"
    (await place("project", "create", "acme", "--json")).failed(4, "project.exists")
    viewer = await make_token(place.scene.operator, Role.VIEWER, project="acme")
    await place.logged_in(viewer, "--profile", "eyes")
    assert "whoami" in (await place("backup", "create", "acme/orders")).failed(7, "access.forbidden").err
    await place.scene.operator.call(control.TOKEN_REVOKE, control.TokenRef(id=viewer.view.id))
    assert "login" in (await place("project", "list")).failed(7, "access.unauthenticated").err


async def test_following_outlives_a_restart_of_the_coordinator(place: Place, settings: CoordinatorSettings) -> None:
    """The one that the commands speak to is stopped in the midst of a backup, and started again on its port."""
    robot, (port,) = place.scene.robot, free_ports(1)
    second = msgspec.structs.replace(settings, http=HttpSettings(port=port))
    environ = {"STRONGROOM_URL": f"http://127.0.0.1:{port}", "STRONGROOM_TOKEN": place.token.token}
    follow = ("events", "--follow", "--type", "backup", "--output", "ndjson")
    robot.may_finish.clear()
    async with AsyncExitStack() as first_life:
        await first_life.enter_async_context(running_coordinator(second))
        with place.strongroom.started(*follow, **environ) as following:
            creating = asyncio.create_task(place("backup", "create", "acme/orders", "--json", **environ))
            await eventually(lambda: "backup.started" in following.out)
            await eventually(lambda: _are_read(place.scene.operator, 2))
            await first_life.aclose()
            robot.may_finish.set()
            async with running_coordinator(second):
                assert (await creating).ok().document["state"] == "completed"
                await eventually(lambda: "backup.completed" in following.out, 20)
                assert following.out.count('"type":"backup.started"') == 1
                following.interrupt()
                (await asyncio.to_thread(following.wait)).failed(130)


async def _are_read(operator: Operator, streams: int) -> bool:
    return await consumers(operator) >= streams


async def test_nobody_at_the_address_is_told_in_words(place: Place) -> None:
    (port,) = free_ports(1)
    environ = {"STRONGROOM_URL": f"http://127.0.0.1:{port}", "STRONGROOM_TOKEN": place.token.token}
    assert "connection refused" in (await place("project", "list", **environ)).failed(6, "http.unavailable").err


async def test_something_else_at_the_address_is_told_in_words(place: Place) -> None:
    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<h1>It works!</h1>", content_type="text/html")

    async def elsewhere(_: web.Request) -> web.Response:
        raise web.HTTPFound("https://elsewhere.example/")

    async def away(_: web.Request) -> web.Response:
        return web.Response(status=502, text="bad gateway")

    for answer, status, words in ((page, 1, "is that its address"), (elsewhere, 2, "leads elsewhere"), (away, 6, "502")):
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        ended = await place("project", "list", STRONGROOM_URL=url, STRONGROOM_TOKEN=place.token.token)
        assert words in ended.failed(status).err
        await runner.cleanup()
