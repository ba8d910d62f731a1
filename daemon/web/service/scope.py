"""Whose page is asked for: the service as it stands, who looks at it, and what every page of it shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from litestar import Response

from contracts import control
from contracts.control import ServiceView
from contracts.standing import CauseCode
from daemon.access.caller import Caller
from daemon.http.backend import Backend
from daemon.web.option_forms import KIND_NAMES
from daemon.web.rendering import render
from daemon.web.service.places import Places
from daemon.web.sessions import need_session
from daemon.web.visits import AnyRequest


@dataclass(frozen=True, kw_only=True)
class Scope:
    """One service, and who looks at it."""

    caller: Caller
    view: ServiceView
    places: Places

    @property
    def is_live(self) -> bool:
        """Whether neither it nor its project was deleted."""
        return all(cause.code is not CauseCode.DELETED for cause in self.view.standing.causes)

    @property
    def project(self) -> str:
        return self.places.project

    @property
    def service(self) -> str:
        return self.places.service


async def scope_of(backend: Backend, request: AnyRequest) -> Scope:
    """Of a route below `/projects/{project}/services/{service}`.

    Raises: LoginNeeded, NotFound, Denied, InvalidInput for what can be no name.
    """
    caller = need_session(request)
    project, service = request.path_params["project"], request.path_params["service"]
    view = await backend.control.invoke(control.SERVICE_SHOW, control.ServiceRef(project=project, service=service), caller)
    return Scope(caller=caller, view=view, places=Places(project, service))


def service_page(
    request: AnyRequest, scope: Scope, template: str, *, tab: str = "", status: int = 200, **context: Any
) -> Response[str]:
    """A whole page below the service's head; `tab` is the one that is open."""
    return render(request, f"service/{template}", status=status, tab=tab, **service_context(scope), **context)


def service_context(scope: Scope) -> dict[str, Any]:
    """What the head of a service's page needs."""
    return {
        "view": scope.view,
        "places": scope.places,
        "is_live": scope.is_live,
        "kind_title": KIND_NAMES.get(scope.view.kind, scope.view.kind),
    }
