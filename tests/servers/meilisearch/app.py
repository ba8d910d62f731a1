"""The HTTP API: paths, rights and shapes of answers follow Meilisearch 1.50 and its published API description."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final
from urllib.parse import urlencode

from aiohttp import web

from tests.servers.meilisearch.control import MUST_RESTART, Control
from tests.servers.meilisearch.errors import ApiError
from tests.servers.meilisearch.filters import matching, require_filters
from tests.servers.meilisearch.keys import Keys
from tests.servers.meilisearch.options import Options
from tests.servers.meilisearch.queue import UNFINISHED, Queue
from tests.servers.meilisearch.store import Store

Handler = Callable[["Api", web.Request], Awaitable[web.Response]]
_MAX_BODY: Final = 100 * 1024 * 1024
_INDEX_UID: Final = re.compile(r"[a-zA-Z0-9_-]{1,400}")
_INDEX_UID_RULE: Final = (
    "`{}` is not a valid index uid. Index uid can be an integer or a string containing only alphanumeric "
    "characters, hyphens (-) and underscores (_), and can not be more than 512 bytes."
)
_ROUTES: list[tuple[str, str, str, Handler]] = []


def route(method: str, path: str, action: str = "") -> Callable[[Handler], Handler]:
    """`action` is the right that the request needs; none for what everybody may."""

    def add(handler: Handler) -> Handler:
        _ROUTES.append((method, path, action, handler))
        return handler

    return add


class Api:
    """One server's handlers."""

    def __init__(self, options: Options, store: Store, *, is_new: bool) -> None:
        self.options = options
        self.store = store
        self.control = Control(options.control)
        self.keys = Keys(store, options.master_key)
        if is_new and options.master_key:
            self.keys.make_defaults()
        self.queue = Queue(store, options, self.control, store.meta("instance_uid", str(uuid.uuid4())))

    def application(self) -> web.Application:
        app = web.Application(client_max_size=_MAX_BODY, middlewares=[_errors])
        for method, path, action, handler in _ROUTES:
            app.router.add_route(method, path, self._guarded(action, handler))
        app.cleanup_ctx.append(self._working)
        return app

    def _guarded(self, action: str, handler: Handler) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            if action:
                self.keys.authorize(request.headers.get("Authorization"), action)
            return await handler(self, request)

        return handle

    async def _working(self, _: web.Application) -> AsyncIterator[None]:
        worker = asyncio.create_task(self.queue.run(), name="queue")
        yield
        worker.cancel()
        await asyncio.wait([worker])

    def index(self, request: web.Request) -> dict[str, Any]:
        """The index that the path names, which exists."""
        uid = index_uid(request)
        found = self.store.index(uid)
        if found is None:
            raise ApiError("index_not_found", f"Index `{uid}` not found.")
        return found

    def index_stats(self, uid: str) -> dict[str, Any]:
        count, size = self.store.document_count(uid), self.store.document_bytes(uid)
        fields: dict[str, int] = {}
        for document in self.store.documents(uid):
            for name in document:
                fields[name] = fields.get(name, 0) + 1
        busy = any(task["status"] == "processing" and task["indexUid"] == uid for task in self.store.tasks())
        return {
            "numberOfDocuments": count,
            "rawDocumentDbSize": size,
            "avgDocumentSize": size // count if count else 0,
            "isIndexing": busy,
            "numberOfEmbeddings": 0,
            "numberOfEmbeddedDocuments": 0,
            "fieldDistribution": dict(sorted(fields.items())),
        }


@web.middleware
async def _errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except ApiError as exc:
        return web.json_response(exc.body, status=exc.status)
    except web.HTTPNotFound:
        return web.Response(status=404)


def index_uid(request: web.Request) -> str:
    uid = request.match_info["uid"]
    if not _INDEX_UID.fullmatch(uid):
        raise ApiError("invalid_index_uid", _INDEX_UID_RULE.format(uid))
    return uid


async def json_body(request: web.Request, *, optional: bool = False) -> Any:
    """Raises: ApiError for a body that is not JSON, or is not said to be."""
    text = await request.read()
    if not text and optional:
        return None
    kind = request.headers.get("Content-Type")
    if kind is None:
        raise ApiError("missing_content_type", "A Content-Type header is missing. Accepted values: `application/json`")
    if kind.partition(";")[0].strip() != "application/json":
        raise ApiError("invalid_content_type", f"The Content-Type `{kind}` is invalid. Accepted values: `application/json`")
    if not text:
        raise ApiError("missing_payload", "A json payload is missing.")
    try:
        return json.loads(text)
    except ValueError as exc:
        raise ApiError("malformed_payload", f"The json payload provided is malformed. `{exc}`.") from exc


def page(request: web.Request, results: list[Any]) -> dict[str, Any]:
    offset, limit = int(request.query.get("offset", "0")), int(request.query.get("limit", "20"))
    return {"results": results[offset : offset + limit], "offset": offset, "limit": limit, "total": len(results)}


def accepted(summary: dict[str, Any]) -> web.Response:
    return web.json_response(summary, status=202)


@route("GET", "/")
async def running(_: Api, __: web.Request) -> web.Response:
    return web.json_response({"status": "Meilisearch is running"})


@route("GET", "/health")
async def health(api: Api, _: web.Request) -> web.Response:
    if api.control.is_set(MUST_RESTART):
        return web.json_response({"status": "mustRestart"}, status=500)
    return web.json_response({"status": "available"})


@route("GET", "/version", "version")
async def version(api: Api, _: web.Request) -> web.Response:
    return web.json_response(
        {"commitSha": "unknown", "commitDate": "unknown", "pkgVersion": api.options.version},
    )


@route("GET", "/stats", "stats.get")
async def stats(api: Api, _: web.Request) -> web.Response:
    indexes = {index["uid"]: api.index_stats(index["uid"]) for index in api.store.indexes()}
    size = sum(each["rawDocumentDbSize"] for each in indexes.values())
    last = max((index["updatedAt"] for index in api.store.indexes()), default=None)
    answer = {"databaseSize": size + 300_000, "usedDatabaseSize": size + 100_000, "lastUpdate": last, "indexes": indexes}
    return web.json_response(answer)


@route("POST", "/dumps", "dumps.create")
async def create_dump(api: Api, _: web.Request) -> web.Response:
    instance_uid = api.store.meta("instance_uid", "")
    kind = {"dumpCreation": {"keys": api.store.all_keys(), "instance_uid": instance_uid}}
    return accepted(api.queue.register(kind, dumpUid=None))


@route("GET", "/tasks", "tasks.get")
async def list_tasks(api: Api, request: web.Request) -> web.Response:
    limit = int(request.query.get("limit", "20"))
    found = matching(api.store.tasks(), request.query, paging=True)
    if request.query.get("reverse") != "true":
        found.reverse()
    start = request.query.get("from")
    shown = [task for task in found if start is None or task["uid"] <= int(start)]
    following = shown[limit]["uid"] if len(shown) > limit else None
    shown = shown[:limit]
    first = shown[0]["uid"] if shown else None
    return web.json_response({"results": shown, "total": len(found), "limit": limit, "from": first, "next": following})


@route("GET", "/tasks/{task_uid}", "tasks.get")
async def get_task(api: Api, request: web.Request) -> web.Response:
    text = request.match_info["task_uid"]
    if not text.isdecimal():
        raise ApiError("invalid_task_uids", f"Task uid `{text}` is invalid. It should only contain numeric characters.")
    task = api.store.task(int(text))
    if task is None:
        raise ApiError("task_not_found", f"Task `{text}` not found.")
    return web.json_response(task)


@route("POST", "/tasks/cancel", "tasks.cancel")
async def cancel_tasks(api: Api, request: web.Request) -> web.Response:
    require_filters(request.query, "cancel")
    found = [task["uid"] for task in matching(api.store.tasks(), request.query) if task["status"] in UNFINISHED]
    query = "?" + urlencode(request.query)
    kind = {"taskCancelation": {"query": query, "tasks": found}}
    details: dict[str, Any] = {"matchedTasks": len(found), "canceledTasks": None, "originalFilter": query}
    return web.json_response(api.queue.register(kind, None, **details))


@route("DELETE", "/tasks", "tasks.delete")
async def delete_tasks(api: Api, request: web.Request) -> web.Response:
    require_filters(request.query, "delete")
    found = [task["uid"] for task in matching(api.store.tasks(), request.query)]
    query = "?" + urlencode(request.query)
    kind = {"tasksDeletion": {"query": query, "tasks": found}}
    details: dict[str, Any] = {"matchedTasks": len(found), "deletedTasks": None, "originalFilter": query}
    return web.json_response(api.queue.register(kind, None, **details))


@route("GET", "/keys", "keys.get")
async def list_keys(api: Api, request: web.Request) -> web.Response:
    return web.json_response(page(request, [api.keys.view(key) for key in api.store.all_keys()]))


@route("POST", "/keys", "keys.create")
async def create_key(api: Api, request: web.Request) -> web.Response:
    return web.json_response(api.keys.view(api.keys.create(await json_body(request))), status=201)


@route("GET", "/keys/{key}", "keys.get")
async def get_key(api: Api, request: web.Request) -> web.Response:
    return web.json_response(api.keys.view(api.keys.find(request.match_info["key"])))


@route("PATCH", "/keys/{key}", "keys.update")
async def patch_key(api: Api, request: web.Request) -> web.Response:
    return web.json_response(api.keys.view(api.keys.update(request.match_info["key"], await json_body(request))))


@route("DELETE", "/keys/{key}", "keys.delete")
async def delete_key(api: Api, request: web.Request) -> web.Response:
    api.keys.delete(request.match_info["key"])
    return web.Response(status=204)


@route("GET", "/experimental-features", "experimental.get")
async def get_features(api: Api, _: web.Request) -> web.Response:
    return web.json_response(json.loads(api.store.meta("features", "{}")))


@route("PATCH", "/experimental-features", "experimental.update")
async def patch_features(api: Api, request: web.Request) -> web.Response:
    changed = {**json.loads(api.store.meta("features", "{}")), **await json_body(request)}
    api.store.set_meta("features", json.dumps(changed))
    return web.json_response(changed)
