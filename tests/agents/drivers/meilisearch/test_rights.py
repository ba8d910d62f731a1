"""Keys: what a backup needs, what it says when that is missing, and the recipe in `deploy/`."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from agents.drivers.meilisearch.api import NEEDED_ACTIONS, OPTIONAL_ACTIONS
from agents.drivers.meilisearch.driver import MeilisearchDriver
from agents.drivers.meilisearch.dump_dir import open_dump, require_usable
from agents.drivers.meilisearch.leftovers import remove_dump
from contracts.errors import RunFailed
from tests.agents.drivers.meilisearch.engine import DEPLOY, MeilisearchUnderTest
from tests.agents.drivers.playing import back_up


async def failure_of(driver: MeilisearchDriver) -> RunFailed:
    with pytest.raises(RunFailed) as caught:
        await back_up(driver)
    return caught.value


@pytest.mark.parametrize("missing", NEEDED_ACTIONS)
async def test_an_action_that_a_key_lacks_is_named_and_nothing_is_left(
    meilisearch: MeilisearchUnderTest, missing: str
) -> None:
    driver = meilisearch.driver_with(*(action for action in NEEDED_ACTIONS if action != missing))
    failure = await failure_of(driver)
    assert failure.code == "engine.permission"
    assert f"lacks the action {missing}, " in failure.message
    assert await meilisearch.leftovers() == []


async def test_all_actions_that_can_be_looked_for_are_named_at_once(meilisearch: MeilisearchUnderTest) -> None:
    failure = await failure_of(meilisearch.driver_with("dumps.create", "stats.get"))
    assert "lacks the actions tasks.get, version, " in failure.message


@pytest.mark.parametrize("actions", [("search",), ("dumps.create",)])
async def test_a_key_that_may_do_nothing_that_can_be_looked_at_is_no_key_for_backups(
    meilisearch: MeilisearchUnderTest, actions: tuple[str, ...]
) -> None:
    failure = await failure_of(meilisearch.driver_with(*actions))
    assert failure.code == "engine.auth_failed"
    assert "has none of the actions" in failure.message


async def test_the_command_of_the_error_makes_a_key_that_suffices(meilisearch: MeilisearchUnderTest) -> None:
    failure = await failure_of(meilisearch.driver_with("stats.get"))
    found = re.search(r"make one as (printf .*\}') and put its `key` into (\S+)$", failure.message)
    assert found is not None
    environment = {**os.environ, "MEILI_MASTER_KEY": meilisearch.server.master_key}
    command = ["sh", "-c", found[1] + " -s"]
    made = await asyncio.to_thread(subprocess.run, command, env=environment, check=True, capture_output=True)
    Path(found[2]).write_text(json.loads(made.stdout)["key"])
    driver = meilisearch.driver(api_key_file=found[2])
    assert (await back_up(driver)).warnings == []


async def test_wildcards_suffice(meilisearch: MeilisearchUnderTest) -> None:
    driver = meilisearch.driver_with("dumps.*", "tasks.*", "stats.*", "version")
    assert (await back_up(driver)).warnings == []


async def test_the_master_key_suffices(meilisearch: MeilisearchUnderTest) -> None:
    driver = meilisearch.driver(api_key_file=meilisearch.key_file(meilisearch.server.master_key))
    assert (await back_up(driver)).warnings == []


async def test_a_service_without_a_key_is_told_that_one_is_asked_for(meilisearch: MeilisearchUnderTest) -> None:
    failure = await failure_of(meilisearch.driver(api_key_file=""))
    assert failure.code == "engine.auth_failed"
    assert "set api_key_file" in failure.message


async def test_the_recipe_s_key_has_what_is_needed_and_no_more(meilisearch: MeilisearchUnderTest) -> None:
    recipe = json.loads((DEPLOY / "backup-key.json").read_text())
    assert sorted(recipe["actions"]) == sorted((*NEEDED_ACTIONS, *OPTIONAL_ACTIONS))
    assert recipe["expiresAt"] is None


async def test_the_recipe_makes_a_key_file_for_the_agent_alone(meilisearch: MeilisearchUnderTest) -> None:
    path = meilisearch.directory / "made.key"
    environment = {**os.environ, "MEILI_MASTER_KEY": meilisearch.server.master_key}
    recipe = [str(DEPLOY / "backup-key.sh"), meilisearch.server.url, str(path)]
    await asyncio.to_thread(subprocess.run, recipe, env=environment, check=True, capture_output=True)
    assert path.stat().st_mode & 0o777 == 0o600
    assert (await back_up(meilisearch.driver(api_key_file=str(path)))).warnings == []


async def test_the_recipe_fails_aloud_with_a_wrong_master_key(meilisearch: MeilisearchUnderTest) -> None:
    environment = {**os.environ, "MEILI_MASTER_KEY": "of another instance"}
    recipe = [str(DEPLOY / "backup-key.sh"), meilisearch.server.url, str(meilisearch.directory / "made.key")]
    ended = await asyncio.to_thread(subprocess.run, recipe, env=environment, check=False, capture_output=True)
    assert ended.returncode != 0
    assert b"403" in ended.stderr


async def test_the_recipe_lets_another_user_read_and_remove_dumps(directory: Path) -> None:
    """As nobody, when the tests run as root; otherwise it is the tests' own user, who may do that anyway."""
    dumps = directory / "dumps"
    dumps.mkdir(mode=0o750)
    user = "nobody" if os.geteuid() == 0 else str(os.geteuid())
    await asyncio.to_thread(subprocess.run, [str(DEPLOY / "dump-dir.sh"), str(dumps), user], check=True)
    dump = dumps / "20261122-000512000.dump"
    dump.touch(mode=0o640)
    directory.chmod(0o755)
    uid = os.geteuid()
    os.seteuid(65534 if uid == 0 else uid)
    try:
        require_usable(dumps)
        os.close(open_dump(dump))
        remove_dump(dump)
    finally:
        os.seteuid(uid)
    assert not dump.exists()
