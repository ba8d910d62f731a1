"""Nodes: the hosts that run agents, what they see, and how one is added."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler

from contracts import control
from contracts.errors import StrongroomError
from daemon.http.backend import Backend
from daemon.web import links
from daemon.web.confirming import ask_first
from daemon.web.forms import Form
from daemon.web.rendering import redirect, render, render_fragment
from daemon.web.sessions import need_session
from daemon.web.visits import AnyRequest, Tone, is_fragment, part

PAGE: Final = 50


def node_pages(backend: Backend) -> Sequence[HTTPRouteHandler]:
    async def page(request: AnyRequest, form: Form) -> Response[Any]:
        caller = need_session(request)
        found = (await backend.control.invoke(control.NODE_LIST, control.Nothing(), caller)).nodes
        query = request.query_params
        search = query.get("search", "").strip().lower()[:60]
        matching = sorted((node for node in found if search in node.record.name), key=_silent_first)
        first = int(text) if (text := query.get("before", "")).isdecimal() and len(text) < 9 else 0
        context: dict[str, Any] = {
            "nodes": matching[first : first + PAGE],
            "total": len(matching),
            "silent": sum(node.alive is None for node in found),
            "all": len(found),
            "before": first,
            "search": search,
            "url": links.with_query(links.NODES, search=search, before=first),
            "first_url": links.with_query(links.NODES, search=search),
            "next_url": links.with_query(links.NODES, search=search, before=first + PAGE)
            if first + PAGE < len(matching)
            else "",
        }
        if is_fragment(request):
            return render_fragment(request, "_node_table.html", **context)
        added = query.get("added", "")
        return render(
            request,
            "nodes.html",
            status=422 if form.errors else 200,
            form=form,
            added=added if any(node.record.name == added for node in found) else "",
            nats_url=await _nats_url(backend, request),
            **context,
        )

    @get("/nodes")
    async def nodes(request: AnyRequest) -> Response[Any]:
        return await page(request, Form())

    @post("/nodes")
    async def add(request: AnyRequest) -> Response[Any]:
        caller = need_session(request)
        form = await Form.of(request)
        try:
            made = await backend.control.invoke(control.NODE_ADD, control.NodeRef(node=form.value("node")), caller)
        except StrongroomError as exc:
            form.refuse(exc)
            return await page(request, form)
        says = f"The node {made.name} is known now. Its agent has to be set up on the host."
        return redirect(request, links.with_query(links.NODES, added=made.name), says=says)

    @post("/nodes/{node:str}/remove")
    async def remove(request: AnyRequest) -> Response[Any]:
        node = part(request, "node")
        caller = need_session(request)
        form = await Form.of(request)
        if not form.confirmed:
            return ask_first(request, form, f"Remove the node {node}?", text=_REMOVE, yes="Remove it", back=links.NODES)
        try:
            await backend.control.invoke(control.NODE_REMOVE, control.NodeRef(node=node), caller)
        except StrongroomError as exc:
            return redirect(request, links.NODES, says=exc.message, tone=Tone.BAD)
        return redirect(request, links.NODES, says=f"The node {node} is removed.")

    return [nodes, add, remove]


_REMOVE: Final = "Its agent gets no more work, and is not believed any more. It can be added again."


def _silent_first(node: control.NodeView) -> tuple[bool, str]:
    return node.alive is not None, node.record.name


async def _nats_url(backend: Backend, request: AnyRequest) -> str:
    """As the coordinator reaches the bus; an agent may have to use another name for it."""
    status = await backend.control.invoke(control.STATUS, control.Nothing(), need_session(request))
    return str(status.server.get("nats_url") or "nats.example.org:4222")
