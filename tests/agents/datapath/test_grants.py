"""When signed URLs are asked for, and when they are taken as they are."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from agents.datapath import RetryLimits
from agents.datapath.grants import PartUrls
from contracts.asks import (
    AbortArtifact,
    CloseArtifact,
    DownloadGrant,
    Grant,
    MoreParts,
    OpenArtifact,
    OpenDownload,
    SignedPart,
)
from contracts.errors import StrongroomError, error
from contracts.multipart import MAX_PARTS, MIB
from contracts.records import ArtifactRecord
from tests.agents.datapath.coordinator import RUN_ID
from tests.servers.waiting import eventually

LIMITS = RetryLimits(tries=3, total_s=10, first_pause_s=0.001, longest_pause_s=0.002)


class Signer:
    """Signs whatever it is asked for; the URL tells when."""

    def __init__(self, *, lifetime_s: float = 3600) -> None:
        self.lifetime_s = lifetime_s
        self.asked: list[tuple[int, int]] = []
        self.failures: list[StrongroomError] = []

    def sign(self, first: int, count: int) -> Grant:
        parts = [SignedPart(number, f"part-{number}-signature-{len(self.asked)}") for number in range(first, first + count)]
        return Grant(base_part_bytes=8 * MIB, parts=parts, expires_at=datetime.now(UTC) + timedelta(seconds=self.lifetime_s))

    async def more(self, ask: MoreParts) -> Grant:
        if self.failures:
            raise self.failures.pop()
        self.asked.append((ask.first, ask.count))
        return self.sign(ask.first, ask.count)

    async def open(self, ask: OpenArtifact) -> Grant:
        raise NotImplementedError

    async def close(self, ask: CloseArtifact) -> ArtifactRecord:
        raise NotImplementedError

    async def abort(self, ask: AbortArtifact) -> None:
        raise NotImplementedError

    async def download(self, ask: OpenDownload) -> DownloadGrant:
        raise NotImplementedError


def urls_of(signer: Signer, first_batch: int = 4) -> PartUrls:
    first = signer.sign(1, first_batch)
    return PartUrls(signer, first, run_id=RUN_ID, attempt=1, index=1, limits=LIMITS)


async def test_what_the_first_grant_holds_is_not_asked_for() -> None:
    signer = Signer()
    urls = urls_of(signer)
    assert [await urls.get(number) for number in (1, 2, 3, 4)] == [f"part-{number}-signature-0" for number in (1, 2, 3, 4)]
    assert signer.asked == []


async def test_a_part_beyond_the_grant_is_asked_for_with_those_after_it() -> None:
    signer = Signer()
    urls = urls_of(signer)
    assert await urls.get(5) == "part-5-signature-1"
    assert await urls.get(6) == "part-6-signature-1"
    assert signer.asked == [(5, 32)]


async def test_the_next_batch_is_fetched_before_it_is_needed() -> None:
    signer = Signer()
    urls = urls_of(signer)
    keeper = asyncio.create_task(urls.keep_ahead())
    await urls.get(2)
    await eventually(lambda: signer.asked == [(5, 32)])
    for number in range(3, 34):
        await urls.get(number)
    assert signer.asked == [(5, 32)]
    await urls.get(34)
    await eventually(lambda: signer.asked == [(5, 32), (37, 32)])
    keeper.cancel()


async def test_nothing_is_asked_beyond_the_last_part_that_there_can_be() -> None:
    signer = Signer()
    urls = urls_of(signer)
    keeper = asyncio.create_task(urls.keep_ahead())
    assert await urls.get(MAX_PARTS - 1) == f"part-{MAX_PARTS - 1}-signature-1"
    assert await urls.get(MAX_PARTS) == f"part-{MAX_PARTS}-signature-1"
    await asyncio.sleep(0)
    assert signer.asked == [(MAX_PARTS - 1, 2)]
    keeper.cancel()


async def test_an_expired_url_is_not_even_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    signer = Signer(lifetime_s=3600)
    urls = urls_of(signer)
    loop = asyncio.get_running_loop()
    now = loop.time()
    monkeypatch.setattr(loop, "time", lambda: now + 3600)
    assert await urls.get(1) == "part-1-signature-1"


async def test_a_grant_that_seems_to_be_expired_already_is_used() -> None:
    """This host's clock may be ahead of the coordinator's: the store decides."""
    signer = Signer(lifetime_s=-7200)
    urls = urls_of(signer)
    assert await urls.get(1) == "part-1-signature-0"
    assert signer.asked == []


async def test_a_stale_url_is_renewed_once_for_all_who_wait() -> None:
    signer = Signer()
    urls = urls_of(signer)
    stale = [await urls.get(1), await urls.get(2)]
    fresh = await asyncio.gather(urls.renew(1, stale[0]), urls.renew(2, stale[1]))
    assert list(fresh) == ["part-1-signature-1", "part-2-signature-1"]
    assert signer.asked == [(1, 32)]


async def test_a_coordinator_that_is_away_is_asked_again_and_one_that_refuses_is_not() -> None:
    signer = Signer()
    urls = urls_of(signer)
    signer.failures = [error("bus.unavailable", "nobody answers")] * 2
    assert await urls.get(9) == "part-9-signature-1"
    signer.failures = [error("bus.unavailable", "nobody answers")] * 3
    with pytest.raises(StrongroomError, match=r"bus\.unavailable"):
        await urls.get(90)
    signer.failures = [error("run.not_current", "no")]
    with pytest.raises(StrongroomError, match=r"run\.not_current"):
        await urls.get(90)


async def test_a_refusal_of_parts_that_nobody_needs_yet_is_no_failure() -> None:
    signer = Signer()
    urls = urls_of(signer)
    signer.failures = [error("run.not_current", "no")]
    keeper = asyncio.create_task(urls.keep_ahead())
    await urls.get(4)
    await eventually(lambda: signer.failures == [])
    assert not keeper.done()
    keeper.cancel()
