"""What orchestrators ask."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from contracts.errors import InvalidInput
from daemon.http.settings import HttpSettings
from tests.daemon.running import coordinator_settings, running_coordinator
from tests.servers.nats import NatsServer
from tests.servers.s3 import Bucket

ANY_PORT = HttpSettings(port=0)


async def test_a_running_coordinator_is_healthy_and_ready(tmp_path: Path, nats_server: NatsServer, bucket: Bucket) -> None:
    settings = coordinator_settings(tmp_path, nats_server, bucket, http=ANY_PORT)
    async with running_coordinator(settings) as url, httpx.AsyncClient(base_url=url) as http:
        assert (await http.get("/healthz")).json() == {"status": "ok"}
        assert (await http.get("/readyz")).json() == {"status": "ready"}


async def test_a_path_that_there_is_not_is_answered_as_a_problem(
    tmp_path: Path, nats_server: NatsServer, bucket: Bucket
) -> None:
    settings = coordinator_settings(tmp_path, nats_server, bucket, http=ANY_PORT)
    async with running_coordinator(settings) as url, httpx.AsyncClient(base_url=url) as http:
        answer = await http.get("/nowhere")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["title"] == "Not found"


async def test_a_port_that_is_taken_is_told_of_by_its_setting(
    tmp_path: Path, nats_server: NatsServer, bucket: Bucket
) -> None:
    settings = coordinator_settings(tmp_path, nats_server, bucket, http=ANY_PORT)
    async with running_coordinator(settings) as url:
        taken = HttpSettings(port=int(url.rpartition(":")[2]))
        with pytest.raises(InvalidInput, match="cannot listen") as told:
            async with running_coordinator(coordinator_settings(tmp_path, nats_server, bucket, http=taken)):
                pass
    assert told.value.field == "http.port"
