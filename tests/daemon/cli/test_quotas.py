"""How much projects may store, and what they do store."""

from __future__ import annotations

import pytest

from tests.daemon.cli.calling import Strongroom
from tests.integration.platform import Platform


def test_a_project_is_created_with_a_plan_or_a_quota(strongroom: Strongroom) -> None:
    assert (
        "5 GB (4.66 GiB), the plan lightweight" in strongroom("project", "create", "light", "--plan", "lightweight").ok().out
    )
    record = strongroom.json("project", "create", "measured", "--quota", "500MiB")
    assert (record["plan"], record["quota_bytes"]) == ("custom", 500 * 1024**2)
    listed = strongroom("project", "list").ok().out
    assert any(line.split()[:4] == ["light", "lightweight", "5", "GB"] for line in listed.splitlines())


def test_a_quota_is_changed_by_plan_or_by_size(strongroom: Strongroom, project: str) -> None:
    assert "25 GB (23.3 GiB), the plan serious" in strongroom("project", "set-quota", project, "--plan", "serious").ok().out
    record = strongroom.json("project", "set-quota", project, "--quota", "200GB")
    assert (record["plan"], record["quota_bytes"]) == ("custom", 200 * 10**9)
    assert strongroom.json("project", "set-quota", project, "--plan", "custom")["quota_bytes"] == 1024**4
    assert "1 TiB, the plan custom" in strongroom("project", "show", project).ok().out
    assert "by " in strongroom("events", project, "--type", "project.changed").ok().out


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ((), "plan"),
        (("--plan", "generous"), "plan"),
        (("--plan", "serious", "--quota", "1GB"), "plan"),
        (("--quota", "lots"), "quota"),
        (("--quota", "5"), "quota_bytes"),
        (("--quota", "2TiB"), "quota_bytes"),
        (("--quota", "9999999999999999999TB"), "quota_bytes"),
    ],
)
def test_a_quota_that_cannot_be_is_named_and_changes_nothing(
    strongroom: Strongroom, project: str, options: tuple[str, ...], field: str
) -> None:
    error = strongroom("project", "set-quota", project, *options, "--json").failed(2, "input.invalid").error
    assert error["field"] == field
    if options:
        error = strongroom("project", "create", f"{project}-2", *options, "--json").failed(2, "input.invalid").error
        assert error["field"] == field
        strongroom("project", "show", f"{project}-2").failed(3, "project.not_found")
    assert strongroom.json("project", "show", project)["quota_bytes"] == 1024**4


def test_usage_is_told_by_service_and_checked_against_the_bucket(strongroom: Strongroom, service: str) -> None:
    project = service.partition("/")[0]
    record = strongroom.json("backup", "create", service)
    usage = strongroom.json("project", "usage", project)
    assert usage["stored_bytes"] == record["size_bytes"]
    assert usage["services"] == [{"service": "orders", "backups": 1, "size_bytes": record["size_bytes"]}]
    assert usage.get("check") is None
    ended = strongroom("project", "usage", project, "--check").ok()
    assert "✓ bucket and records agree: 3 objects counted" in ended.out
    assert "━" not in ended.out
    seen = strongroom.on_terminal("project", "usage", project, "--check").ok().out
    assert "━" in seen
    assert "1.00 TiB" in seen


def test_objects_that_are_not_as_recorded_end_with_status_8(strongroom: Strongroom, service: str, world: Platform) -> None:
    project = service.partition("/")[0]
    record = strongroom.json("backup", "create", service)
    prefix = f"strongroom/v1/{project}/orders/{record['id']}/"
    client = world.bucket.server.blocking_client
    client.delete_object(Bucket=world.bucket.name, Key=record["artifacts"][0]["object_key"])
    ended = strongroom("project", "usage", project, "--check").failed(8, "store.missing")
    assert "✗ bucket and records disagree" in ended.out
    assert prefix in ended.out
    assert f"bucket and records of project {project} disagree in 1 place; the first is {prefix}: " in ended.err
    ended = strongroom("project", "usage", project, "--check", "--json").failed(8, "store.missing")
    assert ended.document["check"]["differences"][0]["prefix"] == prefix
    strongroom("project", "usage", project).ok()


def test_the_usage_of_a_project_that_is_not_there_is_not_found(strongroom: Strongroom) -> None:
    strongroom("project", "usage", "nowhere").failed(3, "project.not_found")
    strongroom("project", "set-quota", "nowhere", "--quota", "1GB").failed(3, "project.not_found")
