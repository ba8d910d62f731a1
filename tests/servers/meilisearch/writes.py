"""What tasks do to indexes, documents and settings."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.servers.meilisearch.errors import ApiError
from tests.servers.meilisearch.store import Store, now


def apply_write(store: Store, view: dict[str, Any], name: str, kind: dict[str, Any]) -> dict[str, Any] | None:
    """The task's details when it has succeeded.  Raises: ApiError."""
    uid = view["indexUid"]
    if name == "documentImport":
        return _import(store, view, kind)
    if name == "indexCreation":
        if store.index(uid) is not None:
            raise ApiError("index_already_exists", f"Index `{uid}` already exists.")
        store.put_index(uid, kind["primary_key"], now(), now())
        return {"primaryKey": kind["primary_key"]}
    if name == "settings":
        if store.index(uid) is None and kind["allow_index_creation"] and not kind["is_deletion"]:
            store.put_index(uid, None, now(), now())
        _require_index(store, uid)
        store.change_settings(uid, None if kind["is_deletion"] else kind["settings"])
        return dict(kind["settings"])
    index = _require_index(store, uid)
    if name == "indexUpdate":
        if store.document_count(uid):
            raise ApiError("index_primary_key_already_exists", f"Index `{uid}`: Index already has a primary key.")
        store.put_index(uid, kind["primary_key"], index["createdAt"], now())
        return {"primaryKey": kind["primary_key"]}
    if name == "indexDeletion":
        count = store.document_count(uid)
        store.delete_index(uid)
        return {"deletedDocuments": count}
    ids = kind["documents_ids"] if name == "documentDeletion" else None
    return {"providedIds": len(ids or []), "deletedDocuments": store.delete_documents(uid, ids), "originalFilter": None}


def _require_index(store: Store, uid: str) -> dict[str, Any]:
    index = store.index(uid)
    if index is None:
        raise ApiError("index_not_found", f"Index `{uid}` not found.")
    return index


def _import(store: Store, view: dict[str, Any], kind: dict[str, Any]) -> dict[str, Any]:
    uid = view["indexUid"]
    with (store.update_files / f"{view['uid']}.jsonl").open() as file:
        documents = [json.loads(line) for line in file]
    index = store.index(uid)
    primary_key = (index and index["primaryKey"]) or kind["primary_key"] or _guess(uid, documents)
    named: dict[str, dict[str, Any]] = {}
    for document in documents:
        if primary_key not in document:
            raise ApiError("missing_document_id", f"Index `{uid}`: Document doesn't have a `{primary_key}` attribute")
        name = str(document[primary_key])
        if not re.fullmatch(r"[a-zA-Z0-9_-]{1,511}", name):
            raise ApiError("invalid_document_id", f"Index `{uid}`: Document identifier `{name}` is invalid.")
        old = store.document(uid, name) if kind["method"] == "UpdateDocuments" else None
        named[name] = {**(named.get(name) or old or {}), **document} if kind["method"] == "UpdateDocuments" else document
    if index is None or index["primaryKey"] is None:
        store.put_index(uid, primary_key, now(), now())
    store.put_documents(uid, named)
    return {"receivedDocuments": len(documents), "indexedDocuments": len(documents)}


def _guess(uid: str, documents: list[dict[str, Any]]) -> str:
    for name in documents[0] if documents else ():
        if name.lower().endswith("id"):
            return str(name)
    message = f"Index `{uid}`: The primary key inference failed as the engine did not find any field ending with `id`."
    raise ApiError("index_primary_key_no_candidate_found", message)
