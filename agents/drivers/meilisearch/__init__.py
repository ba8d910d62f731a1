"""Meilisearch: one dump of an instance, made by itself and restored when one is launched."""

from agents.drivers.meilisearch.connection import MeilisearchConnection
from agents.drivers.meilisearch.driver import MeilisearchDriver

__all__ = ["MeilisearchConnection", "MeilisearchDriver"]
