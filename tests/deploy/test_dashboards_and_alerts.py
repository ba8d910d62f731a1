"""The dashboard and the alert rules name only what coordinators and agents really tell."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import promql_parser
import pytest
from nats.aio.client import Client
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

from agents.datapath.limits import UploadLimits
from agents.datapath.staging import Staging
from agents.figures import Figures
from agents.metrics import AgentCollector
from daemon.http.settings import HttpSettings
from tests.daemon.running import coordinator_settings, running_coordinator
from tests.servers.nats import NatsServer
from tests.servers.s3 import Bucket

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "strongroom.rules.yml"
DASHBOARD = DEPLOY / "grafana" / "strongroom.json"
OF_PROMETHEUS = {"up"}
SUFFIXES = {"counter": ["_total", "_created"], "histogram": ["_bucket", "_sum", "_count"], "info": ["_info"], "gauge": [""]}


def rules() -> list[dict[str, Any]]:
    return [rule for group in msgspec.yaml.decode(RULES.read_bytes())["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    return list(json.loads(DASHBOARD.read_text())["panels"])


def expressions() -> list[str]:
    """All PromQL there is, with Grafana's variables filled in as Grafana does."""
    found = [rule["expr"] for rule in rules()]
    found += [target["expr"] for panel in panels() for target in panel.get("targets", [])]
    return [expr.replace("$__rate_interval", "5m").replace("$project", ".*") for expr in found]


def selectors(expression: Any) -> Iterator[promql_parser.VectorSelector]:
    """Everywhere in the parsed expression."""
    if isinstance(expression, promql_parser.VectorSelector):
        yield expression
        return
    for name in ("lhs", "rhs", "expr", "args", "vector_selector", "vs", "param"):
        below = getattr(expression, name, None)
        for each in below if isinstance(below, list) else [below]:
            if each is not None:
                yield from selectors(each)


def names_of(text: str) -> set[str]:
    """Every name that series of this exposition may have, by the declared types."""
    declared = re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE)
    return {name.removesuffix("_total") + suffix for name, type_ in declared for suffix in SUFFIXES[type_]} | {
        name for name, _ in declared
    }


@pytest.fixture
async def exported(tmp_path: Path, nats_server: NatsServer, bucket: Bucket) -> AsyncIterator[set[str]]:
    settings = coordinator_settings(tmp_path, nats_server, bucket, http=HttpSettings(port=0, metrics_open=True))
    agent = CollectorRegistry()
    ProcessCollector(registry=agent)
    agent.register(
        AgentCollector(
            node="node-1",
            version="1.0.0",
            figures=Figures(),
            health=dict,
            running=lambda: 0,
            staging=Staging(UploadLimits(spool_dir=str(tmp_path / "spool"))),
            client=Client(),
            bus_errors=lambda: 0,
        )
    )
    async with running_coordinator(settings) as url, httpx.AsyncClient(base_url=url) as http:
        coordinator = (await http.get("/metrics")).text
        yield names_of(coordinator) | names_of(generate_latest(agent).decode()) | OF_PROMETHEUS


async def test_every_metric_that_is_drawn_or_alerted_on_is_told_by_a_coordinator_or_an_agent(exported: set[str]) -> None:
    used = {selector.name for text in expressions() for selector in selectors(promql_parser.parse(text))}
    assert len(used) > 30
    assert not used - exported
    assert {"strongroom_service_newest_good_backup_timestamp_seconds", "strongroom_runs_total"} <= used


def test_every_expression_is_promql() -> None:
    for text in expressions():
        assert list(selectors(promql_parser.parse(text))), text


def test_the_alerts_that_nobody_should_be_without_are_there_and_say_what_to_do() -> None:
    by_name = {rule["alert"]: rule for rule in rules()}
    assert len(by_name) == len(rules()), "no name twice"
    assert by_name.keys() >= {
        "BackupTooOld",
        "BackupFailed",
        "AgentSilent",
        "QuotaNear",
        "NoLeader",
        "CoordinatorDown",
        "SchedulerLags",
        "StoreFailing",
        "FleetInvisible",
    }
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning", "info"), rule["alert"]
        assert rule["annotations"]["summary"], rule["alert"]


def test_what_every_coordinator_tells_of_the_fleet_is_taken_together_before_it_alerts() -> None:
    """Otherwise two coordinators mean two alerts, and pairs of their series match none."""
    for rule in rules():
        for selector in re.finditer(r"(.{0,40})(strongroom_(service|project|node)_\w+)", rule["expr"]):
            assert re.search(r"max by \([a-z, ]+\) \($", selector[1]), f"{rule['alert']}: {selector[0]}"


def test_the_dashboard_can_be_imported_anywhere_and_nothing_lies_over_another() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    variables = {variable["name"]: variable for variable in dashboard["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    ids = [panel["id"] for panel in panels()]
    assert len(set(ids)) == len(ids)
    for panel in panels():
        if panel["type"] == "row":
            continue
        assert panel["datasource"]["uid"] == "${datasource}", panel["title"]
        assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"]), panel["title"]
    for one, other in itertools.combinations((panel["gridPos"] for panel in panels()), 2):
        apart_x = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart_y = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart_x or apart_y, (one, other)
        assert one["x"] + one["w"] <= 24
    assert panels()[0]["title"] == "Is everything safe?"


def test_the_rules_alert_when_they_should_and_not_before() -> None:
    promtool = shutil.which("promtool") or shutil.which("promtool", path=str(Path(sys.executable).parent))
    if promtool is None:
        pytest.skip("NOT RUN HERE: there is no promtool (Debian: prometheus) to play the alert rules over time")
    for arguments in (["check", "rules", str(RULES)], ["test", "rules", str(RULES.with_name("strongroom.test.yml"))]):
        ended = subprocess.run([promtool, *arguments], capture_output=True, text=True, timeout=60, check=False)
        assert ended.returncode == 0, ended.stdout + ended.stderr
