"""Uploads that meet the end of their project's quota."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from contracts.asks import AbortArtifact, CloseArtifact, MoreParts
from contracts.errors import Conflict
from contracts.multipart import MIB
from contracts.records import ArtifactRecord
from tests.agents.datapath.conftest import Agent
from tests.agents.datapath.dumps import PipeDump
from tests.agents.datapath.faulty_store import SLOW_DOWN, FaultyStore, answer, first

DATA = os.urandom(12 * MIB)
"""Three parts, the last of which is not full."""
PART = 5 * MIB


@pytest.fixture
async def measured(agent: Agent, store: FaultyStore) -> ArtifactRecord:
    """The same dump, stored before there was a quota: what it takes."""
    with PipeDump(DATA) as dump:
        artifact = (await agent.upload(dump, index=1)).artifact
    assert 2 * PART < artifact.stored_bytes < 3 * PART
    agent.coordinator.asked.clear()
    store.puts.clear()
    return artifact


async def upload_again(agent: Agent) -> ArtifactRecord:
    with PipeDump(DATA) as dump:
        return (await agent.upload(dump, index=2)).artifact


async def runs_out_of_room(agent: Agent, before: ArtifactRecord) -> Conflict:
    """The second upload's error; nothing is left of it."""
    with pytest.raises(Conflict) as caught:
        await upload_again(agent)
    assert caught.value.code == "quota.exceeded"
    assert agent.coordinator.asks_of(CloseArtifact) == []
    assert len(agent.coordinator.asks_of(AbortArtifact)) == 1
    assert agent.coordinator.bucket.list_uploads() == []
    assert agent.coordinator.bucket.list_keys() == [before.object_key]
    assert agent.staging.used_bytes == 0
    return caught.value


def asked_for_parts(agent: Agent) -> list[tuple[int, int]]:
    return [(ask.first, ask.count) for ask in agent.coordinator.asks_of(MoreParts)]


async def test_an_artifact_that_fits_exactly_is_stored(agent: Agent, measured: ArtifactRecord) -> None:
    agent.coordinator.limit_bytes = measured.stored_bytes
    assert (await upload_again(agent)).stored_bytes == measured.stored_bytes
    assert asked_for_parts(agent) == []


async def test_one_byte_more_than_fits_is_not_sent(agent: Agent, store: FaultyStore, measured: ArtifactRecord) -> None:
    agent.coordinator.limit_bytes = measured.stored_bytes - 1
    failure = await runs_out_of_room(agent, measured)
    assert f"leaves {measured.stored_bytes - 1} bytes for this artifact" in failure.message
    assert asked_for_parts(agent) == [(3, 1)]
    assert set(store.puts) <= {1, 2}


@pytest.mark.parametrize("fitting_parts", [1, 2])
async def test_nothing_is_sent_of_a_part_that_begins_where_the_quota_ends(
    agent: Agent, store: FaultyStore, measured: ArtifactRecord, fitting_parts: int
) -> None:
    agent.coordinator.limit_bytes = fitting_parts * PART
    failure = await runs_out_of_room(agent, measured)
    assert failure.message == f"no room for part {fitting_parts + 1}"
    assert set(store.puts) <= set(range(1, fitting_parts + 1))


async def test_a_limit_that_grows_when_asked_again_lets_the_artifact_through(
    agent: Agent, store: FaultyStore, measured: ArtifactRecord
) -> None:
    agent.coordinator.limit_bytes = PART + 1

    def make_room(ask: MoreParts) -> None:
        agent.coordinator.limit_bytes = PART * ask.first

    agent.coordinator.on_more = make_room
    assert (await upload_again(agent)).stored_bytes == measured.stored_bytes
    assert sorted(store.puts) == [1, 2, 3]
    assert agent.coordinator.asks_of(MoreParts)[0].count == 1


async def test_a_part_that_is_sent_again_needs_no_more_room(
    agent: Agent, store: FaultyStore, measured: ArtifactRecord
) -> None:
    agent.coordinator.limit_bytes = measured.stored_bytes
    store.on_put = first(2, answer(503, SLOW_DOWN))
    await upload_again(agent)
    assert agent.meter.retries >= 1
    assert asked_for_parts(agent) == []


async def test_a_dump_that_does_not_fit_is_not_read_to_its_end(agent: Agent) -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield os.urandom(MIB)

    agent.coordinator.limit_bytes = 3 * PART - 1
    with PipeDump(endless()) as dump, pytest.raises(Conflict) as caught:
        await agent.upload(dump)
    assert caught.value.code == "quota.exceeded"
    assert dump.broken
