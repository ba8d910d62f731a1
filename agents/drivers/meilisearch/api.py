"""The requests that a backup makes of Meilisearch, and why they fail.

Meilisearch answers a key that it does not know and one that lacks a right with the same words (403 `invalid_api_key`), so
what a key may do is found out by asking for harmless things.
"""

from __future__ import annotations

import shlex
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import msgspec

from agents.drivers.http_engine import REQUEST_TIMEOUT_S, EngineHttp, EngineRefused, open_engine
from agents.drivers.meilisearch.connection import MeilisearchConnection
from agents.drivers.secret_files import Secret, read_secret
from contracts.errors import RunFailed

T = TypeVar("T")

NEEDED_ACTIONS: Final = ("dumps.create", "tasks.get", "stats.get", "version")
OPTIONAL_ACTIONS: Final = ("tasks.cancel",)
UNFINISHED: Final = frozenset({"enqueued", "processing"})
_FORBIDDEN: Final = 403
_UNAUTHORIZED: Final = 401
_NOT_FOUND: Final = 404
_PROBES: Final = {"version": "/version", "stats.get": "/stats", "tasks.get": "/tasks?limit=1"}


class VersionAnswer(msgspec.Struct, frozen=True, rename="camel"):
    pkg_version: str


class IndexStats(msgspec.Struct, frozen=True, rename="camel"):
    number_of_documents: int
    raw_document_db_size: int = 0
    """Not told by versions before 1.15."""
    field_distribution: dict[str, int] = {}


class Stats(msgspec.Struct, frozen=True, rename="camel"):
    indexes: dict[str, IndexStats]
    database_size: int = 0
    used_database_size: int = 0

    @property
    def counts(self) -> dict[str, int]:
        return {uid: index.number_of_documents for uid, index in sorted(self.indexes.items())}


class TaskError(msgspec.Struct, frozen=True):
    message: str
    code: str = ""


class TaskDetails(msgspec.Struct, frozen=True, rename="camel"):
    dump_uid: str | None = None


class Task(msgspec.Struct, frozen=True, rename="camel"):
    """A task; times as the server prints them, see `moment`."""

    uid: int
    status: str
    type: str
    enqueued_at: str
    started_at: str | None = None
    finished_at: str | None = None
    canceled_by: int | None = None
    details: TaskDetails | None = None
    error: TaskError | None = None

    @property
    def is_finished(self) -> bool:
        return self.status not in UNFINISHED


class NewTask(msgspec.Struct, frozen=True, rename="camel"):
    task_uid: int
    enqueued_at: str


class TaskList(msgspec.Struct, frozen=True, rename="camel"):
    results: list[Task]
    total: int = 0


class MeilisearchApi:
    """Requests to one instance.  Made by `open_api`.

    Raises throughout: RunFailed `engine.unreachable`, `engine.auth_failed`, `engine.permission`, `engine.refused`.
    """

    def __init__(self, http: EngineHttp, *, key_file: str, has_key: bool, secret: Secret | None) -> None:
        self._http = http
        self._key_file = key_file
        self._has_key = has_key
        self._secret = secret

    @property
    def url(self) -> str:
        return self._http.url

    async def require_serving(self, timeout_s: float = REQUEST_TIMEOUT_S) -> None:
        """Raises: RunFailed `engine.degraded` when the instance says that it has to be restarted."""
        try:
            await self._http.send("GET", "/health", timeout_s=timeout_s)
        except EngineRefused as exc:
            if "mustRestart" in exc.body:
                what = f"Meilisearch at {self.url} says that it must be restarted before it works again: restart it"
                raise RunFailed("engine.degraded", what) from exc
            raise

    async def version(self, timeout_s: float = REQUEST_TIMEOUT_S) -> str:
        answer = await self._ask("version", "GET", "/version", VersionAnswer, timeout_s=timeout_s)
        return answer.pkg_version

    async def stats(self) -> Stats:
        return await self._ask("stats.get", "GET", "/stats", Stats)

    async def task(self, uid: int) -> Task | None:
        """None when there is none of that number, or no more."""
        try:
            return await self._ask("tasks.get", "GET", f"/tasks/{uid}", Task)
        except EngineRefused as exc:
            if exc.status == _NOT_FOUND:
                return None
            raise

    async def tasks(self, **filters: str) -> TaskList:
        """Newest first, as the filters and `limit` say."""
        return await self._ask("tasks.get", "GET", "/tasks", TaskList, params=filters)

    async def create_dump(self) -> NewTask:
        return await self._ask("dumps.create", "POST", "/dumps", NewTask)

    async def cancel(self, task_uid: int) -> bool:
        """Whether the task is going to be cancelled; false when the key does not allow that."""
        try:
            await self._http.send("POST", "/tasks/cancel", params={"uids": str(task_uid)})
        except EngineRefused as exc:
            if exc.status == _FORBIDDEN:
                return False
            raise
        return True

    async def may_cancel(self) -> bool:
        """Whether the key has `tasks.cancel`: a request that names no tasks is refused after that was looked at."""
        try:
            await self._http.send("POST", "/tasks/cancel")
        except EngineRefused as exc:
            return exc.status not in {_FORBIDDEN, _UNAUTHORIZED}
        return True

    async def _ask(self, action: str, method: str, path: str, shape: type[T], **request: Any) -> T:
        try:
            return await self._http.ask(method, path, type=shape, **request)
        except EngineRefused as exc:
            if exc.status == _UNAUTHORIZED:
                raise self._no_key(exc) from exc
            if exc.status == _FORBIDDEN:
                raise await self._denied(action, exc) from exc
            raise

    def _no_key(self, exc: EngineRefused) -> RunFailed:
        what = f"Meilisearch at {self.url} asks for an API key"
        taken = f"it did not take the one of {self._key_file}"
        remedy = taken if self._has_key else "set api_key_file in the service's file"
        return RunFailed("engine.auth_failed", f"{what}: {remedy}", detail=self._hidden(exc.body))

    async def _denied(self, action: str, exc: EngineRefused) -> RunFailed:
        lacking = {action}
        refused = 0
        for each, path in _PROBES.items():
            if not await self._may(path):
                lacking.add(each)
                refused += 1
        make = f"make one as {self._make_key_command()} and put its `key` into {self._key_file or 'api_key_file'}"
        if refused == len(_PROBES):
            what = f"Meilisearch at {self.url} does not know the API key of {self._key_file}, or that has expired or has "
            what += f"none of the actions {', '.join(NEEDED_ACTIONS)}: correct it, or {make}"
            return RunFailed("engine.auth_failed", what, detail=self._hidden(exc.body))
        names = f"action{'s' if len(lacking) > 1 else ''} {', '.join(sorted(lacking))}"
        what = f"the API key of {self._key_file} for Meilisearch at {self.url} lacks the {names}, "
        what += f"and a key's actions cannot be changed: {make}"
        return RunFailed("engine.permission", what, detail=self._hidden(exc.body))

    async def _may(self, path: str) -> bool:
        try:
            await self._http.send("GET", path)
        except EngineRefused as exc:
            return exc.status != _FORBIDDEN
        return True

    def _make_key_command(self) -> str:
        body = {
            "name": "strongroom-backup",
            "actions": [*NEEDED_ACTIONS, *OPTIONAL_ACTIONS],
            "indexes": ["*"],
            "expiresAt": None,
        }
        data = shlex.quote(msgspec.json.encode(body).decode())
        # By standard input: an argument of curl could be read by every user of the host.
        key = """printf 'header = "Authorization: Bearer %s"' "$MEILI_MASTER_KEY\""""
        where = shlex.quote(f"{self.url}/keys")
        return f"{key} | curl -K - -X POST {where} -H 'Content-Type: application/json' --data {data}"

    def _hidden(self, text: str) -> str | None:
        return (self._secret.hide_in(text) if self._secret else text) or None


@asynccontextmanager
async def open_api(connection: MeilisearchConnection) -> AsyncIterator[MeilisearchApi]:
    """Raises: InvalidInput `config.invalid` for a key file that cannot be used."""
    secret = read_secret(connection.api_key_file, "api_key_file") if connection.api_key_file else None
    async with open_with_key(connection.url, secret, key_file=connection.api_key_file, ca_file=connection.ca_file) as api:
        yield api


@asynccontextmanager
async def open_with_key(
    url: str, secret: Secret | None, *, key_file: str = "", ca_file: str = ""
) -> AsyncIterator[MeilisearchApi]:
    headers = {"Authorization": f"Bearer {secret.reveal()}"} if secret else None
    async with open_engine(url, name="Meilisearch", headers=headers, ca_file=ca_file, connections=4) as http:
        yield MeilisearchApi(http, key_file=key_file, has_key=secret is not None, secret=secret)


def moment(text: str) -> datetime:
    """A time as Meilisearch prints it, to the microsecond."""
    parsed = datetime.fromisoformat(text)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
