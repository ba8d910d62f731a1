"""One backup is one trace, over all programs that take part, as a collector receives it."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Sequence
from datetime import timedelta

from nats.aio.msg import Msg

from contracts import control
from contracts.policy.schedule import Daily
from contracts.records import BackupRecord, RunState
from contracts.subjects import control_subject
from contracts.wire import utc_now
from tests.integration.otlp import Collector, Received, otlp_collector
from tests.integration.platform import Platform, PlatformOperator
from tests.servers.nats import settle
from tests.servers.waiting import eventually

COORDINATOR, AGENT = "strongroom-coordinator", "strongroom-agent"
OWN = f"00-{'ab' * 16}-{'cd' * 8}-01"


def roots(trace: Sequence[Received]) -> list[Received]:
    known = {span.span_id for span in trace}
    return [span for span in trace if span.parent_id not in known]


async def complete(collector: Collector, run_id: str, *names: str) -> list[Received]:
    """The run's trace, once these spans and all between them have arrived: programs send theirs every few seconds."""

    async def arrived() -> bool:
        trace = collector.trace_of(run_id)
        return {span.name for span in trace} >= set(names) and len(roots(trace)) == 1

    try:
        await eventually(arrived, 40)
    except AssertionError as exc:
        trace = collector.trace_of(run_id)
        names_of = {"spans": sorted(span.name for span in trace), "roots": sorted(span.name for span in roots(trace))}
        raise AssertionError(f"incomplete after 40 s: {names_of}") from exc
    return collector.trace_of(run_id)


def start(platform: Platform, collector: Collector) -> None:
    tracing = {"otlp_endpoint": collector.url}
    platform.write_service()
    platform.start_coordinator(tracing=tracing)
    platform.start_agent(tracing=tracing)


async def ready(operator: PlatformOperator) -> None:
    await operator.set_up("node-1")
    await operator.reached("node-1", "acme/orders")


async def test_a_backup_is_one_trace_over_coordinator_and_agent(platform: Platform) -> None:
    async with otlp_collector() as collector, platform.operator() as operator:
        start(platform, collector)
        await ready(operator)
        events: list[Msg] = []

        async def heard(message: Msg) -> None:
            events.append(message)

        await operator.client.subscribe("strongroom.event.backup.completed.acme.orders", cb=heard)
        await settle(operator.client)
        backup = await operator.completed(await operator.request())
        trace = await complete(
            collector,
            backup.id,
            "control.call",
            "backup.place",
            "request.publish",
            "backup.run",
            "ask.claim",
            "backup.plan",
            "artifact.upload",
            "artifact.dump",
            "ask.open",
            "ask.close",
            "report.publish",
            "report.handle",
            "manifest.write",
            "event.publish",
            "retention.apply",
        )
        assert len({span.trace_id for span in trace}) == 1
        (root,) = roots(trace)
        assert (root.name, root.program) == ("control.call", COORDINATOR)
        assert root.attributes["strongroom.verb"] == "backup.create"
        by_name = {span.name: span for span in trace}
        by_id = {span.span_id: span for span in trace}

        def parent_of(name: str) -> tuple[str, str]:
            parent = by_id[by_name[name].parent_id]
            return parent.name, parent.program

        assert parent_of("backup.run") == ("request.publish", COORDINATOR)
        assert parent_of("artifact.dump") == ("artifact.upload", AGENT)
        assert parent_of("ask.close") == ("artifact.upload", AGENT)
        assert parent_of("report.handle") == ("report.publish", AGENT)
        assert parent_of("retention.apply") == ("report.handle", COORDINATOR)
        assert by_name["backup.place"].attributes["strongroom.node"] == "node-1"
        uploads = [span for span in trace if span.name == "artifact.upload"]
        assert {int(span.attributes["strongroom.stored_bytes"]) for span in uploads} == {
            artifact.stored_bytes for artifact in backup.artifacts
        }
        assert all(span.start_ns < span.end_ns for span in trace)
        assert not [span for span in trace if span.status == 2], "nothing has failed"

        (completed,) = events
        assert completed.headers is not None
        _, trace_id, span_id, _ = completed.headers["traceparent"].split("-")
        assert bytes.fromhex(trace_id) == root.trace_id
        assert by_id[bytes.fromhex(span_id)].name == "event.publish"
        assert completed.headers["ce-traceparent"] == completed.headers["traceparent"]


async def test_a_backup_that_was_due_is_traced_from_its_due_time(platform: Platform) -> None:
    async with otlp_collector() as collector, platform.operator() as operator:
        start(platform, collector)
        await ready(operator)
        soon = utc_now() + timedelta(seconds=8)
        schedule = control.ServiceSetSchedule(project="acme", service="orders", schedule=Daily(at=f"{soon:%H:%M:%S}"))
        await operator.call(control.SERVICE_SET_SCHEDULE, schedule)

        async def made() -> BackupRecord | None:
            found = (await operator.call(control.BACKUP_LIST, control.BackupList(project="acme"))).backups
            return next((backup for backup in found if backup.state is RunState.COMPLETED), None)

        backup = await eventually(made, 40)
        trace = await complete(collector, backup.id, "backup.due", "backup.place", "backup.run", "report.handle")
        assert backup.due_at is not None
        (root,) = roots(trace)
        assert root.name == "backup.due"
        assert root.start_ns == int(backup.due_at.timestamp() * 1e9)
        assert {span.program for span in trace} == {COORDINATOR, AGENT}


async def test_who_asks_within_a_trace_of_his_own_finds_the_backup_in_it_and_what_failed(platform: Platform) -> None:
    async with otlp_collector() as collector, platform.operator() as operator:
        start(platform, collector)
        await ready(operator)
        platform.write_service(port=1)
        request = json.dumps({"project": "acme", "service": "orders"}).encode()
        subject = control_subject("backup.create")
        answer = await operator.client.request(subject, request, timeout=20, headers={"traceparent": OWN})
        run_id = json.loads(answer.data)["id"]
        trace = await complete(collector, run_id, "control.call", "backup.run", "report.handle")
        assert {span.trace_id for span in trace} == {bytes.fromhex(OWN.split("-")[1])}
        (root,) = roots(trace)
        assert root.parent_id == bytes.fromhex(OWN.split("-")[2])
        failed = next(span for span in trace if span.name == "backup.run")
        assert failed.status == 2
        assert failed.attributes["error.type"] == "engine.unreachable"


async def test_a_collector_that_is_away_stops_no_backup_and_is_told_of(platform: Platform) -> None:
    async with otlp_collector() as collector:
        gone = Collector(url=collector.url)
    async with platform.operator() as operator:
        start(platform, gone)
        await ready(operator)
        await operator.completed(await operator.request())
        await eventually(lambda: "traces.lost" in platform.log("agent-node-1"), 40)
        async with asyncio.timeout(30):
            await asyncio.to_thread(platform.stop_one, "agent-node-1", signal.SIGTERM)
