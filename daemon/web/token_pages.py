"""Tokens: made and shown once, listed, ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler

from contracts import control
from contracts.access import Role
from contracts.errors import InvalidInput, StrongroomError
from daemon.http.backend import Backend
from daemon.web.confirming import ask_first
from daemon.web.forms import Form
from daemon.web.rendering import redirect, render
from daemon.web.sessions import need_session
from daemon.web.visits import AnyRequest, part

TOKENS: Final = "/settings/tokens"
_ROLES: Final = (
    (str(Role.VIEWER), "Viewer", "sees what there is and what became of it; opens nothing that was backed up"),
    (str(Role.OPERATOR), "Operator", "also runs backups, restores and downloads"),
    (str(Role.ADMIN), "Admin", "also changes policies, projects, nodes and tokens, and deletes"),
)
_LIFETIMES: Final = (("30", "30 days"), ("90", "90 days"), ("365", "a year"), ("", "never"))


def token_pages(backend: Backend) -> Sequence[HTTPRouteHandler]:
    async def page(request: AnyRequest, form: Form, made: control.NewToken | None = None) -> Response[Any]:
        caller = need_session(request)
        tokens = (await backend.control.invoke(control.TOKEN_LIST, control.TokenList(), caller)).tokens
        projects = (await backend.control.invoke(control.PROJECT_LIST, control.ProjectList(), caller)).projects
        names = sorted(project.name for project in projects if project.deletion is None)
        return render(
            request,
            "tokens.html",
            status=422 if form.errors else 200,
            form=form,
            tokens=tokens,
            made=made,
            roles=_ROLES,
            lifetimes=_LIFETIMES,
            projects=[*([] if caller.project else [("", "All projects")]), *((name, name) for name in names)],
        )

    @get(TOKENS)
    async def tokens(request: AnyRequest) -> Response[Any]:
        return await page(request, Form.filled(role=str(Role.VIEWER), expires="365"))

    @post(TOKENS)
    async def create(request: AnyRequest) -> Response[Any]:
        """Answers with the page itself: what is shown once stands in no cookie and no address."""
        caller = need_session(request)
        form = await Form.of(request)
        try:
            made = await backend.control.invoke(control.TOKEN_CREATE, _wanted(form), caller)
        except StrongroomError as exc:
            form.refuse(exc, expires_in_days="expires")
            return await page(request, form)
        return await page(request, Form.filled(role=str(Role.VIEWER), expires="365"), made)

    @post("/settings/tokens/{token:str}/revoke")
    async def revoke(request: AnyRequest) -> Response[Any]:
        token = part(request, "token")
        caller = need_session(request)
        form = await Form.of(request)
        if not form.confirmed:
            question = f"Revoke the token {form.value('name') or token}?"
            return ask_first(request, form, question, text=REVOKE, yes="Revoke it", back=TOKENS)
        ended = await backend.control.invoke(control.TOKEN_REVOKE, control.TokenRef(id=token), caller)
        return redirect(request, TOKENS, says=f"The token {ended.name} lets nobody in any more.")

    return [tokens, create, revoke]


REVOKE: Final = "Whoever uses it is shut out at once, sessions of browsers too. It cannot be had back."


def _wanted(form: Form) -> control.TokenCreate:
    """Raises: InvalidInput naming the field."""
    expires = form.value("expires")
    document = {
        "name": form.value("name"),
        "role": form.value("role"),
        "project": form.value("project"),
        "expires_in_days": float(expires) if expires.isdecimal() else None,
    }
    if not document["name"]:
        raise InvalidInput("input.invalid", "say what it is for, such as ci of acme", field="name")
    try:
        return msgspec.convert(document, control.TokenCreate)
    except msgspec.ValidationError as exc:
        message, _, path = str(exc).partition(" - at `$.")
        raise InvalidInput("input.invalid", message, field=path.rstrip("`") or None) from exc
