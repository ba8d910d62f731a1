"""Every engine that the demo can show, by its kind; a module is imported when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Final

from contracts.errors import InvalidInput
from daemon.demo.engines.base import DemoEngine

_CLASSES: Final = {
    "postgresql": ("postgresql", "PostgreSQLEngine"),
    "mariadb": ("mariadb", "MariaDBEngine"),
    "qdrant": ("qdrant", "QdrantEngine"),
    "elasticsearch": ("elasticsearch", "ElasticsearchEngine"),
    "nats": ("nats", "NatsEngine"),
    "meilisearch": ("meilisearch", "MeilisearchEngine"),
    "shared-storage": ("shared_storage", "SharedStorageEngine"),
}
KINDS: Final = tuple(_CLASSES)


def demo_engine(kind: str) -> DemoEngine:
    """Raises: InvalidInput for a kind that there is not."""
    if kind not in _CLASSES:
        raise InvalidInput("input.invalid", f"engine {kind!r} is unknown: it can be {', '.join(KINDS)}", field="engine")
    module, name = _CLASSES[kind]
    engine: DemoEngine = getattr(import_module(f"daemon.demo.engines.{module}"), name)()
    return engine
