"""Requests to indexes, their documents and settings."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from tests.servers.meilisearch.app import Api, accepted, index_uid, json_body, page, route
from tests.servers.meilisearch.errors import ApiError
from tests.servers.meilisearch.store import DEFAULT_SETTINGS

_DOCUMENTS = "/indexes/{uid}/documents"
_SETTINGS = "/indexes/{uid}/settings"


@route("GET", "/indexes", "indexes.get")
async def list_indexes(api: Api, request: web.Request) -> web.Response:
    return web.json_response(page(request, api.store.indexes()))


@route("POST", "/indexes", "indexes.create")
async def create_index(api: Api, request: web.Request) -> web.Response:
    body = _object(await json_body(request), {"uid", "primaryKey"})
    if "uid" not in body:
        raise ApiError("missing_index_uid", "Missing field `uid`")
    request.match_info["uid"] = str(body["uid"])
    uid, primary_key = index_uid(request), body.get("primaryKey")
    kind = {"indexCreation": {"primary_key": primary_key}}
    return accepted(api.queue.register(kind, uid, primaryKey=primary_key))


@route("GET", "/indexes/{uid}", "indexes.get")
async def get_index(api: Api, request: web.Request) -> web.Response:
    return web.json_response(api.index(request))


@route("PATCH", "/indexes/{uid}", "indexes.update")
async def update_index(api: Api, request: web.Request) -> web.Response:
    body = _object(await json_body(request), {"primaryKey"})
    primary_key = body.get("primaryKey")
    return accepted(
        api.queue.register({"indexUpdate": {"primary_key": primary_key}}, index_uid(request), primaryKey=primary_key)
    )


@route("DELETE", "/indexes/{uid}", "indexes.delete")
async def delete_index(api: Api, request: web.Request) -> web.Response:
    return accepted(api.queue.register({"indexDeletion": {}}, index_uid(request), deletedDocuments=None))


@route("GET", "/indexes/{uid}/stats", "stats.get")
async def index_stats(api: Api, request: web.Request) -> web.Response:
    return web.json_response(api.index_stats(api.index(request)["uid"]))


@route("GET", _DOCUMENTS, "documents.get")
async def list_documents(api: Api, request: web.Request) -> web.Response:
    return web.json_response(page(request, list(api.store.documents(api.index(request)["uid"]))))


@route("POST", _DOCUMENTS + "/fetch", "documents.get")
async def fetch_documents(api: Api, request: web.Request) -> web.Response:
    body = _object(await json_body(request), {"offset", "limit"})
    found = list(api.store.documents(api.index(request)["uid"]))
    offset, limit = int(body.get("offset", 0)), int(body.get("limit", 20))
    shown = found[offset : offset + limit]
    return web.json_response({"results": shown, "offset": offset, "limit": limit, "total": len(found)})


@route("GET", _DOCUMENTS + "/{document}", "documents.get")
async def get_document(api: Api, request: web.Request) -> web.Response:
    name = request.match_info["document"]
    document = api.store.document(api.index(request)["uid"], name)
    if document is None:
        raise ApiError("document_not_found", f"Document `{name}` not found.")
    return web.json_response(document)


@route("POST", _DOCUMENTS, "documents.add")
async def add_documents(api: Api, request: web.Request) -> web.Response:
    return await _import(api, request, "ReplaceDocuments")


@route("PUT", _DOCUMENTS, "documents.add")
async def update_documents(api: Api, request: web.Request) -> web.Response:
    return await _import(api, request, "UpdateDocuments")


@route("DELETE", _DOCUMENTS, "documents.delete")
async def delete_all_documents(api: Api, request: web.Request) -> web.Response:
    return accepted(api.queue.register({"documentClear": {}}, index_uid(request), deletedDocuments=None))


@route("DELETE", _DOCUMENTS + "/{document}", "documents.delete")
async def delete_document(api: Api, request: web.Request) -> web.Response:
    return _delete(api, request, [request.match_info["document"]])


@route("POST", _DOCUMENTS + "/delete-batch", "documents.delete")
async def delete_documents(api: Api, request: web.Request) -> web.Response:
    return _delete(api, request, [str(name) for name in await json_body(request)])


@route("GET", _SETTINGS, "settings.get")
async def get_settings(api: Api, request: web.Request) -> web.Response:
    return web.json_response(api.store.settings(api.index(request)["uid"]))


@route("PATCH", _SETTINGS, "settings.update")
async def patch_settings(api: Api, request: web.Request) -> web.Response:
    body = _object(await json_body(request), set(DEFAULT_SETTINGS))
    kind = {"settings": {"settings": body, "is_deletion": False, "allow_index_creation": True}}
    return accepted(api.queue.register(kind, index_uid(request), **body))


@route("DELETE", _SETTINGS, "settings.update")
async def reset_settings(api: Api, request: web.Request) -> web.Response:
    kind = {"settings": {"settings": {}, "is_deletion": True, "allow_index_creation": False}}
    return accepted(api.queue.register(kind, index_uid(request)))


def _delete(api: Api, request: web.Request, ids: list[str]) -> web.Response:
    details = {"providedIds": len(ids), "deletedDocuments": None}
    return accepted(api.queue.register({"documentDeletion": {"documents_ids": ids}}, index_uid(request), **details))


async def _import(api: Api, request: web.Request, method: str) -> web.Response:
    uid = index_uid(request)
    body = await json_body(request)
    documents = body if isinstance(body, list) else [body]
    if not all(isinstance(document, dict) for document in documents):
        raise ApiError("malformed_payload", "The `json` payload provided is malformed: documents must be objects.")
    primary_key = request.query.get("primaryKey")
    path = api.store.update_files / f"{api.store.next_task_uid()}.jsonl"
    with path.open("w") as file:  # before its task is there: a kill in between leaves a file that nobody asks for
        file.writelines(json.dumps(document, separators=(",", ":"), ensure_ascii=False) + "\n" for document in documents)
    kind = {
        "primary_key": primary_key,
        "method": method,
        "documents_count": len(documents),
        "allow_index_creation": True,
    }
    details = {"receivedDocuments": len(documents), "indexedDocuments": None}
    return accepted(api.queue.register({"documentImport": kind}, uid, **details))


def _object(body: Any, fields: set[str]) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise ApiError("bad_request", "Invalid value type: expected an object")
    if unknown := set(body) - fields:
        names = ", ".join(f"`{name}`" for name in sorted(fields))
        raise ApiError("bad_request", f"Unknown field `{min(unknown)}`: expected one of {names}")
    return body
