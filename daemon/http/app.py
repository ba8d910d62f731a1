"""The application: routes of the API, of monitoring and of the pages, and what all of them share."""

from __future__ import annotations

from litestar import Litestar

from daemon.http.backend import Backend
from daemon.http.probes import probes
from daemon.http.problems import exception_handlers


def make_app(backend: Backend) -> Litestar:
    """The ASGI application of a coordinator."""
    return Litestar(
        route_handlers=[*probes(backend)],
        exception_handlers=exception_handlers(),
        logging_config=None,
        openapi_config=None,
        debug=False,
    )
