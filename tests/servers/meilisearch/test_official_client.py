"""The protocol server, asked by Meilisearch's own client: what that cannot read, or does not expect, fails here."""

from __future__ import annotations

import re
import tarfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from meilisearch import Client
from meilisearch.errors import MeilisearchApiError
from meilisearch.models.task import Task, TaskInfo

from tests.servers.directories import server_directory
from tests.servers.meilisearch.control import HOLD_DUMPS
from tests.servers.meilisearch.server import MeilisearchServer
from tests.servers.process import ServerFailed
from tests.servers.waiting import eventually_blocking

DOCUMENTS = [{"id": number, "title": f"Nr. {number}"} for number in range(30)]


@pytest.fixture
def directory() -> Iterator[Path]:
    with server_directory("meili") as path:
        yield path


@pytest.fixture
def server(directory: Path) -> Iterator[MeilisearchServer]:
    running = MeilisearchServer(directory / "server")
    running.start()
    yield running
    running.kill()


@pytest.fixture
def client(server: MeilisearchServer) -> Client:
    return server.client()


def ended(client: Client, info: TaskInfo) -> Task:
    return client.wait_for_task(info.task_uid, interval_in_ms=5)


def succeed(client: Client, info: TaskInfo) -> Task:
    task = ended(client, info)
    assert task.status == "succeeded", task.error
    return task


def refusal(question: Any) -> tuple[int, str | None]:
    with pytest.raises(MeilisearchApiError) as caught:
        question()
    assert caught.value.type in {"invalid_request", "auth"}
    assert caught.value.link == f"https://docs.meilisearch.com/errors#{caught.value.code}"
    return caught.value.status_code, caught.value.code


def test_health_and_version(client: Client) -> None:
    assert client.is_healthy()
    assert client.get_version().keys() == {"commitSha", "commitDate", "pkgVersion"}


def test_indexes(client: Client) -> None:
    info = client.create_index("movies", {"primaryKey": "id"})
    assert (info.status, info.type, info.index_uid) == ("enqueued", "indexCreation", "movies")
    assert succeed(client, info).details == {"primaryKey": "id"}
    assert client.get_index("movies").primary_key == "id"
    assert [index.uid for index in client.get_indexes()["results"]] == ["movies"]
    failed = ended(client, client.create_index("movies"))
    assert failed.error is not None
    assert (failed.status, failed.error["code"]) == ("failed", "index_already_exists")
    succeed(client, client.index("movies").update(primary_key="key"))
    assert client.get_index("movies").primary_key == "key"
    succeed(client, client.delete_index("movies"))
    assert refusal(lambda: client.get_index("movies")) == (404, "index_not_found")
    assert refusal(lambda: client.create_index("mövies")) == (400, "invalid_index_uid")
    assert refusal(lambda: client.http.post("indexes", {"uid": "a", "colour": 1})) == (400, "bad_request")


def test_documents(client: Client) -> None:
    movies = client.index("movies")
    task = succeed(client, movies.add_documents(DOCUMENTS))
    assert task.details == {"receivedDocuments": 30, "indexedDocuments": 30}
    assert client.get_index("movies").primary_key == "id"
    page = movies.get_documents({"limit": 10, "offset": 25})
    assert (page.total, page.limit, page.offset, len(page.results)) == (30, 10, 25, 5)
    succeed(client, movies.update_documents([{"id": 3, "year": 1999}]))
    assert dict(movies.get_document(3)) == {"id": 3, "title": "Nr. 3", "year": 1999}
    succeed(client, movies.delete_document(3))
    assert refusal(lambda: movies.get_document(3)) == (404, "document_not_found")
    succeed(client, TaskInfo(**client.http.post("indexes/movies/documents/delete-batch", ["4", "5"])))
    assert movies.get_stats().number_of_documents == 27
    succeed(client, movies.delete_all_documents())
    assert movies.get_stats().number_of_documents == 0
    for documents, code in (
        ([{"id": "not allowed!"}], "invalid_document_id"),
        ([{"title": "none"}], "missing_document_id"),
    ):
        error = ended(client, movies.add_documents(documents)).error
        assert error is not None
        assert error["code"] == code


def test_settings(client: Client) -> None:
    movies = client.index("movies")
    succeed(client, movies.update_settings({"stopWords": ["der"], "synonyms": {"a": ["b"]}}))
    settings = movies.get_settings()
    assert settings["stopWords"] == ["der"]
    assert settings["rankingRules"][0] == "words"
    assert settings["typoTolerance"]["enabled"]
    succeed(client, movies.reset_settings())
    assert movies.get_settings()["stopWords"] == []
    assert refusal(lambda: movies.update_settings({"colour": "red"})) == (400, "bad_request")


def test_stats(client: Client) -> None:
    succeed(client, client.index("movies").add_documents(DOCUMENTS))
    stats = client.get_all_stats()
    assert stats["indexes"]["movies"]["numberOfDocuments"] == 30
    assert stats["indexes"]["movies"]["fieldDistribution"] == {"id": 30, "title": 30}
    assert stats["databaseSize"] >= stats["usedDatabaseSize"]
    one = client.index("movies").get_stats()
    assert (one.number_of_documents, one.is_indexing) == (30, False)


def test_tasks(client: Client) -> None:
    for uid in ("one", "two", "three"):
        succeed(client, client.create_index(uid))
    tasks = client.get_tasks({"limit": 2})
    assert [task.uid for task in tasks.results] == [2, 1]
    assert (tasks.total, tasks.limit, tasks.from_, tasks.next_) == (3, 2, 2, 0)
    assert [task.uid for task in client.get_tasks({"from": 0}).results] == [0]
    assert [task.index_uid for task in client.get_tasks({"indexUids": ["two", "three"]}).results] == ["three", "two"]
    assert client.get_tasks({"statuses": ["failed"]}).results == []
    assert client.get_task(1).duration is not None
    assert refusal(lambda: client.get_task(99)) == (404, "task_not_found")
    assert refusal(lambda: client.get_tasks({"statuses": ["done"]})) == (400, "invalid_task_statuses")
    assert refusal(lambda: client.get_tasks({"colour": "red"})) == (400, "bad_request")
    assert refusal(lambda: client.cancel_tasks({})) == (400, "missing_task_filters")
    started = client.http.get("tasks/1")["startedAt"]
    assert [task["uid"] for task in client.http.get(f"tasks?afterStartedAt={started}")["results"]] == [2]
    deletion = succeed(client, client.delete_tasks({"uids": ["0", "1"]}))
    assert deletion.details == {"matchedTasks": 2, "deletedTasks": 2, "originalFilter": "?uids=0%2C1"}


def test_keys(server: MeilisearchServer, client: Client) -> None:
    assert {key.name for key in client.get_keys().results} == {"Default Search API Key", "Default Admin API Key"}
    made = client.create_key({"name": "n", "actions": ["stats.get", "tasks.*"], "indexes": ["*"], "expiresAt": None})
    assert re.fullmatch(r"[0-9a-f]{64}", made.key)
    assert client.get_key(made.key).uid == made.uid
    assert client.update_key(made.uid, {"name": "m"}).name == "m"
    limited = server.client(made.key)
    assert limited.get_all_stats()["indexes"] == {}
    assert limited.get_tasks().total == 0
    for question in (limited.get_version, limited.create_dump, limited.get_keys):
        assert refusal(question) == (403, "invalid_api_key")
    client.delete_key(made.uid)
    assert refusal(limited.get_all_stats) == (403, "invalid_api_key")
    assert refusal(lambda: client.get_key(made.uid)) == (404, "api_key_not_found")


def test_keys_that_are_malformed(client: Client) -> None:
    whole: dict[str, Any] = {"actions": ["version"], "indexes": ["*"], "expiresAt": None}
    for body, code in (
        ({key: value for key, value in whole.items() if key != "expiresAt"}, "missing_api_key_expires_at"),
        ({key: value for key, value in whole.items() if key != "actions"}, "missing_api_key_actions"),
        ({**whole, "actions": ["dump.create"]}, "invalid_api_key_actions"),
        ({**whole, "indexes": ["movies"]}, "invalid_api_key_actions"),
        ({**whole, "indexes": ["a b"]}, "invalid_api_key_indexes"),
        ({**whole, "expiresAt": "2001-01-01"}, "invalid_api_key_expires_at"),
        ({**whole, "colour": "red"}, "bad_request"),
    ):
        assert refusal(lambda body=body: client.create_key(body)) == (400, code)


def test_a_key_ends_at_its_time(server: MeilisearchServer, client: Client) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=0.5)).isoformat()
    key = client.create_key({"actions": ["version"], "indexes": ["*"], "expiresAt": soon})
    limited = server.client(key.key)
    assert limited.get_version()
    eventually_blocking(lambda: _is_refused(limited))


def _is_refused(client: Client) -> bool:
    try:
        client.get_version()
    except MeilisearchApiError as exc:
        return exc.code == "invalid_api_key"
    return False


def test_requests_without_a_key(server: MeilisearchServer) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{server.url}/version", timeout=10)  # noqa: S310  # loopback
    with caught.value as answer:
        assert answer.code == 401
        assert b'"missing_authorization_header"' in answer.read()


def test_an_instance_without_a_master_key_knows_no_keys(directory: Path) -> None:
    server = MeilisearchServer(directory / "open", master_key="")
    server.start()
    try:
        assert server.client().get_all_stats()["indexes"] == {}
        assert refusal(server.client().get_keys) == (401, "missing_master_key")
    finally:
        server.kill()


def test_dumps_go_before_the_writes_that_wait_and_hold_them_as_tasks(
    server: MeilisearchServer, client: Client, directory: Path
) -> None:
    succeed(client, client.index("movies").add_documents(DOCUMENTS))
    server.control.set(HOLD_DUMPS)
    info = client.create_dump()
    assert (info.type, info.index_uid) == ("dumpCreation", None)
    late = client.index("movies").add_documents([{"id": "late"}])
    eventually_blocking(lambda: client.get_task(info.task_uid).status == "processing")
    assert client.get_task(late.task_uid).status == "enqueued"
    server.control.clear(HOLD_DUMPS)
    details = succeed(client, info).details
    assert details is not None
    dump = server.dump_dir / f"{details['dumpUid']}.dump"
    assert re.fullmatch(r"\d{8}-\d{9}", details["dumpUid"])
    with tarfile.open(dump) as tar:
        names = {name.removeprefix("./") for name in tar.getnames()}
    assert names >= {
        "metadata.json",
        "instance_uid.uuid",
        "keys.jsonl",
        "tasks/queue.jsonl",
        f"tasks/update_files/{late.task_uid}.jsonl",
        "batches/queue.jsonl",
        "indexes/movies/metadata.json",
        "indexes/movies/settings.json",
        "indexes/movies/documents.jsonl",
        "experimental-features.json",
        "network.json",
        "webhooks.json",
    }
    launched = MeilisearchServer(directory / "launched", master_key=server.master_key, import_dump=dump)
    launched.start()
    try:
        ended(launched.client(), late)
        assert launched.client().index("movies").get_stats().number_of_documents == 31
        assert {key.key for key in launched.client().get_keys().results} == {key.key for key in client.get_keys().results}
        launched.stop()
        with pytest.raises(ServerFailed, match="database already exists"):
            launched.start(import_dump=dump)
    finally:
        launched.kill()


def test_a_dump_that_is_cancelled_ends_and_leaves_no_file(server: MeilisearchServer, client: Client) -> None:
    server.control.set(HOLD_DUMPS)
    info = client.create_dump()
    eventually_blocking(lambda: client.get_task(info.task_uid).status == "processing")
    cancelation = succeed(client, client.cancel_tasks({"uids": [str(info.task_uid)]}))
    assert cancelation.details is not None
    assert cancelation.details["canceledTasks"] == 1
    task = client.get_task(info.task_uid)
    assert (task.status, task.canceled_by) == ("canceled", cancelation.uid)
    assert list(server.dump_dir.iterdir()) == []


def test_what_was_acknowledged_outlives_a_kill(server: MeilisearchServer, client: Client) -> None:
    server.control.set(HOLD_DUMPS)
    dump = client.create_dump()
    late = client.index("movies").add_documents(DOCUMENTS)
    eventually_blocking(lambda: client.get_task(dump.task_uid).status == "processing")
    server.kill()
    server.control.clear(HOLD_DUMPS)
    server.start()
    succeed(client, dump)
    succeed(client, late)
    assert client.index("movies").get_stats().number_of_documents == 30
