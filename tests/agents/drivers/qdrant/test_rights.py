"""What the credentials that `deploy/qdrant` makes may do, and how it is told when it is not enough."""

from __future__ import annotations

import pytest

from contracts.errors import RunFailed
from contracts.services import QdrantOptions
from tests.agents.drivers.playing import back_up, restore
from tests.agents.drivers.qdrant.engine import ODD_NAMES, QdrantEngine, make_token

NAMES = [ODD_NAMES[1], ODD_NAMES[2]]


def token_for(engine: QdrantEngine, *names: str) -> str:
    return make_token(engine.api_key, engine.directory, *(f"--collection={name}" for name in names))


async def test_a_token_by_collections_backs_these_up(fake: QdrantEngine) -> None:
    token = token_for(fake, *NAMES)
    backup = await back_up(fake.driver(QdrantOptions(include=NAMES), key=token))
    assert [record.name for record in backup.records] == [*sorted(NAMES), "aliases (2)"]
    health = await fake.driver(QdrantOptions(include=NAMES), key=token).health()
    assert health.error is None
    assert await fake.leftovers() == []


@pytest.mark.parametrize("include", [[], ["*"]])
async def test_such_a_token_cannot_say_that_it_has_everything(fake: QdrantEngine, include: list[str]) -> None:
    driver = fake.driver(QdrantOptions(include=include), key=token_for(fake, *NAMES))
    with pytest.raises(RunFailed) as caught:
        await driver.plan_backup()
    assert caught.value.code == "engine.permission"
    assert "--include" in caught.value.message
    health = await driver.health()
    assert health.error is not None
    assert health.error.code == "engine.permission"


async def test_a_read_only_key_is_not_enough_for_a_backup(fake: QdrantEngine) -> None:
    assert fake.server is not None
    with pytest.raises(RunFailed) as caught:
        await back_up(fake.driver(key=fake.server.read_only_key))
    assert caught.value.code == "engine.permission"
    assert "deploy/qdrant" in caught.value.message
    assert fake.server.read_only_key not in f"{caught.value.message}{caught.value.detail}"
    assert await fake.leftovers() == []


async def test_a_restore_without_the_right_to_is_refused_before_anything_is_sent(fake: QdrantEngine) -> None:
    backup = await back_up(fake.driver(QdrantOptions(include=NAMES)))
    before = await fake.content()
    for key in (token_for(fake, *NAMES), fake.server.read_only_key if fake.server else ""):
        driver = fake.driver(key=key)
        with pytest.raises(RunFailed) as caught:
            await driver.check_restore(backup.records, fake.target(replace=True))
        assert caught.value.code == "engine.permission"
        assert "may not restore" in caught.value.message
        with pytest.raises(RunFailed) as caught:
            await restore(driver, backup, fake.target(replace=True), only=[NAMES[0]])
        assert caught.value.code == "engine.permission"
    assert await fake.content() == before


async def test_a_token_that_has_expired_is_refused(fake: QdrantEngine) -> None:
    token = make_token(fake.api_key, fake.directory, "--manage", "--days=-1")
    health = await fake.driver(key=token).health()
    assert health.error is not None
    assert health.error.code == "engine.auth_failed"


async def test_a_key_is_asked_for_where_none_is_set(fake: QdrantEngine) -> None:
    health = await fake.driver(key="").health()
    assert health.error is not None
    assert health.error.code == "engine.auth_failed"


async def test_a_key_file_that_cannot_be_read_is_told_in_health(fake: QdrantEngine) -> None:
    driver = fake.driver()
    (fake.directory / "agents-key").unlink()
    health = await driver.health()
    assert health.error is not None
    assert health.error.code == "config.invalid"
