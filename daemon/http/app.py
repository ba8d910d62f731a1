"""The application: routes of the API, of monitoring and of the pages, and what all of them share."""

from __future__ import annotations

from typing import Final

from litestar import Litestar

from daemon.http.api import api
from daemon.http.backend import Backend
from daemon.http.content import content
from daemon.http.metrics import metrics
from daemon.http.probes import probes
from daemon.http.problems import exception_handlers
from daemon.http.schema_routes import schema_routes
from daemon.http.security_headers import add_security_headers
from daemon.http.streams import streams
from daemon.web.error_pages import stray_exception_handlers
from daemon.web.site import site

MOST_BODY_BYTES: Final = 1024 * 1024
"""Nothing that is sent here is large: bytes of backups go to the store."""


def make_app(backend: Backend) -> Litestar:
    """The ASGI application of a coordinator."""
    return Litestar(
        route_handlers=[
            *probes(backend),
            *schema_routes(),
            *api(backend),
            *streams(backend),
            *content(backend),
            *metrics(backend),
            *site(backend),
        ],
        exception_handlers={**exception_handlers(), **stray_exception_handlers()},
        before_send=[add_security_headers],
        request_max_body_size=MOST_BODY_BYTES,
        logging_config=None,
        openapi_config=None,
        debug=False,
    )
