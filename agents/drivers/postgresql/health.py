"""What a server says of itself."""

from __future__ import annotations

from typing import Final

import msgspec

from agents.drivers.postgresql.psql import Psql
from contracts.errors import StrongroomError
from contracts.records import EngineHealth

HEALTH_TIMEOUT_S: Final = 8.0


class _State(msgspec.Struct, frozen=True, kw_only=True):
    version: str
    in_recovery: bool
    lag_s: float | None = None


# A replica that has replayed all it received is not behind, however long ago the primary's last transaction was; that
# holds only while it receives.  Nothing replayed since the start: nobody knows.
_SELECT: Final = """
SELECT json_build_object(
  'version', current_setting('server_version'),
  'in_recovery', pg_is_in_recovery(),
  'lag_s', CASE
    WHEN NOT pg_is_in_recovery() THEN NULL
    WHEN EXISTS (SELECT FROM pg_stat_wal_receiver WHERE pid IS NOT NULL)
         AND pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
    ELSE greatest(0, extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()))
  END)
"""


async def look_at_health(psql: Psql) -> EngineHealth:
    """Never raises for a server that is down: the error is inside."""
    try:
        state = await psql.query(_SELECT, _State, "asking for its health", timeout_s=HEALTH_TIMEOUT_S)
    except StrongroomError as exc:
        return EngineHealth(reachable=False, error=exc.info)
    role = "replica" if state.in_recovery else "primary"
    return EngineHealth(reachable=True, version=state.version, role=role, lag_s=state.lag_s)
