"""All pages, and what they load."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from litestar import Router

from daemon.http.backend import Backend
from daemon.web.activity_page import activity_page
from daemon.web.assets import static_routes, warn_of_missing_assets
from daemon.web.channel_pages import channel_pages
from daemon.web.error_pages import page_exception_handlers
from daemon.web.live import live_routes
from daemon.web.login_pages import login_pages
from daemon.web.middleware import visiting
from daemon.web.node_pages import node_pages
from daemon.web.overview_page import overview_page
from daemon.web.project_pages import project_pages
from daemon.web.service_form import service_form
from daemon.web.service_list import service_list
from daemon.web.settings_page import settings_page
from daemon.web.token_pages import token_pages


def site(backend: Backend) -> Sequence[Any]:
    """The routes of pages.  All of them find out who asks, check their forms, and answer errors as pages."""
    warn_of_missing_assets()
    pages = [
        *login_pages(backend),
        *live_routes(backend),
        *overview_page(backend),
        *service_list(backend),
        *project_pages(backend),
        *service_form(backend),
        *node_pages(backend),
        *activity_page(backend),
        *settings_page(backend),
        *token_pages(backend),
        *channel_pages(backend),
        *_service_pages(backend),
    ]
    return [
        *static_routes(),
        Router(
            path="/",
            route_handlers=pages,
            middleware=[visiting(backend)],
            exception_handlers=page_exception_handlers(),
            include_in_schema=False,
        ),
    ]


def _service_pages(backend: Backend) -> Sequence[Any]:
    if find_spec("daemon.web.service_pages") is None:
        return []
    pages: Sequence[Any] = import_module("daemon.web.service_pages").service_pages(backend)
    return pages
