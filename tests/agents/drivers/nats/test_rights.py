"""The users of `deploy/nats`, and what is said when a right, an account or JetStream itself is missing."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from agents.drivers.nats.connection import NATSConnection
from agents.drivers.nats.driver import NATSDriver
from contracts.errors import InvalidInput, RunFailed
from contracts.services import NATSOptions
from tests.agents.drivers.nats.content import api
from tests.agents.drivers.nats.engine import TARGET, NatsEngine, connection
from tests.agents.drivers.nats.filling import make
from tests.agents.drivers.playing import back_up
from tests.servers.directories import server_directory
from tests.servers.nats_service import BACKUP, DEPLOY, POWERLESS, RESTORE, STRANGER, NatsService

_ALLOWED = re.compile(r'"(\$J[^"]+|_INBOX[^"]+)"')


def _permissions(name: str) -> set[str]:
    lines = (DEPLOY / name).read_text().splitlines()
    return set(_ALLOWED.findall("\n".join(line for line in lines if not line.startswith("#"))))


async def test_the_backup_user_can_change_nothing(host: NatsEngine) -> None:
    async with host.server.connect() as client:
        await make(client, "ORDERS", subjects=["orders.>"])
        await client.jetstream().publish("orders.1", b"x")
        async with host.server.connect(BACKUP) as weak:
            for subject in ("$JS.API.STREAM.DELETE.ORDERS", "$JS.API.STREAM.PURGE.ORDERS", "orders.2"):
                await weak.publish(subject, b"")
            await weak.flush()
        assert (await api(client, "STREAM.INFO.ORDERS"))["state"]["messages"] == 1


async def test_a_missing_right_is_told_at_once_and_by_its_subject(host: NatsEngine) -> None:
    began = time.monotonic()
    with pytest.raises(RunFailed) as caught:
        await host.driver(user=POWERLESS).plan_backup()
    assert time.monotonic() - began < 2
    assert caught.value.code == "engine.permission"
    assert "$JS.API.STREAM.LIST" in caught.value.message
    assert "deploy/nats" in caught.value.message
    health = await host.driver(user=POWERLESS).health()
    assert health.error is not None
    assert health.error.code == "engine.permission"


async def test_the_backup_user_is_told_before_a_restore_what_it_may_not(host: NatsEngine) -> None:
    async with host.server.connect() as client:
        await make(client, "ORDERS", subjects=["orders.>"])
    backup = await back_up(host.driver())
    await host.wipe()
    began = time.monotonic()
    with pytest.raises(RunFailed) as caught:
        await host.driver().check_restore(backup.records, TARGET)
    assert time.monotonic() - began < 2
    assert caught.value.code == "engine.permission"
    assert "$JS.API.STREAM.RESTORE.ORDERS" in caught.value.message


async def test_an_account_without_jetstream_is_told(host: NatsEngine) -> None:
    with pytest.raises(RunFailed) as caught:
        await host.driver(user=STRANGER).plan_backup()
    assert caught.value.code == "engine.refused"
    assert "not enabled for this user's account" in caught.value.message


async def test_a_server_without_jetstream_is_told(tmp_path: Path) -> None:
    with server_directory("nats") as directory:
        server = NatsService(directory, jetstream=False)
        server.start()
        try:
            driver = NATSDriver(connection(server), runtime_dir=tmp_path, work_dir=tmp_path)
            health = await driver.health()
            assert health.reachable
            assert health.error is not None
            assert health.error.code == "engine.refused"
            assert "enable it on the server" in health.error.message
        finally:
            server.kill()


async def test_a_domain_is_asked_by_its_name(tmp_path: Path) -> None:
    with server_directory("nats") as directory:
        server = NatsService(directory, domain="hub")
        server.start()
        try:
            async with server.connect() as client:
                await make(client, "ORDERS", subjects=["orders.>"])
                await client.jetstream().publish("orders.1", b"x")
            made = connection(server)
            there = NATSConnection(url=made.url, user=made.user, password_file=made.password_file, domain="hub")
            driver = NATSDriver(there, NATSOptions(), runtime_dir=tmp_path, work_dir=tmp_path)
            backup = await back_up(driver)
            assert backup.plan.inventory["counts"] == {"ORDERS": 1}
            elsewhere = NATSConnection(
                url=made.url, user="app", password_file=str(server.password_file("app")), domain="leaf"
            )
            with pytest.raises(RunFailed) as caught:
                await NATSDriver(elsewhere, runtime_dir=tmp_path, work_dir=tmp_path).plan_backup()
            assert caught.value.code == "engine.refused"
            assert "domain 'leaf'" in caught.value.message
        finally:
            server.kill()


def test_the_recipes_say_the_same() -> None:
    script = (DEPLOY / "nsc-users.sh").read_text()
    for_backup, for_restore = _permissions("backup-permissions.conf"), _permissions("restore-permissions.conf")
    assert for_backup < for_restore
    assert set(re.findall(r"\$JS[^,'\"]+|_INBOX[^'\"]+", script)) == for_restore


@pytest.mark.parametrize("user", [BACKUP, RESTORE])
async def test_answers_to_others_cannot_be_read(host: NatsEngine, user: str) -> None:
    async with host.server.connect(user) as client:
        subscription = await client.subscribe("_INBOX.>")
        async with host.server.connect() as other:
            await api(other, "INFO")
        await client.flush()
        assert subscription.pending_msgs == 0


@pytest.mark.parametrize(
    ("field", "text", "words"),
    [
        ("creds_file", "nothing of the kind\n", "holds no NATS credentials"),
        ("creds_file", "-----BEGIN NATS USER JWT-----\nabc\n", "holds no NATS credentials"),
        ("nkey_file", "SUNOSEED\n", "holds no nkey seed"),
        ("token_file", "", "is empty"),
        ("ca_file", "no certificate\n", "cannot be used"),
    ],
)
async def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, field: str, text: str, words: str) -> None:
    path = tmp_path / "secret"
    path.write_text(text)
    broken = NATSConnection(url=["nats://127.0.0.1:1"], **{field: str(path)})
    driver = NATSDriver(broken, runtime_dir=tmp_path, work_dir=tmp_path)
    with pytest.raises(InvalidInput) as caught:
        await driver.plan_backup()
    assert caught.value.field == f"connection.{field}"
    assert words in caught.value.message
    health = await driver.health()
    assert health.error is not None
    assert health.error.code == "config.invalid"
