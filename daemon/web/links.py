"""Where pages are: every link is made here.  Names are slugs and ids, which stand in a URL as they are."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlencode

OVERVIEW: Final = "/"
SERVICES: Final = "/services"
PROJECTS: Final = "/projects"
NODES: Final = "/nodes"
ACTIVITY: Final = "/activity"
SETTINGS: Final = "/settings"
LOGIN: Final = "/login"


def services(**query: str | int | None) -> str:
    """The list of services, with such a filter: `project`, `level`, `search`, `cursor`."""
    return with_query(SERVICES, **query)


def activity(**query: str | int | None) -> str:
    return with_query(ACTIVITY, **query)


def project(name: str) -> str:
    return f"{PROJECTS}/{name}"


def add_project() -> str:
    """Beside `/projects/`, where a project could have any name."""
    return "/add-project"


def add_service(project_: str, kind: str = "") -> str:
    return with_query(f"{PROJECTS}/{project_}/add-service", kind=kind)


def service(project_: str, name: str) -> str:
    return f"{PROJECTS}/{project_}/services/{name}"


def back_up(project_: str, name: str) -> str:
    """Where the button posts that asks for a backup now."""
    return f"{service(project_, name)}/backups"


def backup(project_: str, service_: str, id_: str) -> str:
    return f"{service(project_, service_)}/backups/{id_}"


def restore(project_: str, service_: str, id_: str) -> str:
    return f"{service(project_, service_)}/restores/{id_}"


def with_query(path: str, **query: str | int | None) -> str:
    """The path with what is not empty."""
    given = {name: value for name, value in query.items() if value not in (None, "", 0)}
    return f"{path}?{urlencode(given)}" if given else path
