"""What orchestrators and load balancers ask: is the process alive, can it work?"""

from __future__ import annotations

from collections.abc import Sequence

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from daemon.http.backend import Backend


def probes(backend: Backend) -> Sequence[HTTPRouteHandler]:
    """`/healthz` and `/readyz`; they need no token and tell nothing else."""

    @get("/healthz", include_in_schema=False)
    async def healthz() -> dict[str, str]:
        """The process answers."""
        return {"status": "ok"}

    @get("/readyz", include_in_schema=False)
    async def readyz() -> Response[dict[str, str]]:
        """The coordinator is connected to its bus, and can answer."""
        if backend.client.is_connected:
            return Response({"status": "ready"})
        return Response({"status": "the NATS server does not answer"}, status_code=503)

    return [healthz, readyz]
