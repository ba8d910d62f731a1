"""Rehearsals with the host's own program."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.drivers.meilisearch.driver import MeilisearchDriver
from contracts.errors import RunFailed
from tests.agents.drivers.meilisearch.engine import MeilisearchUnderTest
from tests.agents.drivers.playing import Backup, back_up, restore


def program(directory: Path, script: str) -> str:
    directory.mkdir()
    path = directory / "meilisearch"
    path.write_text("#!/bin/sh\n" + script)
    path.chmod(0o755)
    return str(directory)


@pytest.fixture
def scratch_dir(meilisearch: MeilisearchUnderTest) -> Path:
    path = meilisearch.directory / "scratch"
    path.mkdir(mode=0o700)
    return path


async def test_a_host_without_the_program_rehearses_nothing(meilisearch: MeilisearchUnderTest, scratch_dir: Path) -> None:
    driver = meilisearch.driver(bin_dir=str(scratch_dir))
    assert not driver.capabilities.scratch
    with pytest.raises(RunFailed) as caught:
        async with driver.scratch(scratch_dir):
            pass
    assert caught.value.code == "restore.unsupported"


async def test_the_program_on_the_path_is_found(meilisearch: MeilisearchUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(meilisearch.bin_dir), prepend=":")
    assert meilisearch.driver(bin_dir="").capabilities.scratch


async def test_a_program_that_does_not_take_the_dump_in_tells_why(
    meilisearch: MeilisearchUnderTest, scratch_dir: Path
) -> None:
    words = "Error: The version V6 of the dumps is not supported yet. Please use the latest version of Meilisearch"
    bin_dir = program(meilisearch.directory / "old", f'echo "{words}" >&2; exit 1\n')
    driver = meilisearch.driver(bin_dir=bin_dir)
    backup = await back_up(driver)
    with pytest.raises(RunFailed) as caught:
        await rehearse(driver, backup, scratch_dir)
    assert caught.value.code == "restore.failed"
    assert "ended with status 1" in caught.value.message
    assert caught.value.detail == words
    assert list(scratch_dir.iterdir()) == []


async def test_the_instance_s_key_is_in_no_argument_and_no_error(
    meilisearch: MeilisearchUnderTest, scratch_dir: Path
) -> None:
    said = meilisearch.directory / "said"
    bin_dir = program(meilisearch.directory / "telling", f'echo "$@" > {said}; echo "key $MEILI_MASTER_KEY" >&2; exit 1\n')
    driver = meilisearch.driver(bin_dir=bin_dir)
    backup = await back_up(driver)
    with pytest.raises(RunFailed) as caught:
        await rehearse(driver, backup, scratch_dir)
    assert caught.value.detail == "key …"
    assert "master" not in said.read_text()


async def test_a_rehearsal_without_a_restored_dump_is_told(meilisearch: MeilisearchUnderTest, scratch_dir: Path) -> None:
    async with meilisearch.driver().scratch(scratch_dir) as scratch:
        with pytest.raises(RunFailed, match="0 restored dumps"):
            await scratch.inventory()


async def rehearse(driver: MeilisearchDriver, backup: Backup, directory: Path) -> None:
    async with driver.scratch(directory) as scratch:
        await restore(scratch.driver, backup, scratch.target)
        await scratch.inventory()
