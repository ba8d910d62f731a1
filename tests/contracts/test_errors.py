"""Codes are a public contract: every one has a branch, and travels unharmed."""

from __future__ import annotations

import asyncio

import pytest

from contracts import errors
from contracts.errors import CODES, Conflict, NotFound, RunFailed, StrongroomError, Unavailable, branch_of, error, from_info
from contracts.tasks import cancel_surely, cancellable
from contracts.wire import Decoder, encode


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_code_has_a_branch_and_survives_the_wire(code: str) -> None:
    original = error(code, "what happened and what to do", field="x", detail="stderr")
    info = Decoder[errors.ErrorInfo](errors.ErrorInfo).decode(encode(original.info))
    copy = from_info(info)
    assert type(copy) is type(original) is branch_of(code)
    assert copy.info == original.info
    assert (type(copy) is StrongroomError) == (code == "internal")


@pytest.mark.parametrize(
    ("code", "branch"),
    [
        ("backup.not_found", NotFound),
        ("engine.database_not_found", RunFailed),
        ("run.overlap", Conflict),
        ("run.cancelled", RunFailed),
        ("node.unavailable", Unavailable),
        ("store.unavailable", Unavailable),
        ("dump.failed", RunFailed),
        ("restore.target_not_empty", Conflict),
    ],
)
def test_branches(code: str, branch: type[StrongroomError]) -> None:
    assert branch_of(code) is branch


def test_only_a_system_that_is_away_is_worth_another_try() -> None:
    assert {code for code in CODES if branch_of(code).retryable} == {
        "access.busy",
        "access.limited",
        "bus.unavailable",
        "http.unavailable",
        "node.unavailable",
        "store.full",
        "store.unavailable",
    }


def test_a_code_that_is_not_in_the_list_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="not a known error code"):
        StrongroomError("made.up", "x")


def test_a_code_from_a_newer_version_is_kept_in_words() -> None:
    exc = from_info(errors.ErrorInfo(code="future.code", message="something new"))
    assert exc.code == "internal"
    assert "future.code: something new" in exc.message


async def test_work_that_misses_its_cancellation_is_cancelled_again() -> None:
    heard = 0

    async def deaf() -> None:
        nonlocal heard
        while heard < 3:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                heard += 1
        await asyncio.sleep(60)

    task = asyncio.create_task(cancellable(deaf()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await cancel_surely(task)
    assert task.cancelled()
    assert heard == 3


async def test_cancellable_work_gives_its_result_and_its_error() -> None:
    async def work(fail: bool) -> int:
        if fail:
            raise KeyError("x")
        return 7

    assert await cancellable(work(fail=False)) == 7
    with pytest.raises(KeyError):
        await cancellable(work(fail=True))
