"""The server's data on disk: SQLite, so that a kill leaves what was acknowledged."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT);
CREATE TABLE IF NOT EXISTS indexes (uid TEXT PRIMARY KEY, primary_key TEXT, created_at TEXT, updated_at TEXT, settings TEXT);
CREATE TABLE IF NOT EXISTS documents (index_uid TEXT, id TEXT, body TEXT, PRIMARY KEY (index_uid, id));
CREATE TABLE IF NOT EXISTS tasks (uid INTEGER PRIMARY KEY, view TEXT, kind TEXT);
CREATE TABLE IF NOT EXISTS keys (uid TEXT PRIMARY KEY, body TEXT);
"""

DEFAULT_SETTINGS: Final[dict[str, Any]] = {
    "displayedAttributes": ["*"],
    "searchableAttributes": ["*"],
    "filterableAttributes": [],
    "sortableAttributes": [],
    "rankingRules": ["words", "typo", "proximity", "attribute", "sort", "exactness"],
    "stopWords": [],
    "nonSeparatorTokens": [],
    "separatorTokens": [],
    "dictionary": [],
    "synonyms": {},
    "distinctAttribute": None,
    "proximityPrecision": "byWord",
    "typoTolerance": {
        "enabled": True,
        "minWordSizeForTypos": {"oneTypo": 5, "twoTypos": 9},
        "disableOnWords": [],
        "disableOnAttributes": [],
        "disableOnNumbers": False,
    },
    "faceting": {"maxValuesPerFacet": 100, "sortFacetValuesBy": {"*": "alpha"}},
    "pagination": {"maxTotalHits": 1000},
    "embedders": {},
    "searchCutoffMs": None,
    "localizedAttributes": None,
    "facetSearch": True,
    "prefixSearch": "indexingTime",
}


def now() -> str:
    """RFC 3339, as the server prints times."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


class Store:
    """One connection; threads open their own."""

    def __init__(self, db_path: Path) -> None:
        db_path.mkdir(parents=True, exist_ok=True)
        self.path = db_path
        self.update_files = db_path / "update_files"
        self.update_files.mkdir(exist_ok=True)
        self._db = sqlite3.connect(db_path / "data.sqlite", isolation_level=None)
        self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;" + _SCHEMA)

    def close(self) -> None:
        self._db.close()

    def meta(self, name: str, default: str) -> str:
        """The value, made to be `default` when there is none."""
        self._db.execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", (name, default))
        return str(self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()[0])

    def set_meta(self, name: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def indexes(self) -> list[dict[str, Any]]:
        rows = self._db.execute("SELECT uid, primary_key, created_at, updated_at FROM indexes ORDER BY uid")
        return [{"uid": uid, "createdAt": made, "updatedAt": changed, "primaryKey": key} for uid, key, made, changed in rows]

    def index(self, uid: str) -> dict[str, Any] | None:
        return next((index for index in self.indexes() if index["uid"] == uid), None)

    def put_index(self, uid: str, primary_key: str | None, created_at: str, updated_at: str) -> None:
        self._db.execute(
            "INSERT INTO indexes VALUES (?, ?, ?, ?, '{}') "
            "ON CONFLICT (uid) DO UPDATE SET primary_key = excluded.primary_key, updated_at = excluded.updated_at",
            (uid, primary_key, created_at, updated_at),
        )

    def delete_index(self, uid: str) -> None:
        self._db.execute("DELETE FROM documents WHERE index_uid = ?", (uid,))
        self._db.execute("DELETE FROM indexes WHERE uid = ?", (uid,))

    def settings(self, uid: str) -> dict[str, Any]:
        row = self._db.execute("SELECT settings FROM indexes WHERE uid = ?", (uid,)).fetchone()
        return {**DEFAULT_SETTINGS, **json.loads(row[0])}

    def change_settings(self, uid: str, changes: dict[str, Any] | None) -> None:
        """None resets all of them; a value of null resets one."""
        row = self._db.execute("SELECT settings FROM indexes WHERE uid = ?", (uid,)).fetchone()
        kept = {} if changes is None else {**json.loads(row[0]), **changes}
        kept = {name: value for name, value in kept.items() if value is not None}
        self._db.execute("UPDATE indexes SET settings = ?, updated_at = ? WHERE uid = ?", (json.dumps(kept), now(), uid))

    def documents(self, uid: str) -> Iterator[dict[str, Any]]:
        for (body,) in self._db.execute("SELECT body FROM documents WHERE index_uid = ? ORDER BY rowid", (uid,)):
            yield json.loads(body)

    def document(self, uid: str, document_id: str) -> dict[str, Any] | None:
        found = self._db.execute("SELECT body FROM documents WHERE index_uid = ? AND id = ?", (uid, document_id)).fetchone()
        return json.loads(found[0]) if found else None

    def document_count(self, uid: str) -> int:
        return int(self._db.execute("SELECT count(*) FROM documents WHERE index_uid = ?", (uid,)).fetchone()[0])

    def document_bytes(self, uid: str) -> int:
        row = self._db.execute("SELECT coalesce(sum(length(body)), 0) FROM documents WHERE index_uid = ?", (uid,)).fetchone()
        return int(row[0])

    def put_documents(self, uid: str, documents: dict[str, dict[str, Any]]) -> None:
        rows = [(uid, name, json.dumps(body, separators=(",", ":"), ensure_ascii=False)) for name, body in documents.items()]
        self._db.execute("BEGIN")
        self._db.executemany("INSERT OR REPLACE INTO documents VALUES (?, ?, ?)", rows)
        self._db.execute("UPDATE indexes SET updated_at = ? WHERE uid = ?", (now(), uid))
        self._db.execute("COMMIT")

    def delete_documents(self, uid: str, ids: list[str] | None) -> int:
        before = self.document_count(uid)
        if ids is None:
            self._db.execute("DELETE FROM documents WHERE index_uid = ?", (uid,))
        else:
            self._db.executemany("DELETE FROM documents WHERE index_uid = ? AND id = ?", [(uid, each) for each in ids])
        return before - self.document_count(uid)

    def tasks(self) -> list[dict[str, Any]]:
        """Every task's view, oldest first."""
        return [json.loads(view) for (view,) in self._db.execute("SELECT view FROM tasks ORDER BY uid")]

    def task(self, uid: int) -> dict[str, Any] | None:
        row = self._db.execute("SELECT view FROM tasks WHERE uid = ?", (uid,)).fetchone()
        return json.loads(row[0]) if row else None

    def task_kind(self, uid: int) -> dict[str, Any]:
        """What the task is to do, as a dump writes it: `{"documentImport": {...}}`, or a plain name."""
        return dict(json.loads(self._db.execute("SELECT kind FROM tasks WHERE uid = ?", (uid,)).fetchone()[0]))

    def put_task(self, view: dict[str, Any], kind: dict[str, Any]) -> None:
        self._db.execute("INSERT OR REPLACE INTO tasks VALUES (?, ?, ?)", (view["uid"], json.dumps(view), json.dumps(kind)))

    def change_task(self, uid: int, **changes: Any) -> dict[str, Any]:
        view = self.task(uid)
        assert view is not None
        view |= changes
        self._db.execute("UPDATE tasks SET view = ? WHERE uid = ?", (json.dumps(view), uid))
        return view

    def delete_task(self, uid: int) -> None:
        self._db.execute("DELETE FROM tasks WHERE uid = ?", (uid,))

    def next_task_uid(self) -> int:
        return 1 + int(self._db.execute("SELECT coalesce(max(uid), -1) FROM tasks").fetchone()[0])

    def all_keys(self) -> list[dict[str, Any]]:
        """Newest first."""
        found = [json.loads(body) for (body,) in self._db.execute("SELECT body FROM keys")]
        return sorted(found, key=lambda key: str(key["createdAt"]), reverse=True)

    def put_key(self, key: dict[str, Any]) -> None:
        self._db.execute("INSERT OR REPLACE INTO keys VALUES (?, ?)", (key["uid"], json.dumps(key)))

    def delete_key(self, uid: str) -> None:
        self._db.execute("DELETE FROM keys WHERE uid = ?", (uid,))
