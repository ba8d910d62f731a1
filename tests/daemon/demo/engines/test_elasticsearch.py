"""The demo's Elasticsearch: real, filled, looked at by content."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.errors import RunFailed
from contracts.records import ArtifactRecord
from daemon.demo.engines import elasticsearch_jars
from daemon.demo.engines.elasticsearch import ElasticsearchEngine
from tests.servers.directories import server_directory
from tests.servers.elasticsearch import ELASTICSEARCH, NotHere, jars

_SIZE = 5_000_000
_ARTIFACT = ArtifactRecord(
    name="orders",
    kind="index",
    format="elasticdump-tar",
    object_key="1",
    stored_bytes=1,
    plain_bytes=1,
    sha256="0" * 64,
)


def require_node() -> None:
    try:
        jars(ELASTICSEARCH)
    except NotHere as exc:
        pytest.skip(f"NOT RUN HERE: {exc}")


async def test_a_server_is_filled_and_seen_by_content() -> None:
    require_node()
    engine = ElasticsearchEngine()
    engine.check()
    told: list[int] = []
    with server_directory("es", in_memory=True) as directory:
        async with engine.running(directory / "server") as server:
            on_disk = await server.fill(_SIZE, told.append)
            before = await server.snapshot()
            assert before.tables.keys() == {"orders", "größe-reviews"}
            assert told == sorted(told)
            assert told[-1] == pytest.approx(_SIZE, rel=0.2)
            assert on_disk > _SIZE / 10
            assert {"mapping", "alias", "settings", "template", "pipeline"} == before.objects.keys()
            assert await server.snapshot() == before

            change = {"doc": {"total": 7}}
            await server._ask("POST", "/orders/_update/3?routing=3&refresh=true", change)
            changed = await server.snapshot()
            assert changed.tables["orders"].rows == before.tables["orders"].rows
            assert changed.tables["orders"].content_sum != before.tables["orders"].content_sum

            room = await server.make_room()
            assert not room.replace
            assert (await server._ask("GET", "/_cat/indices?format=json")) == []
            opener = server.opener(_ARTIFACT)
            assert opener.describe(b"index.json\ndata-000001.ndjson\ncount.json\n").startswith(
                "the index's definition and 1 "
            )


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(RunFailed) as caught:
        ElasticsearchEngine().check()
    assert caught.value.code == "engine.tool_missing"
    assert "java, javac, mvn" in caught.value.message
    assert "apt-get install maven openjdk-17-jdk-headless" in caught.value.message


def test_jars_that_cannot_be_had_say_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As on a machine that does not reach Maven Central."""
    broken = tmp_path / "bin"
    broken.mkdir()
    for name in ("mvn", "java", "javac"):
        (broken / name).write_text("#!/bin/sh\necho 'no route to host'\nexit 1\n")
        (broken / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{broken}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(RunFailed) as caught:
        elasticsearch_jars.fetch()
    assert caught.value.code == "engine.tool_missing"
    assert "could not be fetched from Maven Central" in caught.value.message
    assert "no route to host" in str(caught.value.detail)
    assert not elasticsearch_jars.is_fetched()
