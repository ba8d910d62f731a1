"""Whether a caller may make a call: a pure decision on the verb, the request and the caller."""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec

from contracts.control import ACCESS_SELF, SCHEMA_SHOW, STATUS, RestoreCreate, Verb
from contracts.errors import Denied
from daemon.access.caller import Caller

Q = TypeVar("Q")

_OF_NO_PROJECT: Final = frozenset({STATUS.name, ACCESS_SELF.name, SCHEMA_SHOW.name})
"""Verbs that say nothing of any project."""


def authorize(verb: Verb[Q, Any], request: Q, caller: Caller) -> Q:
    """The request as it may be carried out: by this actor, and narrowed to the caller's project.

    Raises: Denied `access.forbidden`.
    """
    if not caller.role.covers(verb.role):
        raise Denied(
            "access.forbidden",
            f"{verb.name} needs the role {verb.role}, and {caller.actor} has {caller.role}: use a token with that role",
        )
    changed: dict[str, Any] = {}
    if caller.project:
        changed |= _narrowed(verb, request, caller)
    if hasattr(request, "actor"):
        changed["actor"] = caller.actor
    return msgspec.structs.replace(request, **changed) if changed else request  # type: ignore[type-var]


def _narrowed(verb: Verb[Q, Any], request: Q, caller: Caller) -> dict[str, Any]:
    """Raises: Denied for what lies outside of the caller's project."""
    if verb.name in _OF_NO_PROJECT:
        return {}
    if not hasattr(request, "project"):
        raise Denied(
            "access.forbidden",
            f"{verb.name} concerns all projects, and {caller.actor} is let in for {caller.project} only",
        )
    wanted = {request.project}
    if isinstance(request, RestoreCreate):
        wanted.add(request.to_project)
    if outside := sorted(wanted - {"", caller.project}):
        raise Denied(
            "access.forbidden",
            f"{caller.actor} is let in for project {caller.project} only, not for {outside[0]}",
            field="project",
        )
    return {"project": caller.project}
