"""Directory trees, by GNU tar."""

from agents.drivers.shared_storage.connection import SharedStorageConnection
from agents.drivers.shared_storage.driver import SharedStorageDriver

__all__ = ["SharedStorageConnection", "SharedStorageDriver"]
