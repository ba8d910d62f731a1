"""Channels: how people are told of trouble, and a way to try each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeVar

import msgspec
from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler

from contracts import control
from contracts.access import Role
from contracts.errors import InvalidInput, NotFound, StrongroomError
from contracts.notifications import ALL_KINDS, AlertKind, Severity
from daemon.access.caller import Caller
from daemon.http.authentication import need_role
from daemon.http.backend import Backend
from daemon.web.confirming import ask_first
from daemon.web.forms import Form
from daemon.web.rendering import redirect, render
from daemon.web.sessions import need_session
from daemon.web.visits import AnyRequest, Tone, part

_T = TypeVar("_T")

CHANNELS: Final = "/settings/notifications"
KIND_WORDS: Final = {
    AlertKind.FAILED: ("Failed backups", "a backup failed"),
    AlertKind.MISSED: ("Missed backups", "a backup was due, and nobody was there to make it"),
    AlertKind.RECOVERED: ("Recoveries", "what was told of before is over"),
    AlertKind.SUSPICIOUS: ("Suspicious sizes", "the newest backup is suspiciously small"),
    AlertKind.QUOTA_NEAR: ("Full quotas", "a project has nearly used up its quota"),
    AlertKind.AGENT_SILENT: ("Silent agents", "an agent is not heard of any more"),
    AlertKind.RESTORE_FAILED: ("Failed restores", "a restore failed, or no agent took it up"),
}
_SEVERITIES: Final = (
    (str(Severity.INFO), "Everything", "also what is only good to know"),
    (str(Severity.WARNING), "Warnings and worse", "what somebody should look at"),
    (str(Severity.CRITICAL), "Critical only", "what should be safe and is not"),
)
_REMOVE: Final = "Nothing is told on it any more. Its address is forgotten."


def channel_pages(backend: Backend) -> Sequence[HTTPRouteHandler]:
    async def page(request: AnyRequest, form: Form, tested: control.ChannelTest | None = None) -> Response[Any]:
        caller = need_session(request)
        found = await backend.control.invoke(control.CHANNEL_LIST, control.ChannelList(), caller)
        return render(
            request,
            "channels.html",
            status=422 if form.errors else 200,
            form=form,
            channels=found.channels,
            tested=tested,
            kind_words=KIND_WORDS,
            severities=_SEVERITIES,
            severity_words={value: words.lower() for value, words, _ in _SEVERITIES},
            projects=await _projects(backend, caller),
        )

    async def edit_page(request: AnyRequest, channel: control.ChannelView, form: Form) -> Response[Any]:
        return render(
            request,
            "channel.html",
            status=422 if form.errors else 200,
            form=form,
            channel=channel,
            kind_words=KIND_WORDS,
            severities=_SEVERITIES,
        )

    @get(CHANNELS)
    async def channels(request: AnyRequest) -> Response[Any]:
        return await page(request, _fresh())

    @post(CHANNELS)
    async def create(request: AnyRequest) -> Response[Any]:
        caller = need_session(request)
        form = await Form.of(request)
        try:
            made = await backend.control.invoke(control.CHANNEL_CREATE, _wanted(form), caller)
        except StrongroomError as exc:
            form.refuse(exc, fields=("name", "url", "kinds"))
            return await page(request, form)
        return redirect(
            request, CHANNELS, says=f"The channel {made.name} is added. Send a test message to see that it works."
        )

    @get("/settings/notifications/{channel:str}")
    async def edit(request: AnyRequest) -> Response[Any]:
        channel = part(request, "channel")
        caller = need_session(request)
        known = await _need(backend, caller, channel)
        need_role(caller, Role.ADMIN, project=known.project, what="changing a channel")
        form = Form.filled(
            name=known.name,
            min_severity=str(known.min_severity),
            kinds=[str(kind) for kind in known.kinds],
            enabled="yes" if known.enabled else "",
        )
        return await edit_page(request, known, form)

    @post("/settings/notifications/{channel:str}")
    async def change(request: AnyRequest) -> Response[Any]:
        channel = part(request, "channel")
        caller = need_session(request)
        known = await _need(backend, caller, channel)
        form = await Form.of(request)
        try:
            changed = await backend.control.invoke(control.CHANNEL_CHANGE, _changed(channel, form), caller)
        except StrongroomError as exc:
            form.refuse(exc, fields=("name", "url", "kinds"))
            return await edit_page(request, known, form)
        return redirect(request, CHANNELS, says=f"The channel {changed.name} is changed.")

    @post("/settings/notifications/{channel:str}/test")
    async def test(request: AnyRequest) -> Response[Any]:
        """The answer says what became of the message; it is a page, since words of a server do not fit into a toast."""
        channel = part(request, "channel")
        caller = need_session(request)
        tested = await backend.control.invoke(control.CHANNEL_TEST, control.ChannelRef(id=channel), caller)
        return await page(request, _fresh(), tested)

    @post("/settings/notifications/{channel:str}/delete")
    async def delete(request: AnyRequest) -> Response[Any]:
        channel = part(request, "channel")
        caller = need_session(request)
        form = await Form.of(request)
        name = form.value("name") or channel
        if not form.confirmed:
            return ask_first(request, form, f"Remove the channel {name}?", text=_REMOVE, yes="Remove it", back=CHANNELS)
        await backend.control.invoke(control.CHANNEL_DELETE, control.ChannelRef(id=channel), caller)
        return redirect(request, CHANNELS, says=f"The channel {name} is removed.", tone=Tone.GOOD)

    return [channels, create, edit, change, test, delete]


def _fresh() -> Form:
    """A channel for all that is at least a warning."""
    return Form.filled(min_severity=str(Severity.WARNING), kinds=[str(kind) for kind in ALL_KINDS], enabled="yes")


async def _need(backend: Backend, caller: Caller, channel: str) -> control.ChannelView:
    """Raises: NotFound."""
    found = await backend.control.invoke(control.CHANNEL_LIST, control.ChannelList(), caller)
    for each in found.channels:
        if each.id == channel:
            return each
    raise NotFound("channel.not_found", f"there is no channel with the id {channel[:40]!r}", field="id")


async def _projects(backend: Backend, caller: Caller) -> list[tuple[str, str]]:
    """What a channel can be told of."""
    found = (await backend.control.invoke(control.PROJECT_LIST, control.ProjectList(), caller)).projects
    names = sorted(project.name for project in found if project.deletion is None)
    return [*([] if caller.project else [("", "All projects")]), *((name, name) for name in names)]


def _wanted(form: Form) -> control.ChannelCreate:
    """Raises: InvalidInput naming the field."""
    document = {
        "name": form.value("name"),
        "url": form.value("url"),
        "project": form.value("project"),
        "min_severity": form.value("min_severity"),
        "kinds": form.all("kinds"),
        "enabled": form.checked("enabled"),
    }
    return _converted(document, control.ChannelCreate)


def _changed(channel: str, form: Form) -> control.ChannelChange:
    """An address that was left empty stays.  Raises: InvalidInput naming the field."""
    document = {
        "id": channel,
        "name": form.value("name"),
        "url": form.value("url") or None,
        "min_severity": form.value("min_severity"),
        "kinds": form.all("kinds"),
        "enabled": form.checked("enabled"),
    }
    return _converted(document, control.ChannelChange)


_MISSING: Final = {
    "name": "say what it is called, such as on-call",
    "url": "name the address that messages go to",
    "kinds": "choose at least one",
}


def _converted(document: dict[str, Any], type_: type[_T]) -> _T:
    """Raises: InvalidInput in words for people."""
    for field, words in _MISSING.items():
        if document[field] in ("", []):
            raise InvalidInput("input.invalid", words, field=field)
    try:
        return msgspec.convert(document, type_)
    except msgspec.ValidationError as exc:
        message, _, path = str(exc).partition(" - at `$.")
        raise InvalidInput("input.invalid", message, field=path.rstrip("`").partition("[")[0] or None) from exc
