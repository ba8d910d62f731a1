"""The projects' quotas at work: every change of a usage record by compare-and-set, many of them in one write.

All runs of a project share one record.  Whoever comes while a write is under way waits and is then written together with all
others that wait, so that a thousand runs of one project cost some dozens of writes, not a thousand that chase each other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from contracts.errors import Conflict, StrongroomError
from contracts.policy import quota
from contracts.records import BackupRecord, UsageRecord
from daemon.catalog.buckets import RecordChanged, key
from daemon.catalog.catalog import Catalog

MANIFEST: Final = "manifest"
"""The manifest among a run's artifacts, which else go by their index."""

Change = Callable[[UsageRecord, int], UsageRecord]
"""From the record and the project's quota to the record as it should be."""

Condition = Callable[[], Awaitable[bool]]
"""Whether a change is still wanted, asked after the record was read that it is to be made in."""


class Quotas:
    """What projects store, and what their runs under way hold."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._accounts: dict[str, _Account] = {}

    async def usage(self, project: str) -> UsageRecord:
        stored = await self._catalog.usage.get(project)
        return stored.value if stored is not None else UsageRecord(project=project)

    async def reserve(self, record: BackupRecord, estimate_bytes: int) -> None:
        """The run holds its estimate.  Raises: Conflict `quota.exceeded` when there is no room for it."""
        run = run_key(record)
        after, quota_bytes = await self._change(
            record.project, lambda usage, limit: quota.reserve(usage, run, estimate_bytes, limit), needs_quota=True
        )
        if run not in after.reserved:
            raise exceeded(after, quota_bytes, f"backup {record.id} is expected to take {estimate_bytes:,} bytes")

    async def shortage(self, project: str, wanted_bytes: int) -> int:
        """How many bytes are missing for that much more; 0 or less when none are."""
        owner = await self._catalog.need_project(project)
        return wanted_bytes - quota.free_bytes(await self.usage(project), owner.value.quota_bytes)

    async def grant(self, record: BackupRecord, artifact: str, wanted_bytes: int) -> int:
        """How many bytes in all the artifact may have now: as many as it wants, or fewer."""
        run, attempt = run_key(record), record.attempt
        after, _ = await self._change(
            record.project,
            lambda usage, limit: quota.grant(usage, run, attempt, artifact, wanted_bytes, limit),
            needs_quota=True,
        )
        return quota.granted_bytes(after, run, attempt, artifact)

    async def grant_ahead(self, record: BackupRecord, artifact: str, ends: Sequence[int]) -> int:
        """As `grant` up to the first of these ends, in order, and on to later ones as far as there is plenty of room."""
        run, attempt = run_key(record), record.attempt

        def change(usage: UsageRecord, limit: int) -> UsageRecord:
            wanted_bytes = quota.ahead_bytes(usage, run, attempt, artifact, ends, limit)
            return quota.grant(usage, run, attempt, artifact, wanted_bytes, limit)

        after, _ = await self._change(record.project, change, needs_quota=True)
        return quota.granted_bytes(after, run, attempt, artifact)

    async def close(self, record: BackupRecord, artifact: str, size_bytes: int) -> None:
        """The artifact is complete, with no more than it was granted."""
        run, attempt = run_key(record), record.attempt
        await self._change(record.project, lambda usage, _: quota.close(usage, run, attempt, artifact, size_bytes))

    async def abort(self, record: BackupRecord, artifact: str) -> None:
        run, attempt = run_key(record), record.attempt
        await self._change(record.project, lambda usage, _: quota.abort(usage, run, attempt, artifact))

    async def commit(self, record: BackupRecord) -> None:
        """What the run held is a completed backup now.  Safe to repeat."""
        await self._change(record.project, lambda usage, _: quota.commit(usage, run_key(record), record.size_bytes))

    async def drop(self, project: str, service: str, run_id: str) -> None:
        """The run left nothing.  Safe to repeat."""
        await self._change(project, lambda usage, _: quota.drop(usage, f"{service}/{run_id}"))

    async def release(self, record: BackupRecord, revision: int) -> None:
        """The backup's objects are gone.  Safe to repeat, and without effect once its record is not at this revision any
        more: then somebody else carries the deletion on, or did so long ago and `forget_release` has followed."""
        name = key(record.project, record.service, record.id)

        async def still_ours() -> bool:
            stored = await self._catalog.backups.get(name)
            return stored is not None and stored.revision == revision

        await self._change(
            record.project, lambda usage, _: quota.release(usage, run_key(record), record.size_bytes), only_if=still_ours
        )

    async def forget_release(self, project: str, service: str, run_id: str) -> None:
        await self._change(project, lambda usage, _: quota.forget_release(usage, f"{service}/{run_id}"))

    async def _change(
        self, project: str, change: Change, *, needs_quota: bool = False, only_if: Condition | None = None
    ) -> tuple[UsageRecord, int]:
        account = self._accounts.get(project)
        if account is None:
            account = self._accounts[project] = _Account(self._catalog, project)
        try:
            return await account.change(_Waiting(change, needs_quota=needs_quota, only_if=only_if))
        finally:
            if account.is_idle:
                self._accounts.pop(project, None)


class _Waiting:
    """A change on its way, and what came of it."""

    def __init__(self, change: Change, *, needs_quota: bool, only_if: Condition | None) -> None:
        self.change = change
        self.needs_quota = needs_quota
        self.only_if = only_if
        self.result: tuple[UsageRecord, int] | None = None
        self.failure: Exception | None = None

    @property
    def is_done(self) -> bool:
        return self.result is not None or self.failure is not None


class _Account:
    """One project's usage record."""

    def __init__(self, catalog: Catalog, project: str) -> None:
        self._catalog = catalog
        self._project = project
        self._writing = asyncio.Lock()
        self._waiting: list[_Waiting] = []

    @property
    def is_idle(self) -> bool:
        return not self._waiting and not self._writing.locked()

    async def change(self, mine: _Waiting) -> tuple[UsageRecord, int]:
        """The record after this change, and the quota it was held against."""
        self._waiting.append(mine)
        try:
            async with self._writing:
                if not mine.is_done:
                    await self._write(list(self._waiting))
        finally:
            self._waiting = [each for each in self._waiting if each is not mine]
        if mine.failure is not None:
            raise mine.failure
        assert mine.result is not None, "whoever held the lock wrote for all that waited"
        return mine.result

    async def _write(self, batch: list[_Waiting]) -> None:
        batch = [each for each in batch if not each.is_done]
        try:
            quota_bytes = await self._quota() if any(each.needs_quota for each in batch) else 0
            results = await self._apply(batch, quota_bytes)
        except StrongroomError as exc:
            for each in batch:
                each.failure = exc
            return
        for each, usage in zip(batch, results, strict=True):
            each.result = (usage, quota_bytes)

    def _try(self, each: _Waiting, usage: UsageRecord, quota_bytes: int) -> UsageRecord:
        """One change that cannot be made must not fail those that are written with it."""
        each.failure = None
        try:
            return each.change(usage, quota_bytes)
        except Exception as exc:  # noqa: BLE001 - it is raised to whoever asked for the change
            each.failure = exc
            return usage

    async def _quota(self) -> int:
        """Nothing for a project that is gone."""
        owner = await self._catalog.projects.get(self._project)
        return owner.value.quota_bytes if owner is not None else 0

    async def _apply(self, batch: list[_Waiting], quota_bytes: int) -> list[UsageRecord]:
        """The record as it is after each change, written once with all of them."""
        while True:
            stored = await self._catalog.usage.get(self._project)
            before = usage = stored.value if stored is not None else UsageRecord(project=self._project)
            results = []
            for each in batch:
                # After the record was read: what is written below is then written only if the condition still holds, as
                # long as whatever ends it changes the record afterwards.
                if each.only_if is None or await each.only_if():
                    usage = self._try(each, usage, quota_bytes)
                results.append(usage)
            try:
                if usage is not before and stored is not None:
                    await self._catalog.usage.update(self._project, usage, stored.revision)
                elif usage is not before:
                    await self._catalog.usage.create(self._project, usage)
            except RecordChanged:
                continue
            return results


def exceeded(usage: UsageRecord, quota_bytes: int, what: str) -> Conflict:
    """`quota.exceeded`, with the figures that tell what to do."""
    free = max(0, quota.free_bytes(usage, quota_bytes))
    return Conflict(
        "quota.exceeded",
        f"{what}, and project {usage.project!r} has {free:,} of its {quota_bytes:,} bytes left: delete backups, keep fewer, "
        f"or raise the quota with `strongroom project set-quota {usage.project}`",
        field="quota_bytes",
    )


def run_key(record: BackupRecord) -> str:
    """The run's name in the project's usage record."""
    return f"{record.service}/{record.id}"
