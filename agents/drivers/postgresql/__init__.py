"""PostgreSQL: one artifact per database by pg_dump and one for roles and tablespaces by pg_dumpall, or the whole cluster's
files by pg_basebackup.
"""

from agents.drivers.postgresql.connection import PostgreSQLConnection
from agents.drivers.postgresql.driver import PostgreSQLDriver
from agents.drivers.postgresql.native import native_restore_commands

__all__ = ["PostgreSQLConnection", "PostgreSQLDriver", "native_restore_commands"]
