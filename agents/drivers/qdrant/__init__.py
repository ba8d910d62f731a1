"""Qdrant: one snapshot per collection and node, and the aliases."""

from agents.drivers.qdrant.connection import QdrantConnection
from agents.drivers.qdrant.driver import QdrantDriver

__all__ = ["QdrantConnection", "QdrantDriver"]
