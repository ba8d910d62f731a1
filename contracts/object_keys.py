"""Names of objects in the bucket.  Each is written once: a new attempt has new names.

strongroom/v1/<project>/<service>/<backup id>/<attempt>/0001-<name>.<suffix>
strongroom/v1/<project>/<service>/<backup id>/manifest.json
"""

from __future__ import annotations

import re
from typing import Final

ROOT: Final = "strongroom/v1/"

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


def project_prefix(project: str) -> str:
    """Everything of a project begins with this, and nothing else does."""
    return f"{ROOT}{project}/"


def service_prefix(project: str, service: str) -> str:
    """Everything of a service begins with this, and nothing else does."""
    return f"{project_prefix(project)}{service}/"


def backup_prefix(project: str, service: str, run_id: str) -> str:
    """Everything that belongs to one backup begins with this, and nothing else does."""
    return f"{service_prefix(project, service)}{run_id}/"


def artifact_key(project: str, service: str, run_id: str, attempt: int, index: int, name: str, suffix: str) -> str:
    """Readable, unique by its index, and free of what a name may hold: the true name is in the manifest."""
    readable = _UNSAFE.sub("-", name).strip("-")[:60] or "artifact"
    return f"{backup_prefix(project, service, run_id)}{attempt}/{index:04d}-{readable}.{suffix}"


def manifest_key(project: str, service: str, run_id: str) -> str:
    return f"{backup_prefix(project, service, run_id)}manifest.json"
