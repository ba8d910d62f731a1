"""Tags that people give and take away, and the protection that comes with some."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from contracts import control
from contracts.control import Verb
from contracts.errors import Conflict, NotFound, StrongroomError
from contracts.manifest import manifest_decoder
from contracts.policy.retention_policy import RetentionPolicy
from contracts.policy.schedule import Daily
from contracts.policy.tags import MOST_TAGS
from contracts.records import BackupRecord, RunState
from daemon.settings import CoordinatorSettings
from tests.daemon.inside import catalog_of
from tests.daemon.scene import Scene, at, scene
from tests.servers.nats import NatsServer
from tests.servers.s3 import Bucket
from tests.servers.waiting import eventually

START = at("2026-03-02 00:00")


async def tag(made: Scene, backup: BackupRecord, **fields: Any) -> list[str]:
    """The tags that it has then."""
    call = {"project": "acme", "service": "orders", "id": backup.id, "actor": "ada", **fields}
    return (await made.operator.call(control.BACKUP_TAG, msgspec.convert(call, control.BackupTag))).tags


async def protect(made: Scene, backup: BackupRecord, *, off: bool = False) -> list[str]:
    """The tags that it has then."""
    call = control.BackupProtect(project="acme", service="orders", id=backup.id, protect=not off, actor="ada")
    return (await made.operator.call(control.BACKUP_PROTECT, call)).tags


async def delete(made: Scene, backup: BackupRecord, *, force: bool = False) -> None:
    call = control.BackupDelete(project="acme", service="orders", id=backup.id, force=force)
    await made.operator.call(control.BACKUP_DELETE, call)


async def refusal(made: Scene, verb: Verb[Any, Any], request: Any) -> tuple[str, str | None]:
    """Code and field of the error."""
    with pytest.raises(StrongroomError) as caught:
        await made.operator.call(verb, request)
    return caught.value.code, caught.value.field


async def test_tags_are_given_and_taken_away_and_each_change_is_an_event(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    async with scene(settings, nats_server, start=START) as made:
        await made.add_service(schedule=Daily(at="00:30"))
        manual = await made.make(tags=["v1"])
        assert await tag(made, manual, add=["release:42", "before-migration", "release:42"]) == [
            "before-migration",
            "release:42",
            "v1",
        ]
        assert await tag(made, manual, add=["v2"], remove=["v1", "never-there"]) == ["before-migration", "release:42", "v2"]
        # What changes nothing is no event.
        await tag(made, manual, add=["v2"], remove=["v1"])
        assert (await made.record(manual)).tags == ["before-migration", "release:42", "v2"]

        entry = await made.passes(at("2026-03-02 00:30"))
        (automatic,) = [backup for backup in await made.completed() if backup.id == entry.run_id]
        assert await tag(made, automatic, add=["audit"]) == ["audit", "daily", "monthly", "weekly"]

        events = await made.events("backup.tagged")
        assert [(event.backup_id, event.actor) for event in events] == [
            (manual.id, "ada"),
            (manual.id, "ada"),
            (automatic.id, "ada"),
        ]
        assert [event.facts for event in events] == [
            {"added": ["before-migration", "release:42"], "removed": []},
            {"added": ["v2"], "removed": ["v1"]},
            {"added": ["audit"], "removed": []},
        ]


async def test_a_tag_given_while_the_backup_runs_is_in_its_record_and_manifest(
    settings: CoordinatorSettings, nats_server: NatsServer, bucket: Bucket
) -> None:
    async with scene(settings, nats_server, start=START) as made:
        await made.add_service()
        made.robot.may_finish.clear()
        run = await made.request(tags=["v1"])

        async def is_running() -> bool:
            return (await made.record(run)).state is RunState.RUNNING

        await eventually(is_running)
        await tag(made, run, add=["v2"])
        made.robot.may_finish.set()
        await made.idle()
        done = await made.record(run)
        assert (done.state, done.tags) == (RunState.COMPLETED, ["v1", "v2"])
        assert manifest_decoder.decode(bucket.read(done.manifest_key)).tags == ["v1", "v2"]


async def test_tags_that_cannot_be_or_are_reserved_are_refused_with_their_field_and_change_nothing(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    async with scene(settings, nats_server, start=START) as made:
        await made.add_service()
        backup = await made.make(tags=["v1"])
        for field in ("add", "remove"):
            for wrong in ("daily", "weekly", "monthly", "Monthly", "", "x" * 25, "with space", "süß", "a.b", "new\nline"):
                fields = {"project": "acme", "service": "orders", "id": backup.id, field: ["v2", wrong]}
                call = msgspec.convert(fields, control.BackupTag)
                assert await refusal(made, control.BACKUP_TAG, call) == ("input.invalid", field), wrong
        both = control.BackupTag(project="acme", service="orders", id=backup.id, add=["v2"], remove=["v2"])
        assert await refusal(made, control.BACKUP_TAG, both) == ("input.invalid", "add")
        unknown = control.BackupTag(project="acme", service="orders", id="20260302T000000Z-aaaa", add=["v2"])
        assert await refusal(made, control.BACKUP_TAG, unknown) == ("backup.not_found", "backup")
        for tags in (["daily"], ["with space"], [f"t{number}" for number in range(MOST_TAGS + 1)]):
            request = control.BackupCreate(project="acme", service="orders", tags=tags)
            assert await refusal(made, control.BACKUP_CREATE, request) == ("input.invalid", "tags")
        assert (await made.record(backup)).tags == ["v1"]
        assert await made.events("backup.tagged") == []
        assert len(await made.backups()) == 1

        longest = "Aa0:_-" * 4
        assert longest in await tag(made, backup, add=[longest], remove=["v1"])
        most = [f"t{number}" for number in range(MOST_TAGS - 1)]
        assert len(await tag(made, backup, add=most)) == MOST_TAGS
        one_more = control.BackupTag(project="acme", service="orders", id=backup.id, add=["v2"])
        assert await refusal(made, control.BACKUP_TAG, one_more) == ("input.invalid", "add")
        assert "v2" in await tag(made, backup, add=["v2"], remove=["t0"])


async def test_a_protected_backup_is_deleted_only_by_force(settings: CoordinatorSettings, nats_server: NatsServer) -> None:
    async with scene(settings, nats_server, start=START) as made:
        await made.add_service()
        backup = await made.make(tags=["v1"])
        assert await protect(made, backup) == ["protected", "v1"]
        assert await protect(made, backup) == ["protected", "v1"]
        with pytest.raises(Conflict, match="protected tag 'protected'") as caught:
            await delete(made, backup)
        assert (caught.value.code, caught.value.field) == ("backup.protected", "id")
        assert (await made.record(backup)).state is RunState.COMPLETED
        await delete(made, backup, force=True)
        assert await made.backups() == []

        other = await made.make()
        await protect(made, other)
        assert await protect(made, other, off=True) == []
        await delete(made, other)
        assert await made.backups() == []
        assert len(await made.events("backup.tagged")) == 3


async def test_protection_goes_by_the_tags_that_the_policy_of_the_service_names(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    async with scene(settings, nats_server, start=START) as made:
        await made.add_service(retention=RetentionPolicy(protected_tags=["gold", "silver"]))
        first, second = await made.make(tags=["silver", "v1"]), await made.make(tags=["protected"])
        # One that bears any of them needs no other; taking protection away takes them all.
        assert await protect(made, first) == ["silver", "v1"]
        assert await tag(made, first, add=["gold"]) == ["gold", "silver", "v1"]
        assert await protect(made, first, off=True) == ["v1"]
        assert await protect(made, second) == ["gold", "protected"]
        assert await protect(made, second, off=True) == ["protected"]
        await delete(made, second)

        await made.add_service("books", retention=RetentionPolicy(protected_tags=[]))
        await made.alive()
        book = await made.make("books")
        call = control.BackupProtect(project="acme", service="books", id=book.id)
        assert await refusal(made, control.BACKUP_PROTECT, call) == ("input.invalid", "retention.protected_tags")


async def test_a_policy_may_protect_what_the_coordinator_tags_and_people_still_protect_others(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    async with scene(settings, nats_server, start=START) as made:
        policy = RetentionPolicy(protected_tags=["monthly", "gold"])
        await made.add_service(schedule=Daily(at="00:30"), retention=policy)
        await made.passes(at("2026-03-02 00:30"))
        await made.passes(at("2026-03-03 00:30"))
        month, day = await made.completed()
        with pytest.raises(Conflict) as caught:
            await delete(made, month)
        assert caught.value.code == "backup.protected"
        assert await protect(made, day) == ["daily", "gold"]
        assert await protect(made, day, off=True) == ["daily"]
        # The month's own tag is not theirs to take.
        assert await protect(made, month, off=True) == ["daily", "monthly", "weekly"]


async def test_the_tags_of_a_backup_that_is_being_deleted_stay_as_they_are(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    async with scene(settings, nats_server, start=START) as made, catalog_of(nats_server) as catalog:
        await made.add_service()
        backup = await made.make(tags=["v1"])
        stored = await catalog.need_backup("acme", "orders", backup.id)
        deleting = msgspec.structs.replace(stored.value, state=RunState.DELETING, deleting_since=START)
        await catalog.backups.update(stored.key, deleting, stored.revision)
        with pytest.raises(Conflict, match="being deleted") as caught:
            await tag(made, backup, add=["v2"])
        assert caught.value.code == "backup.not_completed"
        with pytest.raises(Conflict, match="being deleted"):
            await protect(made, backup)
        assert (await made.record(backup)).tags == ["v1"]
        await delete(made, backup)
        with pytest.raises(NotFound):
            await tag(made, backup, add=["v2"])
        assert await made.events("backup.tagged") == []
