"""Everything that is really said on the bus is as the documents say: subjects, headers and payloads of every kind."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft7Validator, Draft202012Validator, ValidationError
from nats.aio.msg import Msg

from contracts import asks, control
from contracts.access import Role
from contracts.control import VERBS
from contracts.errors import ErrorInfo, StrongroomError
from contracts.policy.schedule import Daily
from contracts.records import BackupRecord, RunKind
from contracts.reports import LogLine, Progress, RestoreFinished
from contracts.requests import RestoreRequest
from contracts.schemas import message_schema
from contracts.subjects import agent_log_subject, agent_progress_subject
from contracts.wire import encode, utc_now
from daemon.http.examples import request_example
from daemon.settings import CoordinatorSettings
from tests.daemon.robots import robot
from tests.daemon.scene import Scene, at, scene
from tests.daemon.speaking import SpeakingAgent, sealed
from tests.servers.nats import NatsServer, settle
from tests.servers.waiting import eventually

DOCUMENT = json.loads((Path(__file__).parents[2] / "contracts" / "documents" / "asyncapi.json").read_text())
OURS = re.compile(r"strongroom\.")


class Recorded:
    """All messages of the coordinator's account, and what the AsyncAPI document says of each."""

    def __init__(self) -> None:
        self.messages: list[Msg] = []

    async def take(self, message: Msg) -> None:
        self.messages.append(message)

    def kinds(self) -> dict[str, int]:
        """How many there are of each message of the document.  Raises: AssertionError for what is none of them."""
        channels = [
            (re.compile("".join(_pattern(part) for part in re.split(r"(\{[a-z]+\})", channel["address"]))), name)
            for name, channel in DOCUMENT["channels"].items()
            if channel["address"]
        ]
        replies: dict[str, list[str]] = {}
        seen: dict[str, int] = {}
        for message in self.messages:
            if OURS.match(message.subject):
                (channel,) = [name for pattern, name in channels if pattern.fullmatch(message.subject)]
                allowed = list(DOCUMENT["channels"][channel]["messages"])
                if message.reply and (operation := DOCUMENT["operations"].get(_operation_of(channel), {})).get("reply"):
                    replies[message.reply] = _replies(operation["reply"])
            elif message.subject in replies:
                allowed = replies[message.subject]
            else:
                continue  # JetStream's own
            kind = the_kind(message, allowed)
            seen[kind] = seen.get(kind, 0) + 1
        return seen


def _pattern(part: str) -> str:
    return r"[^.]+" if part.startswith("{") else re.escape(part)


def _operation_of(channel: str) -> str:
    ref = {"$ref": f"#/channels/{channel}"}
    return next(str(name) for name, operation in DOCUMENT["operations"].items() if operation["channel"] == ref)


def _replies(reply: Mapping[str, Any]) -> list[str]:
    if "messages" in reply:
        return [each["$ref"].rpartition("/")[2] for each in reply["messages"]]
    channel = reply["channel"]["$ref"].rpartition("/")[2]
    return list(DOCUMENT["channels"][channel]["messages"])


def the_kind(message: Msg, allowed: Sequence[str]) -> str:
    """The one message of these that it is, by both schemas: that of the AsyncAPI document and that of its own file."""
    payload = json.loads(message.data or b"{}")
    headers = message.headers or {}
    fits = []
    reasons = []
    for name in allowed:
        described = DOCUMENT["components"]["messages"][name]
        type_ = described["payload"]["$ref"].rpartition("/")[2]
        try:
            _draft_7(described["payload"]).validate(payload)
            _validator(type_).validate(payload)
            if "headers" in described:
                Draft7Validator(described["headers"], format_checker=Draft7Validator.FORMAT_CHECKER).validate(headers)
            is_error = "Nats-Service-Error-Code" in headers
            if is_error == (name == "ControlError"):
                fits.append(name)
        except ValidationError as exc:
            reasons.append(f"{name}: {exc.message} at {exc.json_path}")
    assert len(fits) == 1, (message.subject, fits, reasons, payload)
    return fits[0]


def _validator(type_: str) -> Draft202012Validator:
    return Draft202012Validator(message_schema(type_), format_checker=Draft202012Validator.FORMAT_CHECKER)


def _draft_7(schema: Mapping[str, Any]) -> Draft7Validator:
    whole = {**schema, "components": DOCUMENT["components"]}
    return Draft7Validator(whole, format_checker=Draft7Validator.FORMAT_CHECKER)


async def speak_of_a_run(found: Scene, run: BackupRecord, attempt: int = 1) -> None:
    """Progress and a log line of a run under way, as its agent sends them."""
    of = {"run": RunKind.BACKUP, "project": run.project, "service": run.service, "run_id": run.id, "attempt": attempt}
    progress = {
        "phase": "dumping",
        "artifact": "orders",
        "artifact_index": 1,
        "artifact_count": 1,
        "plain_bytes": 1,
        "stored_bytes": 0,
        "estimate_bytes": 10,
        "elapsed_s": 0.5,
    }
    line = {"at": utc_now(), "level": "info", "event": "backup.planned", "fields": {"artifacts": 1}}
    client = found.robot.client
    await client.publish(agent_progress_subject("node-1"), encode(msgspec.convert({**of, **progress}, Progress)))
    await client.publish(agent_log_subject("node-1"), encode(msgspec.convert({**of, **line}, LogLine)))


async def restore_by_hand(found: Scene, agent: SpeakingAgent, backup: BackupRecord) -> None:
    """A restore, spoken sentence by sentence."""
    wanted = control.RestoreCreate(project="acme", service="orders", id=backup.id, to_service="copy", node="node-2")
    restore = await found.operator.call(control.RESTORE_CREATE, wanted)
    assert isinstance(await agent.pull(), RestoreRequest)
    job = await agent.claim(restore, RunKind.RESTORE)
    assert isinstance(job, asks.RestoreJob)
    artifact = job.artifacts[0]
    download = asks.OpenDownload(run_id=restore.id, attempt=1, artifact=artifact.name, object_key=artifact.object_key)
    await agent.ask(restore, download, kind=RunKind.RESTORE)
    await agent.report(
        RestoreFinished(
            project="acme",
            service="orders",
            run_id=restore.id,
            attempt=1,
            started_at=utc_now(),
            finished_at=utc_now(),
            restored={"in_place": ["orders"]},
        )
    )

    async def in_place() -> bool:
        reference = control.RunRefRequest(project="acme", service="orders", id=restore.id)
        return not (await found.operator.call(control.RESTORE_SHOW, reference)).state.is_active

    await eventually(in_place)


async def ask_everything(found: Scene, agent: SpeakingAgent) -> None:
    """The asks that a robot does not need: checked, more parts, aborted, refused."""
    await found.add_service("spoken", nodes=["node-2"])
    run = await found.request("spoken")
    await agent.pull()
    await agent.claim(run)
    await agent.open(run)
    await agent.ask(run, asks.MoreParts(run_id=run.id, attempt=1, index=1, first=5, count=2))
    await agent.ask(run, asks.CheckRun(run_id=run.id, attempt=1))
    await agent.ask(run, asks.AbortArtifact(run_id=run.id, attempt=1, index=1))
    with pytest.raises(StrongroomError):
        await agent.ask(run, asks.CheckRun(run_id=run.id, attempt=7))
    reference = control.RunRefRequest(project="acme", service="spoken", id=run.id)
    await found.operator.call(control.BACKUP_CANCEL, reference)


async def call_all_verbs(found: Scene, backup: BackupRecord) -> None:
    """Each verb once, in an order in which nearly all of them go well; what is new is asked with its example."""
    orders, run = {"project": "acme", "service": "orders"}, {"project": "acme", "service": "orders", "id": backup.id}
    token = await found.operator.call(control.TOKEN_CREATE, control.TokenCreate(name="ci", role=Role.VIEWER))
    calls: dict[str, dict[str, Any]] = {
        "status": {},
        "access.self": {},
        "overview": {},
        "schema.show": {"name": "Event"},
        "token.list": {},
        "token.revoke": {"id": token.view.id},
        "node.list": {},
        "project.list": {},
        "project.show": {"project": "acme"},
        "project.usage": {"project": "acme", "check": True},
        "project.set_quota": {"project": "acme", "plan": "serious"},
        "service.list": {},
        "service.show": orders,
        "service.dues": orders,
        "service.change": {**orders, "nodes": ["node-1"]},
        "service.set_schedule": {**orders, "schedule": {"kind": "weekly", "day": "sunday", "at": "03:00"}},
        "service.set_retention": {**orders, "retention": {}, "dry_run": True},
        "retention.plan": orders,
        "backup.list": orders,
        "backup.record": run,
        "backup.show": run,
        "backup.tag": {**run, "add": ["before-migration"]},
        "backup.protect": run,
        "backup.download": {**run, "artifact": backup.artifacts[0].name},
        "restore.list": {},
        "event.list": {},
        "backup.delete": {**run, "force": True},
        "service.delete": orders,
        "service.undelete": orders,
        "project.delete": {"project": "acme"},
        "project.undelete": {"project": "acme"},
        "node.add": {"node": "node-9"},
        "node.remove": {"node": "node-9"},
    }
    made_already = {"token.create", "project.create", "service.add", "backup.create", "backup.cancel", "restore.create"}
    for name, verb in VERBS.items():
        if name not in made_already:
            calls.setdefault(name, request_example(verb))
    for name, request in calls.items():
        try:
            await found.operator.call_raw(name, json.dumps(request).encode())
        except StrongroomError as exc:
            if exc.code == "internal":
                raise


async def test_what_is_said_on_the_bus_is_what_the_documents_say(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    recorded = Recorded()
    async with (
        nats_server.connect_coordinator() as tap,
        scene(settings, nats_server, start=at("2026-03-01 12:00")) as found,
        nats_server.connect_node("node-2") as client,
    ):
        await tap.subscribe(">", cb=recorded.take)
        await settle(tap)
        agent = SpeakingAgent(client, "node-2")
        await found.operator.call(control.NODE_ADD, control.NodeRef(node="node-2"))
        await found.operator.call(control.PROJECT_CREATE, control.ProjectCreate(name="other"))
        await found.add_service(schedule=Daily(at="01:00"))
        await found.add_service("copy", nodes=["node-2"])
        await agent.beat(services=dict.fromkeys(["acme/spoken", "acme/copy"], next(iter(found.robot.health.values()))))

        async def both_alive() -> bool:
            views = (await found.operator.call(control.NODE_LIST, control.Nothing())).nodes
            return all(view.alive is not None for view in views)

        await eventually(both_alive)
        owner = await found.operator.call(control.PROJECT_SHOW, control.ProjectRef(project="acme"))
        found.robot.data = lambda _: sealed(b"a dump", owner.recipients)
        found.robot.may_finish.clear()
        backup = await found.request()
        await eventually(lambda: found.robot.taken)
        await speak_of_a_run(found, backup)
        found.robot.may_finish.set()
        await found.idle()
        backup = await found.record(backup)
        found.robot.failure = lambda _: ErrorInfo(code="dump.failed", message="it did not work", detail="pg_dump: no")
        await found.make()
        await restore_by_hand(found, agent, backup)
        await ask_everything(found, agent)
        await call_all_verbs(found, backup)
        await eventually(lambda: any(message.subject.startswith("strongroom.log.") for message in recorded.messages))
        await settle(tap)
    seen = recorded.kinds()
    on_channels: Callable[[str], set[str]] = lambda name: set(DOCUMENT["channels"][name]["messages"])  # noqa: E731
    between = set().union(*(on_channels(name) for name in ("requests", "asks", "answers", "reports", "heartbeats")))
    assert between | {"Progress", "LogLine", "ControlError"} <= seen.keys()
    assert {f"{name}.request" for name in VERBS} <= seen.keys(), "every verb was asked"
    answered = {name for name in VERBS if f"{name}.answer" in seen}
    assert len(answered) > 0.8 * len(VERBS), sorted(VERBS.keys() - answered)
    events = on_channels("events") & seen.keys()
    assert {"backup.completed", "backup.failed", "backup.cancelled", "restore.completed", "access.called"} <= events


async def test_events_bear_the_attributes_of_cloudevents(settings: CoordinatorSettings, nats_server: NatsServer) -> None:
    """Source: CloudEvents 1.0.2, "Context Attributes"; NATS protocol binding, "Binary content mode"."""
    heard: list[Msg] = []

    async def take(message: Msg) -> None:
        heard.append(message)

    async with scene(settings, nats_server, start=at("2026-03-01 12:00")) as found:
        await found.operator.client.subscribe("strongroom.event.>", cb=take)
        await settle(found.operator.client)
        await found.add_service()
        made = await found.make()
        await found.operator.call(control.NODE_ADD, control.NodeRef(node="node-2"))
        async with robot(nats_server, "node-2", "acme/orders"):
            await eventually(lambda: any(message.subject == "strongroom.event.node.alive.-.-" for message in heard))
    completed = next(message for message in heard if ".backup.completed." in message.subject)
    assert completed.headers is not None
    attributes = {name.removeprefix("ce-"): value for name, value in completed.headers.items() if name.startswith("ce-")}
    assert attributes["specversion"] == "1.0"
    assert attributes["type"] == "strongroom.backup.completed"
    assert attributes["source"] == "/strongroom/coordinator"
    assert attributes["subject"] == f"acme/orders/{made.id}"
    assert attributes["datacontenttype"] == "application/json"
    assert attributes["dataschema"] == message_schema("Event")["$id"]
    assert attributes["id"] == json.loads(completed.data)["id"]
    assert attributes["time"] == json.loads(completed.data)["at"]
    for message in heard:
        assert message.headers is not None
        for name, value in message.headers.items():
            if name.startswith("ce-"):
                assert re.fullmatch(r"ce-[a-z0-9]{1,20}", name), "attributes are lower-case letters and digits"
                assert value
                assert value.isascii()
        assert re.fullmatch(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z", message.headers["ce-time"])
    ids = [(message.headers or {})["ce-id"] for message in heard]
    assert len(set(ids)) == len(ids), "source and id together are a name of the event"
    node = next(message for message in heard if message.subject == "strongroom.event.node.alive.-.-")
    assert (node.headers or {})["ce-subject"] == "node-2"
