"""Who may call what: decided by role and project alone."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from contracts import control
from contracts.access import Role
from contracts.control import VERBS, Verb
from contracts.errors import Denied
from daemon.access.authority import authorize
from daemon.access.caller import Caller, Via

OF_NO_PROJECT = {"status", "access.self", "schema.show"}
EVERYWHERE = {"node.add", "node.list", "node.remove", "project.create"}
"""Verbs that concern everybody."""


def caller(role: Role, project: str = "") -> Caller:
    return Caller(actor="token:ci", role=role, via=Via.HTTP, project=project)


def made(type_: Any, **given: Any) -> Any:
    """A request of this type; fields that must be there and are not given hold any value."""
    values = {
        field.name: field.name
        for field in msgspec.structs.fields(type_)
        if field.default is msgspec.NODEFAULT and field.default_factory is msgspec.NODEFAULT
    }
    return type_(**(values | {name: value for name, value in given.items() if name in type_.__struct_fields__}))


@pytest.mark.parametrize("verb", VERBS.values(), ids=lambda verb: verb.name)
@pytest.mark.parametrize("role", Role)
def test_a_role_covers_the_verbs_of_the_roles_before_it(verb: Verb[Any, Any], role: Role) -> None:
    request = made(verb.request)
    if role.rank >= verb.role.rank:
        authorize(verb, request, caller(role))
    else:
        with pytest.raises(Denied, match=f"needs the role {verb.role}") as told:
            authorize(verb, request, caller(role))
        assert told.value.code == "access.forbidden"


@pytest.mark.parametrize("verb", VERBS.values(), ids=lambda verb: verb.name)
def test_a_token_of_one_project_reaches_no_other(verb: Verb[Any, Any]) -> None:
    mine = caller(Role.ADMIN, "acme")
    if verb.name in OF_NO_PROJECT:
        authorize(verb, made(verb.request), mine)
    elif verb.name in EVERYWHERE:
        with pytest.raises(Denied, match="concerns all projects"):
            authorize(verb, made(verb.request), mine)
    else:
        assert authorize(verb, made(verb.request, project="acme"), mine).project == "acme"
        assert authorize(verb, made(verb.request, project=""), mine).project == "acme"
        with pytest.raises(Denied, match="for project acme only, not for globex"):
            authorize(verb, made(verb.request, project="globex"), mine)


def test_a_restore_may_not_lead_out_of_the_project() -> None:
    request = control.RestoreCreate(project="acme", service="orders", id="latest", to_project="globex")
    with pytest.raises(Denied, match="not for globex"):
        authorize(control.RESTORE_CREATE, request, caller(Role.OPERATOR, "acme"))


def test_nobody_chooses_the_name_that_the_audit_log_has() -> None:
    request = control.BackupCreate(project="acme", service="orders", actor="somebody else")
    assert authorize(control.BACKUP_CREATE, request, caller(Role.OPERATOR)).actor == "token:ci"


@pytest.mark.parametrize("verb", VERBS.values(), ids=lambda verb: verb.name)
def test_what_changes_something_needs_more_than_a_viewer(verb: Verb[Any, Any]) -> None:
    assert not verb.changes or verb.role is not Role.VIEWER
