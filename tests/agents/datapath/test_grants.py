"""When signed URLs are asked for, and when they are taken as they are."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import msgspec
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
from contracts.errors import Conflict, StrongroomError, error
from contracts.multipart import MAX_PARTS, MIB
from contracts.records import ArtifactRecord
from tests.agents.datapath.coordinator import RUN_ID, parts_within
from tests.servers.waiting import eventually

LIMITS = RetryLimits(tries=3, total_s=10, first_pause_s=0.001, longest_pause_s=0.002)


BASE = 8 * MIB


class Signer:
    """Signs whatever it is asked for, within the limit if there is one; the URL tells when."""

    def __init__(self, *, lifetime_s: float = 3600, limit_bytes: int | None = None) -> None:
        self.lifetime_s = lifetime_s
        self.limit_bytes = limit_bytes
        self.asked: list[tuple[int, int]] = []
        self.failures: list[StrongroomError] = []

    def sign(self, first: int, count: int) -> Grant:
        within = parts_within(self.limit_bytes, BASE, first, count)
        return Grant(
            base_part_bytes=BASE,
            parts=[SignedPart(number, f"part-{number}-signature-{len(self.asked)}") for number in within.numbers],
            expires_at=datetime.now(UTC) + timedelta(seconds=self.lifetime_s),
            limit_bytes=within.told_bytes,
        )

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


async def url_of(urls: PartUrls, number: int) -> str:
    """Of a full part."""
    return await urls.get(number, number * BASE)


async def test_what_the_first_grant_holds_is_not_asked_for() -> None:
    signer = Signer()
    urls = urls_of(signer)
    assert [await url_of(urls, number) for number in (1, 2, 3, 4)] == [
        f"part-{number}-signature-0" for number in (1, 2, 3, 4)
    ]
    assert signer.asked == []


async def test_a_part_beyond_the_grant_is_asked_for_with_those_after_it() -> None:
    signer = Signer()
    urls = urls_of(signer)
    assert await url_of(urls, 5) == "part-5-signature-1"
    assert await url_of(urls, 6) == "part-6-signature-1"
    assert signer.asked == [(5, 32)]


async def test_the_next_batch_is_fetched_before_it_is_needed() -> None:
    signer = Signer()
    urls = urls_of(signer)
    keeper = asyncio.create_task(urls.keep_ahead())
    await url_of(urls, 2)
    await eventually(lambda: signer.asked == [(5, 32)])
    for number in range(3, 34):
        await url_of(urls, number)
    assert signer.asked == [(5, 32)]
    await url_of(urls, 34)
    await eventually(lambda: signer.asked == [(5, 32), (37, 32)])
    keeper.cancel()


async def test_nothing_is_asked_beyond_the_last_part_that_there_can_be() -> None:
    signer = Signer()
    urls = urls_of(signer)
    keeper = asyncio.create_task(urls.keep_ahead())
    assert await url_of(urls, MAX_PARTS - 1) == f"part-{MAX_PARTS - 1}-signature-1"
    assert await url_of(urls, MAX_PARTS) == f"part-{MAX_PARTS}-signature-1"
    await asyncio.sleep(0)
    assert signer.asked == [(MAX_PARTS - 1, 2)]
    keeper.cancel()


async def test_an_expired_url_is_not_even_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    signer = Signer(lifetime_s=3600)
    urls = urls_of(signer)
    loop = asyncio.get_running_loop()
    now = loop.time()
    monkeypatch.setattr(loop, "time", lambda: now + 3600)
    assert await url_of(urls, 1) == "part-1-signature-1"


async def test_a_grant_that_seems_to_be_expired_already_is_used() -> None:
    """This host's clock may be ahead of the coordinator's: the store decides."""
    signer = Signer(lifetime_s=-7200)
    urls = urls_of(signer)
    assert await url_of(urls, 1) == "part-1-signature-0"
    assert signer.asked == []


async def test_a_stale_url_is_renewed_once_for_all_who_wait() -> None:
    signer = Signer()
    urls = urls_of(signer)
    stale = [await url_of(urls, 1), await url_of(urls, 2)]
    fresh = await asyncio.gather(urls.renew(1, 1 * BASE, stale[0]), urls.renew(2, 2 * BASE, stale[1]))
    assert list(fresh) == ["part-1-signature-1", "part-2-signature-1"]
    assert signer.asked == [(1, 32)]


async def test_a_coordinator_that_is_away_is_asked_again_and_one_that_refuses_is_not() -> None:
    signer = Signer()
    urls = urls_of(signer)
    signer.failures = [error("bus.unavailable", "nobody answers")] * 2
    assert await url_of(urls, 9) == "part-9-signature-1"
    signer.failures = [error("bus.unavailable", "nobody answers")] * 3
    with pytest.raises(StrongroomError, match=r"bus\.unavailable"):
        await url_of(urls, 90)
    signer.failures = [error("run.not_current", "no")]
    with pytest.raises(StrongroomError, match=r"run\.not_current"):
        await url_of(urls, 90)


async def test_a_refusal_of_parts_that_nobody_needs_yet_is_no_failure() -> None:
    signer = Signer()
    urls = urls_of(signer)
    signer.failures = [error("run.not_current", "no")]
    keeper = asyncio.create_task(urls.keep_ahead())
    await url_of(urls, 4)
    await eventually(lambda: signer.failures == [])
    assert not keeper.done()
    keeper.cancel()


async def test_a_part_within_the_limit_is_signed_without_a_question() -> None:
    signer = Signer(limit_bytes=4 * BASE - 1)
    urls = urls_of(signer)
    assert await urls.get(4, 4 * BASE - 1) == "part-4-signature-0"
    assert signer.asked == []


async def test_a_part_that_passes_the_limit_is_asked_for_once_more_and_then_refused() -> None:
    signer = Signer(limit_bytes=4 * BASE - 1)
    urls = urls_of(signer)
    with pytest.raises(Conflict) as caught:
        await url_of(urls, 4)
    assert signer.asked == [(4, 1)]
    assert caught.value.code == "quota.exceeded"
    assert caught.value.message == (
        "the project's quota leaves 33554431 bytes for this artifact, which has 33554432 with part 4: "
        "delete backups, keep fewer, or raise the quota"
    )


async def test_room_that_was_made_meanwhile_is_used() -> None:
    signer = Signer(limit_bytes=3 * BASE + 1)
    urls = urls_of(signer)
    signer.limit_bytes = 4 * BASE
    assert await url_of(urls, 4) == "part-4-signature-1"
    signer.limit_bytes = None
    assert await url_of(urls, 5) == "part-5-signature-2"
    assert signer.asked == [(4, 1), (5, 32)]


async def test_a_refusal_for_want_of_room_is_passed_on_in_the_coordinators_words() -> None:
    signer = Signer(limit_bytes=4 * BASE)
    urls = urls_of(signer)
    with pytest.raises(Conflict, match=r"quota\.exceeded: no room for part 5"):
        await url_of(urls, 5)
    with pytest.raises(Conflict, match=r"quota\.exceeded: no room for part 6"):
        await urls.get(6, 5 * BASE + 1)
    assert signer.asked == [(5, 32), (6, 32)]


async def test_a_limit_that_comes_with_a_renewed_signature_holds() -> None:
    signer = Signer()
    urls = urls_of(signer)
    stale = await url_of(urls, 3)
    signer.limit_bytes = 3 * BASE - 1
    with pytest.raises(Conflict, match=r"quota\.exceeded"):
        await urls.renew(3, 3 * BASE, stale)
    assert await url_of(urls, 2) == "part-2-signature-0"


async def test_a_renewed_signature_of_an_early_part_does_not_lift_the_limit_of_a_late_one() -> None:
    signer = Signer(limit_bytes=40 * BASE - 1)
    urls = urls_of(signer, first_batch=40)
    await urls.renew(1, BASE, await url_of(urls, 1))
    assert await url_of(urls, 39) == "part-39-signature-0"
    with pytest.raises(Conflict, match=r"quota\.exceeded"):
        await url_of(urls, 40)
    assert signer.asked == [(1, 32), (40, 1)]


async def test_a_grant_without_any_part_for_want_of_room_is_a_matter_of_the_quota() -> None:
    signer = Signer()
    urls = urls_of(signer)

    async def sign_nothing(ask: MoreParts) -> Grant:
        signer.asked.append((ask.first, ask.count))
        return msgspec.structs.replace(signer.sign(1, 4), parts=[], limit_bytes=4 * BASE)

    signer.more = sign_nothing  # type: ignore[method-assign]
    with pytest.raises(Conflict, match=r"quota\.exceeded"):
        await urls.get(5, 4 * BASE + 1)
    assert signer.asked == [(5, 32), (5, 1)]


async def test_nothing_is_fetched_ahead_where_the_quota_ends() -> None:
    signer = Signer(limit_bytes=4 * BASE - 1)
    urls = urls_of(signer)
    keeper = asyncio.create_task(urls.keep_ahead())
    for number in (1, 2, 3):
        await url_of(urls, number)
        await turns_of_the_loop()
    assert signer.asked == []
    signer.limit_bytes = None
    await url_of(urls, 4)
    await eventually(lambda: signer.asked == [(4, 1), (5, 32)])
    keeper.cancel()


async def test_a_refusal_for_want_of_room_ahead_is_heard_once_for_each_part_in_hand() -> None:
    """The granted parts fit exactly, so the limit is not told before somebody asks for more."""
    signer = Signer(limit_bytes=4 * BASE)
    urls = urls_of(signer)
    keeper = asyncio.create_task(urls.keep_ahead())
    for number in (1, 2, 3, 4):
        await url_of(urls, number)
        await turns_of_the_loop()
    assert signer.asked == [(5, 32)] * 3
    assert not keeper.done()
    keeper.cancel()


async def turns_of_the_loop() -> None:
    """Enough of them for a task that loops hot to be seen."""
    for _ in range(100):
        await asyncio.sleep(0)
