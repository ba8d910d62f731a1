"""Rehearsals on the agent's host."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agents.drivers.nats import scratch
from contracts.errors import RunFailed
from contracts.services import NATSOptions
from tests.agents.drivers.nats.artifacts import members, packed, replaced
from tests.agents.drivers.nats.engine import NatsEngine
from tests.agents.drivers.playing import back_up, restore


async def test_what_depends_on_other_streams_or_the_day_is_counted_as_it_was(varied: NatsEngine, tmp_path: Path) -> None:
    """A mirror takes nothing more, and messages that are too old by now are counted all the same."""
    backup = await back_up(varied.driver(NATSOptions(include=["ORDERS", "A_MIRROR", "A_SUM"])))
    parts = members(backup.data_of(next(record for record in backup.records if record.name == "ORDERS")))
    described = json.loads(parts["backup.json"])
    described["config"]["max_age"] = 100_000_000
    described["config"]["duplicate_window"] = 100_000_000
    parts["backup.json"] = json.dumps(described).encode()
    aged = replaced(backup, "ORDERS", packed(parts))
    async with varied.driver().scratch(tmp_path) as rehearsal:
        await restore(rehearsal.driver, aged, rehearsal.target)
        inventory = await rehearsal.inventory()
    assert inventory["counts"] == backup.plan.inventory["counts"]
    assert not (tmp_path / "nats").exists()


async def test_a_host_without_the_server_is_told_what_to_install(
    host: NatsEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(scratch, "_WHEEL", "no-such-package")
    with pytest.raises(RunFailed) as caught:
        async with host.driver().scratch(tmp_path):
            raise AssertionError("it started")
    assert caught.value.code == "engine.tool_missing"
    assert "apt-get install nats-server" in caught.value.message


async def test_a_server_that_does_not_start_is_told_in_its_own_words(
    host: NatsEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scratch, "_settings", lambda home, token: f"{home} {token}: no configuration")
    with pytest.raises(RunFailed) as caught:
        async with host.driver().scratch(tmp_path):
            raise AssertionError("it started")
    assert caught.value.code == "restore.failed"
    assert caught.value.detail
    assert not (tmp_path / "nats").exists()
