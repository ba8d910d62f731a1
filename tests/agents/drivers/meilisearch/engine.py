"""Meilisearch for the contract suite, looked at by its official client."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import random
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

from meilisearch import Client
from meilisearch.models.task import TaskInfo

from agents.drivers.base import DumpSource, PlannedArtifact
from agents.drivers.meilisearch.connection import MeilisearchConnection
from agents.drivers.meilisearch.driver import MeilisearchDriver
from contracts.records import RestoreTarget
from contracts.services import MeilisearchOptions
from tests.agents.drivers.contract import EngineUnderTest
from tests.servers.meilisearch.real import RealMeilisearch
from tests.servers.meilisearch.server import MeilisearchServer, install_program

T = TypeVar("T")

DEPLOY: Final = Path(__file__).parents[4] / "deploy" / "meilisearch"
LONG_UID: Final = "long-" * 40
"""Longer than the name field of a tar header, so that the archive has to write it elsewhere."""
_WAIT_MS: Final = 60_000


class MeilisearchUnderTest(EngineUnderTest):
    """An instance, and an agent's host beside it."""

    def __init__(self, server: MeilisearchServer | RealMeilisearch, directory: Path) -> None:
        self.server = server
        self.directory = directory
        self.work_dir = directory / "work"
        self.restore_dir = directory / "restores"
        for path in (self.work_dir, self.restore_dir):
            path.mkdir()
        self.bin_dir = install_program(directory / "bin")
        self._key = server.client().create_key(json.loads((DEPLOY / "backup-key.json").read_text()))
        self._contents: dict[str, Any] = {}
        self.secrets = (server.master_key, self._key.key)

    async def close(self) -> None:
        """Nothing of the test is left, but the server runs: its end is for who started it."""
        await self.revive(only_when_down=True)
        await self.wipe()
        for path in self.server.dump_dir.iterdir():
            path.unlink()
        await self.ask(lambda client: client.delete_key(self._key.uid))
        await self.do(lambda client: client.delete_tasks({"statuses": ["succeeded", "failed", "canceled"]}))

    async def ask(self, question: Callable[[Client], T]) -> T:
        """The client's answer, in a thread: it blocks."""
        return await asyncio.to_thread(question, self.server.client())

    async def do(self, writing: Callable[[Client], TaskInfo]) -> None:
        """A write, to its end."""
        await asyncio.to_thread(_done, self.server.client(), writing)

    async def fill(self) -> None:
        client = self.server.client()
        await asyncio.to_thread(_fill, client)

    def key_file(self, key: str) -> str:
        path = self.directory / f"key-{len(list(self.directory.glob('key-*')))}"
        path.write_text(key + "\n")
        return str(path)

    def connection(self, **changes: Any) -> MeilisearchConnection:
        settings: dict[str, Any] = {
            "url": self.server.url,
            "dump_dir": str(self.server.dump_dir),
            "restore_dir": str(self.restore_dir),
            "bin_dir": str(self.bin_dir),
        }
        if "api_key_file" not in changes:
            settings["api_key_file"] = self.key_file(self._key.key)
        return MeilisearchConnection(**{**settings, **changes})

    def driver(self, options: MeilisearchOptions | None = None, **changes: Any) -> MeilisearchDriver:
        return MeilisearchDriver(self.connection(**changes), options, runtime_dir=self.work_dir, work_dir=self.work_dir)

    def driver_with_wrong_credentials(self) -> MeilisearchDriver:
        return self.driver(api_key_file=self.key_file("0" * 64))

    def driver_with(self, *actions: str) -> MeilisearchDriver:
        """With a key that has these actions only."""
        options = {"actions": list(actions), "indexes": ["*"], "expiresAt": None}
        return self.driver(api_key_file=self.key_file(self.server.client().create_key(options).key))

    def target(self, *, replace: bool = False) -> RestoreTarget:
        return RestoreTarget(project="acme", service="search", node="node-1", directory="dump", replace=replace)

    @property
    def target_dir(self) -> Path:
        return self.restore_dir / "dump"

    async def content(self) -> Any:
        return await self.ask(content_of)

    async def content_of_target(self) -> Any:
        if not self.target_dir.exists():
            return None
        (dump,) = self.target_dir.glob("*.dump")
        return await asyncio.to_thread(self.content_of_dump, dump)

    def content_of_dump(self, dump: Path) -> Any:
        """What an instance has that is launched from the dump, with the same master key; of the same bytes, the same."""
        digest = hashlib.sha256(dump.read_bytes()).hexdigest()
        if digest not in self._contents:
            self._contents[digest] = self._launch_from(dump)
        return self._contents[digest]

    def _launch_from(self, dump: Path) -> Any:
        program = self.server.program if isinstance(self.server, RealMeilisearch) else ""
        directory = self.directory / "launched"
        launched = MeilisearchServer(directory, master_key=self.server.master_key, import_dump=dump, program=program)
        launched.start()
        try:
            wait_until_idle(launched.client())
            return content_of(launched.client())
        finally:
            launched.kill()
            shutil.rmtree(directory)

    async def wipe(self) -> None:
        shutil.rmtree(self.target_dir, ignore_errors=True)
        await self.ask(_wipe)

    async def change(self) -> None:
        (self.target_dir / "notes.txt").write_text("of somebody else")
        (dump,) = self.target_dir.glob("*.dump")
        os.truncate(dump, 100)
        (self.target_dir / "older.txt").unlink()

    async def occupy_target(self) -> None:
        """A dump of one more index, that an admin has put there."""
        await self.do(lambda client: client.create_index("of-the-target"))
        dump = await asyncio.to_thread(make_dump, self.server.client(), self.server.dump_dir)
        await self.do(lambda client: client.delete_index("of-the-target"))
        self.target_dir.mkdir()
        (self.target_dir / "older.txt").touch()
        shutil.move(dump, self.target_dir / "of-an-admin.dump")

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        client, first, stop = self.server.client(), asyncio.Event(), asyncio.Event()

        async def write() -> None:
            number = 0
            while not stop.is_set():
                for uid in ("movies", f"written-{number % 7}"):
                    document = [{"id": f"written-{number}", "number": number}]
                    await asyncio.to_thread(client.index(uid).add_documents, document, "id")
                first.set()
                number += 1

        async with asyncio.TaskGroup() as group:
            group.create_task(write())
            await first.wait()
            yield
            stop.set()

    def check_written_meanwhile(self, before: Any, restored: Any) -> None:
        assert restored["keys"] == before["keys"]
        for uid, index in before["indexes"].items():
            found = restored["indexes"][uid]
            assert found["settings"] == index["settings"]
            added = [document for document in found["documents"] if document not in index["documents"]]
            assert [document for document in index["documents"] if document not in found["documents"]] == []
            assert all(str(document["id"]).startswith("written-") for document in added)
        assert all(uid.startswith("written-") for uid in restored["indexes"].keys() - before["indexes"].keys())

    def large_artifact(self, planned: list[PlannedArtifact]) -> PlannedArtifact:
        return planned[0]

    async def break_dump(self, source: DumpSource) -> None:
        """The file is cut off while it is read, as by somebody who makes room."""
        del source
        (dump,) = self.server.dump_dir.glob("*.dump")
        os.truncate(dump, dump.stat().st_size // 2)

    async def kill(self) -> None:
        self.server.kill()

    async def revive(self, *, only_when_down: bool = False) -> None:
        if only_when_down and self.server.running:
            return
        self.server.kill()
        self.server.start()  # not in a thread: the server dies with the one that has started it

    async def makes_a_dump(self) -> bool:
        """Whether a dump task is being processed."""
        processing = {"types": ["dumpCreation"], "statuses": ["processing"]}
        return (await self.ask(lambda client: client.get_tasks(processing))).total > 0

    async def leftovers(self) -> list[str]:
        tasks = await self.ask(lambda client: client.get_tasks({"statuses": ["enqueued", "processing"]}))
        left = [f"task {task.uid}: {task.type}" for task in tasks.results]
        left += [str(path) for path in (*self.server.dump_dir.iterdir(), *self.work_dir.iterdir())]
        left += [str(path) for path in self.restore_dir.iterdir() if path != self.target_dir]
        if self.target_dir.exists():
            left += [str(path) for path in self.target_dir.iterdir() if path.suffix not in {".dump", ".txt"}]
        return left

    async def expected_counts(self) -> dict[str, int]:
        stats = await self.ask(lambda client: client.get_all_stats())
        return {uid: index["numberOfDocuments"] for uid, index in stats["indexes"].items()}


def content_of(client: Client) -> Any:
    """Indexes with their settings and documents, and the keys with what they allow."""
    indexes = {}
    for index in client.get_indexes({"limit": 1000})["results"]:
        found = client.http.get(f"indexes/{index.uid}/documents?limit=100000")["results"]
        indexes[index.uid] = {
            "primaryKey": index.primary_key,
            "settings": client.http.get(f"indexes/{index.uid}/settings"),
            "documents": sorted(found, key=lambda document: str(document[index.primary_key])),
        }
    keys = [key.model_dump(exclude={"updated_at"}) for key in client.get_keys({"limit": 1000}).results]
    return {"indexes": indexes, "keys": sorted(keys, key=lambda key: str(key["uid"]))}


def make_dump(client: Client, dump_dir: Path) -> Path:
    """A dump that is not ours."""
    task = client.wait_for_task(client.create_dump().task_uid, timeout_in_ms=_WAIT_MS, interval_in_ms=5)
    assert task.details is not None
    return dump_dir / f"{task.details['dumpUid']}.dump"


def wait_until_idle(client: Client) -> None:
    for task in client.get_tasks({"statuses": ["enqueued", "processing"], "limit": 10_000}).results:
        client.wait_for_task(task.uid, timeout_in_ms=_WAIT_MS, interval_in_ms=5)


def _done(client: Client, writing: Callable[[Client], TaskInfo]) -> None:
    task = client.wait_for_task(writing(client).task_uid, timeout_in_ms=_WAIT_MS, interval_in_ms=5)
    assert task.status == "succeeded", task.error


def _wipe(client: Client) -> None:
    wait_until_idle(client)
    for index in client.get_indexes({"limit": 1000})["results"]:
        _done(client, lambda client, uid=index.uid: client.delete_index(uid))  # type: ignore[misc]


def _fill(client: Client) -> None:
    odd: list[dict[str, Any]] = [
        {"id": "it-s", "title": 'l\'été "à" la\nmer\t\\ 🏖', "nested": {"ö": [1, 2.5, None, True]}, "empty": ""},
        {"id": "2", "title": "\u2028 line separators \u0085 \r\n", "big": 9_007_199_254_740_991},
    ]
    noise = random.Random(7)  # noqa: S311  # the same each time
    big = [{"key": number, "noise": base64.b64encode(noise.randbytes(48_000)).decode()} for number in range(100)]
    _done(client, lambda client: client.index("movies").add_documents(odd, "id"))
    settings = {"stopWords": ["der", "die"], "synonyms": {"été": ["summer"]}, "filterableAttributes": ["title"]}
    _done(client, lambda client: client.index("movies").update_settings(settings))
    _done(client, lambda client: client.index("big").add_documents(big, "key"))
    _done(client, lambda client: client.index(LONG_UID).add_documents([{"id": 1}], "id"))
    for uid in ("-", "_0", "EMPTY"):
        _done(client, lambda client, uid=uid: client.create_index(uid))  # type: ignore[misc]
