"""NATS JetStream: the streams of an account, by the server's snapshot API."""

from agents.drivers.nats.connection import NATSConnection
from agents.drivers.nats.driver import NATSDriver
from agents.drivers.nats.native import native_restore_commands

__all__ = ["NATSConnection", "NATSDriver", "native_restore_commands"]
