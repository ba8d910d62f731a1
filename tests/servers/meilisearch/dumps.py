"""Dump files of version V6: written in the layout of the program's own, and imported at launch."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from tests.servers.meilisearch.store import Store, now

_OPTIONAL: Final = ("canceledBy", "details", "error", "startedAt", "finishedAt")


class StopDump(Exception):
    """Somebody cancelled the dump."""


class DumpNotImportable(Exception):
    """The file is no dump of a version that is known."""


def dump_uid(at: datetime) -> str:
    return at.strftime("%Y%m%d-%H%M%S%f")[:-3]


def write_dump(
    store: Store,
    dump_dir: Path,
    task_uid: int,
    *,
    version: str,
    keys: list[dict[str, Any]],
    instance_uid: str,
    features: dict[str, Any],
    stop: Callable[[], bool],
    lose_documents: bool = False,
    break_off: bool = False,
) -> str:
    """The dump's uid.  Raises: StopDump; OSError with `break_off`, after part of the file was written."""
    started_at = datetime.now(UTC)
    with tempfile.TemporaryDirectory(prefix="dump-") as name:
        tree = Path(name)
        (tree / "instance_uid.uuid").write_text(instance_uid)
        metadata = {"dumpVersion": "V6", "dbVersion": version, "dumpDate": now()}
        (tree / "metadata.json").write_text(json.dumps(metadata))
        _write_lines(tree / "keys.jsonl", keys)
        (tree / "chat-completions-settings").mkdir()
        _write_tasks(store, tree / "tasks", task_uid)
        (tree / "batches").mkdir()
        _write_lines(tree / "batches" / "queue.jsonl", [])
        (tree / "indexes").mkdir()
        for index in store.indexes():
            _write_index(store, tree / "indexes" / index["uid"], index, stop)
            if lose_documents:
                path = tree / "indexes" / index["uid"] / "documents.jsonl"
                os.truncate(path, path.stat().st_size * 3 // 4)
        (tree / "experimental-features.json").write_text(json.dumps(features))
        (tree / "network.json").write_text(json.dumps({"self": None, "remotes": {}}))
        (tree / "webhooks.json").write_text(json.dumps({"webhooks": {}}))
        if stop():
            raise StopDump
        path = dump_dir / f"{dump_uid(started_at)}.dump"
        with tarfile.open(path, mode="w:gz", compresslevel=1, format=tarfile.GNU_FORMAT) as tar:
            tar.add(tree, arcname=".")
        if break_off:
            os.truncate(path, path.stat().st_size // 2)
            raise OSError(28, "No space left on device")
    return dump_uid(started_at)


def _write_index(store: Store, directory: Path, index: dict[str, Any], stop: Callable[[], bool]) -> None:
    directory.mkdir()
    (directory / "metadata.json").write_text(json.dumps(index))

    def documents() -> Iterable[dict[str, Any]]:
        for document in store.documents(index["uid"]):
            if stop():
                raise StopDump
            yield document

    _write_lines(directory / "documents.jsonl", documents())
    (directory / "settings.json").write_text(json.dumps(store.settings(index["uid"])))


def _write_tasks(store: Store, directory: Path, own_uid: int) -> None:
    (directory / "update_files").mkdir(parents=True)
    lines = []
    for view in store.tasks():
        task = {name: value for name, value in view.items() if name != "duration"}
        if view["uid"] == own_uid:  # or it would be made again by every import
            task |= {"status": "succeeded", "finishedAt": now()}
        if view["status"] == "enqueued" and (update := store.update_files / f"{view['uid']}.jsonl").exists():
            shutil.copyfile(update, directory / "update_files" / update.name)
        task = {name: value for name, value in task.items() if value is not None or name not in _OPTIONAL}
        lines.append({**task, "type": store.task_kind(view["uid"])})
    _write_lines(directory / "queue.jsonl", lines)


def _write_lines(path: Path, values: Iterable[Any]) -> None:
    with path.open("w") as file:
        file.writelines(json.dumps(value, separators=(",", ":"), ensure_ascii=False) + "\n" for value in values)


def import_dump(store: Store, dump: Path, kind_names: dict[str, str]) -> None:
    """Takes a whole dump into an empty store.  Raises: DumpNotImportable."""
    with tempfile.TemporaryDirectory(prefix="import-") as name:
        tree = Path(name)
        try:
            with tarfile.open(dump, mode="r:gz") as tar:
                tar.extractall(tree, filter="data")
            metadata = json.loads((tree / "metadata.json").read_text())
        except (tarfile.TarError, EOFError, OSError, ValueError) as exc:
            raise DumpNotImportable(f"the dump cannot be read: {exc}") from exc
        if metadata["dumpVersion"] != "V6":
            raise DumpNotImportable(f"The version {metadata['dumpVersion']} of the dumps is not supported yet.")
        if (tree / "instance_uid.uuid").exists():
            store.set_meta("instance_uid", (tree / "instance_uid.uuid").read_text())
        store.set_meta("features", (tree / "experimental-features.json").read_text())
        for key in store.all_keys():
            store.delete_key(key["uid"])
        for key in _read_lines(tree / "keys.jsonl"):
            store.put_key(key)
        for directory in (tree / "indexes").iterdir():
            _import_index(store, directory)
        for task in _read_lines(tree / "tasks" / "queue.jsonl"):
            _import_task(store, task, tree / "tasks" / "update_files", kind_names)


def _import_index(store: Store, directory: Path) -> None:
    index = json.loads((directory / "metadata.json").read_text())
    uid = directory.name
    store.put_index(uid, index["primaryKey"], index["createdAt"], index["updatedAt"])
    documents = list(_read_lines(directory / "documents.jsonl"))
    if documents:
        store.put_documents(uid, {str(document[index["primaryKey"]]): document for document in documents})
    store.change_settings(uid, json.loads((directory / "settings.json").read_text()))
    store.put_index(uid, index["primaryKey"], index["createdAt"], index["updatedAt"])


def _import_task(store: Store, task: dict[str, Any], updates: Path, kind_names: dict[str, str]) -> None:
    kind = task["type"] if isinstance(task["type"], dict) else {task["type"]: {}}
    view = dict.fromkeys((*_OPTIONAL, "batchUid", "indexUid", "duration")) | task
    # Only what is known here is done again; a real dump may have tasks of kinds that are not.
    known = kind_names.get(next(iter(kind)))
    if known is None and view["status"] in {"enqueued", "processing"}:
        return
    store.put_task({**view, "type": known or "unknown"}, kind)
    if (update := updates / f"{view['uid']}.jsonl").exists():
        shutil.copyfile(update, store.update_files / update.name)


def _read_lines(path: Path) -> Iterable[dict[str, Any]]:
    with path.open() as file:
        for line in file:
            yield json.loads(line)
