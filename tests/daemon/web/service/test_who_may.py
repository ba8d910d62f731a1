"""Every page and every button of a service, tried by each role: what is not shown is refused too."""

from __future__ import annotations

from typing import Any

import pytest

from contracts import control
from contracts.access import Role
from contracts.policy.schedule import Daily
from contracts.records import BackupRecord
from tests.daemon.web.pages import Browsing, browsing, words
from tests.e2e.services import HOME, back_up, robot_service
from tests.e2e.stage import Stage

_VIEWS = (
    "",
    "/backups",
    "/schedule",
    "/schedule/preview?choice=daily&at=01:00",
    "/retention",
    "/retention?days=30",
    "/charts",
    "/charts/data",
    "/settings",
    "/backups/{id}",
)
_OPERATORS = ("/backups/{id}/restore",)
_ADMINS = ("/backups/{id}/delete", "/delete")

_POLICY = {"per": "run", "total_count": "50", "suspicious_percent": "50"} | {
    f"min-{name}": count for name, count in (("daily", "7"), ("weekly", "4"), ("monthly", "3"))
}
_CHANGES: dict[Role, dict[str, dict[str, Any]]] = {
    Role.OPERATOR: {
        "/backups": {"tags": "by-form"},
        "/backups/{id}/tags": {"tags": "new"},
        "/backups/{id}/protection": {"protect": "yes"},
        "/backups/{id}/cancel": {"confirmed": "yes"},
        "/backups/{id}/restore": {"to": "acme/orders", "artifact": "0"},
    },
    Role.ADMIN: {
        "/schedule": {"choice": "daily", "at": "03:00"},
        "/retention": _POLICY,
        "/retention/preview": _POLICY,
        "/settings": {"nodes": "node-1", "option.method": "logical", "option.lock_timeout_s": "30", "option.parallel": "1"},
        "/backups/{id}/delete": {"typed": "{id}"},
        "/delete": {"typed": "orders"},
        "/undelete": {},
    },
}


async def test_everybody_sees_what_there_is_and_opens_what_their_role_covers(stage: Stage) -> None:
    async with robot_service(stage):
        backup = await back_up(stage)
        for role in Role:
            async with browsing(stage, role, project="acme") as somebody:
                for path in _VIEWS:
                    assert await _status(somebody, path, backup) in (200, 303), (role, path)
                for needed, paths in ((Role.OPERATOR, _OPERATORS), (Role.ADMIN, _ADMINS)):
                    for path in paths:
                        expected = 200 if role.covers(needed) else 403
                        assert await _status(somebody, path, backup) == expected, (role, path)


@pytest.mark.parametrize("role", list(Role))
async def test_a_change_is_made_or_refused_by_the_role_of_whoever_sends_the_form(stage: Stage, role: Role) -> None:
    async with robot_service(stage), browsing(stage, role) as somebody:
        for needed, changes in _CHANGES.items():
            for path, fields in changes.items():
                if path == "/undelete" and role is not Role.ADMIN:
                    continue  # nothing was deleted
                backup = await back_up(stage) if "{id}" in path else None
                name = path.format(id=backup.id if backup else "")
                given = {field: value.format(id=backup.id if backup else "") for field, value in fields.items()}
                answer = await somebody.post(HOME + name, **given)
                refused = "needs the role" in words(answer)
                assert refused is not role.covers(needed), (path, answer.status_code, words(answer)[:300])
                assert answer.status_code < 500


async def test_a_token_of_another_project_finds_no_service(stage: Stage) -> None:
    async with robot_service(stage):
        await stage.project("globex")
        backup = await back_up(stage)
        async with browsing(stage, Role.ADMIN, project="globex") as stranger:
            for path in (*_VIEWS, *_OPERATORS, *_ADMINS):
                assert await _status(stranger, path, backup) == 403, path
            live = await stranger.get(f"{HOME}/runs/{backup.id}/live")
            assert live.status_code == 403


async def test_nobody_without_a_session_sees_anything(stage: Stage) -> None:
    async with robot_service(stage), browsing(stage, None) as nobody:
        backup = await back_up(stage)
        for path in (*_VIEWS, *_OPERATORS, *_ADMINS, f"/runs/{backup.id}/live"):
            answer = await nobody.get(HOME + path.format(id=backup.id))
            assert answer.status_code == 303, path
            assert answer.headers["location"].startswith("/login"), path


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/projects/acme/services/nothing", 404),
        ("/projects/nobody/services/orders", 404),
        ("/projects/ACME/services/orders", 400),
        (f"{HOME}/backups/20270101T000000Z-aaaa", 404),
        (f"{HOME}/backups/nonsense", 400),
        (f"{HOME}/restores/20270101T000000Z-aaaa", 404),
        (f"{HOME}/runs/20270101T000000Z-aaaa/live", 404),
        (f"{HOME}/runs/20270101T000000Z-aaaa/live?kind=dream", 400),
        (f"{HOME}?show=nonsense&class=nonsense&after=nonsense", 200),
        (f"{HOME}/retention?days=nonsense", 200),
    ],
)
async def test_what_there_is_not_is_a_page_that_says_so(stage: Stage, path: str, status: int) -> None:
    async with robot_service(stage), browsing(stage) as admin:
        answer = await admin.get(path)
        assert answer.status_code == status
        assert "<!doctype html>" in answer.text.lower()


async def test_the_newest_backup_is_found_by_its_name_latest(stage: Stage) -> None:
    async with robot_service(stage), browsing(stage, Role.VIEWER) as viewer:
        backup = await back_up(stage)
        answer = await viewer.get(f"{HOME}/backups/latest")
        assert answer.headers["location"] == f"{HOME}/backups/{backup.id}"


async def test_an_old_form_changes_nothing_when_the_record_changed_meanwhile(stage: Stage) -> None:
    """A schedule that is not to be understood any more is refused, and what was typed stays."""
    async with robot_service(stage, schedule=Daily(at="01:00")), browsing(stage) as admin:
        answer = await admin.post(f"{HOME}/schedule", choice="cron", expression="61 * * * *")
        assert answer.status_code == 422
        assert "minute 61 is not within 0-59" in words(answer)
        assert 'value="61 * * * *"' in answer.text
        reference = control.ServiceRef(project="acme", service="orders")
        assert (await stage.operator.call(control.SERVICE_SHOW, reference)).record.schedule == Daily(at="01:00")


async def _status(somebody: Browsing, path: str, backup: BackupRecord) -> int:
    return (await somebody.get(HOME + path.format(id=backup.id))).status_code
