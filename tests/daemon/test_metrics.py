"""What Prometheus learns of a coordinator and of the fleet, and who may ask."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from pathlib import Path

import httpx
import msgspec
import pytest

from contracts import control
from contracts.access import Role
from contracts.errors import ErrorInfo
from contracts.policy.schedule import Daily, Off
from daemon.http.settings import HttpSettings
from daemon.metrics.metrics import Metrics
from daemon.metrics.store_calls import watch_store
from daemon.settings import CoordinatorSettings
from daemon.store.s3 import open_store
from tests.daemon.robots import robot
from tests.daemon.running import Operator, SetClock, coordinator_settings, running_coordinator
from tests.daemon.scene import Scene, at
from tests.daemon.scraping import OPENMETRICS, Samples, scrape
from tests.servers.nats import NatsServer
from tests.servers.s3 import Bucket
from tests.servers.waiting import eventually

START = at("2026-03-01 12:00")
GOOD = "strongroom_service_newest_good_backup_timestamp_seconds"


class Watched(Scene):
    """A scene, and how Prometheus reaches its coordinator."""

    http: httpx.AsyncClient

    async def scrape(self, **headers: str) -> Samples:
        return await scrape(self.http, **headers)

    async def scraped(self, condition: Callable[[Samples], bool]) -> Samples:
        """The first scrape of which this is so."""

        async def fits() -> Samples | None:
            found = await self.scrape()
            return found if condition(found) else None

        return await eventually(fits, 30)


@asynccontextmanager
async def watched(
    settings: CoordinatorSettings, nats_server: NatsServer, *, start: datetime = START
) -> AsyncIterator[Watched]:
    clock = SetClock(start)
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(running_coordinator(settings, now=clock))
        operator = Operator(await stack.enter_async_context(nats_server.connect_operator()))
        await operator.call(control.PROJECT_CREATE, control.ProjectCreate(name="acme"))
        await operator.call(control.NODE_ADD, control.NodeRef(node="node-1"))
        await operator.call(control.NODE_ADD, control.NodeRef(node="node-2"))
        agent = await stack.enter_async_context(robot(nats_server, "node-1", "acme/orders"))
        scene = Watched(operator, clock, {"node-1": agent})
        scene.http = await stack.enter_async_context(httpx.AsyncClient(base_url=url, timeout=20))
        await scene.alive()
        yield scene


@pytest.fixture
def open_settings(tmp_path: Path, nats_server: NatsServer, bucket: Bucket) -> CoordinatorSettings:
    http = HttpSettings(port=0, metrics_open=True)
    return coordinator_settings(tmp_path, nats_server, bucket, http=http)


@pytest.fixture
async def fleet(open_settings: CoordinatorSettings, nats_server: NatsServer) -> AsyncIterator[Watched]:
    async with watched(open_settings, nats_server) as scene:
        yield scene


async def test_the_age_of_the_newest_good_backup_is_told_of_every_service(fleet: Watched) -> None:
    await fleet.add_service(schedule=Daily(at="01:00"))
    before = await fleet.scraped(lambda found: found.value(GOOD, project="acme", service="orders") is not None)
    assert before.value(GOOD, project="acme", service="orders") == 0
    assert before.value("strongroom_service_newest_good_backup_size_bytes", project="acme", service="orders") is None
    made = await fleet.make()
    fleet.clock.advance(hours=3)
    fleet.robot.failure = lambda _: ErrorInfo(code="dump.failed", message="it did not work")
    await fleet.make()
    after = await fleet.scraped(
        lambda found: found.value("strongroom_service_last_run_failed", project="acme", service="orders") == 1
    )

    def of_service(name: str) -> float | None:
        return after.value(f"strongroom_service_{name}", project="acme", service="orders")

    assert of_service("newest_good_backup_timestamp_seconds") == START.timestamp()
    assert of_service("newest_good_backup_size_bytes") == made.size_bytes
    assert of_service("level") == 2
    assert of_service("next_due_timestamp_seconds") == at("2026-03-02 01:00").timestamp()
    assert of_service("schedule_interval_seconds") == 86_400
    assert after.value("strongroom_project_stored_bytes", project="acme") == made.size_bytes
    assert after.value("strongroom_project_services", project="acme", level="problem") == 1


async def test_a_service_whose_schedule_is_off_has_no_due_time_and_a_deleted_one_is_not_told_of(fleet: Watched) -> None:
    await fleet.add_service(schedule=Off())
    await fleet.add_service("gone")
    await fleet.operator.call(control.SERVICE_DELETE, control.ServiceDelete(project="acme", service="gone"))
    found = await fleet.scraped(
        lambda found: (
            found.value(GOOD, project="acme", service="orders") is not None
            and found.value(GOOD, project="acme", service="gone") is None
        )
    )
    assert found.value("strongroom_service_level", project="acme", service="orders") == -1
    assert not found.series("strongroom_service_next_due_timestamp_seconds")


async def test_runs_are_counted_by_what_became_of_them_once_each(fleet: Watched) -> None:
    await fleet.add_service()
    await fleet.make()
    fleet.robot.failure = lambda _: ErrorInfo(code="dump.failed", message="it did not work")
    await fleet.make()
    await fleet.make()
    found = await fleet.scrape()
    assert found.value("strongroom_runs_total", kind="backup", outcome="completed") == 1
    assert found.value("strongroom_runs_total", kind="backup", outcome="failed") == 2
    assert found.value("strongroom_run_failures_total", kind="backup", code="dump.failed") == 2
    assert found.value("strongroom_runs_total", kind="restore", outcome="completed") == 0
    assert found.value("strongroom_events_published_total", type="backup.requested") == 3
    assert found.value("strongroom_run_duration_seconds_count", kind="backup", engine="postgresql") == 1
    assert found.value("strongroom_backup_size_bytes_count", engine="postgresql") == 1
    assert found.value("strongroom_control_calls_total", verb="backup.create", via="nats", outcome="done") == 3


async def test_a_refused_call_is_counted_with_its_code(fleet: Watched) -> None:
    await fleet.operator.call_raw("status", b"")
    with pytest.raises(Exception, match=r"service\.not_found"):
        await fleet.request("nothing")
    found = await fleet.scrape()
    refused = found.value("strongroom_control_calls_total", verb="backup.create", via="nats", outcome="service.not_found")
    assert refused == 1


async def test_nodes_and_their_queues_are_told_of(fleet: Watched) -> None:
    await fleet.add_service()
    fleet.robot.may_finish.clear()
    await fleet.request()
    found = await fleet.scraped(
        lambda found: found.value("strongroom_service_backup_running", project="acme", service="orders") == 1
    )
    assert found.value("strongroom_node_alive", node="node-1") == 1
    assert found.value("strongroom_node_alive", node="node-2") == 0
    assert found.value("strongroom_node_requests", node="node-1") == 0, "the robot acknowledges at once"
    assert found.value("strongroom_node_last_heartbeat_timestamp_seconds", node="node-2") is None
    assert found.value("strongroom_project_backups_running", project="acme") == 1
    assert found.value("strongroom_reports_waiting") == 0
    fleet.robot.may_finish.set()
    await fleet.idle()


async def test_a_request_that_nobody_takes_up_lies_in_its_nodes_queue(fleet: Watched, nats_server: NatsServer) -> None:
    async with robot(nats_server, "node-2", "acme/other") as agent:
        fleet.robots["node-2"] = agent
        await fleet.alive()
        await fleet.add_service("other", nodes=["node-2"])
    del fleet.robots["node-2"]
    await fleet.request("other")
    found = await fleet.scraped(lambda found: found.value("strongroom_node_requests", node="node-2") == 1)
    assert found.value("strongroom_node_requests", node="node-1") == 0


async def test_the_leader_of_the_loops_says_so_and_a_second_coordinator_does_not(
    fleet: Watched, open_settings: CoordinatorSettings
) -> None:
    first = await fleet.scraped(
        lambda found: (
            found.value("strongroom_lease_held", lease="scheduler") == 1
            and found.value("strongroom_lease_held", lease="reaper") == 1
        )
    )
    assert first.value("strongroom_scheduler_lag_seconds") == 0
    async with running_coordinator(open_settings) as url, httpx.AsyncClient(base_url=url) as http:
        second = await scrape(http)
    assert second.value("strongroom_lease_held", lease="scheduler") == 0
    assert second.value("strongroom_scheduler_services") == 0
    own = second.value("strongroom_events_published_total", type="node.alive")
    assert own == 0, "each coordinator counts what it did itself"


async def test_what_waits_for_a_node_is_seen_as_the_schedulers_lag(fleet: Watched) -> None:
    await fleet.add_service(schedule=Daily(at="13:00"), nodes=["node-2"])
    fleet.clock.set(at("2026-03-01 13:02"))
    found = await fleet.scraped(lambda found: (found.value("strongroom_scheduler_lag_seconds") or 0) > 0)
    assert found.value("strongroom_scheduler_lag_seconds") == 120


async def test_the_store_and_the_bus_are_counted(fleet: Watched) -> None:
    await fleet.add_service()
    await fleet.make()
    found = await fleet.scrape()
    assert found.value("strongroom_store_requests_total", operation="CreateMultipartUpload", status="200") == 1
    assert found.value("strongroom_store_requests_total", operation="HeadObject", status="404"), "an absent object"
    assert found.value("strongroom_store_request_duration_seconds_count", operation="CreateMultipartUpload") == 1
    assert found.value("strongroom_nats_connected") == 1
    assert found.value("strongroom_nats_errors_total") == 0
    assert (found.value("strongroom_nats_sent_messages_total") or 0) > 10


async def test_a_store_that_is_away_is_counted_as_no_answer(tmp_path: Path, nats_server: NatsServer, bucket: Bucket) -> None:
    settings = coordinator_settings(tmp_path, nats_server, bucket)
    metrics = Metrics("1.0.0")
    away = msgspec.structs.replace(settings.store, endpoint_url="http://127.0.0.1:9")
    with pytest.raises(Exception, match=r"store\.unavailable"):
        async with open_store(away, watch=lambda client: watch_store(client, metrics)):
            pass
    labels = {"operation": "HeadBucket", "status": "none"}
    assert metrics.registry.get_sample_value("strongroom_store_requests_total", labels) == 1


async def test_requests_over_http_are_counted_by_route_and_what_people_make_up_becomes_no_label(fleet: Watched) -> None:
    await fleet.http.get("/healthz")
    await fleet.http.get("/healthz")
    await fleet.http.get("/made/up/by-somebody")
    await fleet.http.request("BREW", "/healthz")
    found = await fleet.scrape()
    assert found.value("strongroom_http_requests_total", method="GET", route="/healthz", status="200") == 2
    assert found.value("strongroom_http_requests_total", method="GET", route="unmatched", status="404") == 1
    routes = {dict(labels)["route"] for labels in found.series("strongroom_http_requests_total")}
    methods = {dict(labels)["method"] for labels in found.series("strongroom_http_requests_total")}
    assert not any("made" in route for route in routes)
    assert "BREW" not in methods


async def test_without_a_bus_the_coordinator_tells_of_itself_and_that_it_sees_no_fleet(
    fleet: Watched, nats_server: NatsServer
) -> None:
    await fleet.add_service()
    await fleet.scraped(lambda found: found.value("strongroom_fleet_visible") == 1)
    nats_server.kill()
    found = await fleet.scraped(lambda found: found.value("strongroom_fleet_visible") == 0)
    assert found.value("strongroom_nats_connected") == 0
    assert not found.series(GOOD), "what cannot be seen is not told from memory"
    nats_server.start()
    await fleet.scraped(lambda found: found.value("strongroom_fleet_visible") == 1)


async def test_openmetrics_and_plain_text_tell_the_same_and_both_may_be_packed(fleet: Watched) -> None:
    plain = await fleet.scrape(**{"Accept": "text/plain", "Accept-Encoding": "identity"})
    openmetrics = await fleet.scrape(**{"Accept": OPENMETRICS, "Accept-Encoding": "gzip"})
    assert "strongroom_runs_total" in plain.names & openmetrics.names
    answer = await fleet.http.get("/metrics", headers={"Accept": OPENMETRICS, "Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.text.endswith("# EOF\n")


async def test_metrics_are_for_a_viewer_of_all_projects(tmp_path: Path, nats_server: NatsServer, bucket: Bucket) -> None:
    settings = coordinator_settings(tmp_path, nats_server, bucket, http=HttpSettings(port=0))
    async with watched(settings, nats_server) as fleet:

        async def status_of(role: Role | None, project: str = "") -> int:
            headers = {}
            if role is not None:
                create = control.TokenCreate(name="prometheus", role=role, project=project)
                headers["Authorization"] = f"Bearer {(await fleet.operator.call(control.TOKEN_CREATE, create)).token}"
            return (await fleet.http.get("/metrics", headers=headers)).status_code

        assert await status_of(None) == 401
        assert await status_of(Role.VIEWER) == 200
        assert await status_of(Role.ADMIN) == 200
        assert await status_of(Role.ADMIN, "acme") == 403
        refused = await fleet.http.get("/metrics", headers={"Authorization": "Bearer srm_aaaaaaaaaa_" + "x" * 43})
        assert (refused.status_code, refused.json()["code"]) == (401, "access.unauthenticated")
