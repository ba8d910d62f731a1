"""What a server says of itself: primary or replica, how far behind, and whether its Galera node is in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from agents.drivers.mariadb.client import Client
from agents.drivers.mariadb.errors import DENIED, StatementFailed
from agents.drivers.mariadb.server import look_at_server
from contracts.errors import ErrorInfo, RunFailed, StrongroomError
from contracts.records import EngineHealth

HEALTH_TIMEOUT_S: Final = 8.0


async def look_at_health(client: Client) -> EngineHealth:
    """Never raises for a server that is down: the error is inside."""
    try:
        facts = await look_at_server(client, timeout_s=HEALTH_TIMEOUT_S / 2)
        channels = await replication_channels(client)
    except StrongroomError as exc:
        return EngineHealth(reachable=exc.code == "engine.degraded", error=exc.info)
    stopped = [_name(channel) for channel in channels or [] if not _runs(channel)]
    trouble = facts.galera_trouble
    if stopped:
        # The server's own words about the reason may hold rows: they stay there.
        trouble = f"replication is stopped ({', '.join(stopped)}): look at SHOW ALL REPLICAS STATUS there"
    return EngineHealth(
        reachable=True,
        version=facts.version,
        role="replica" if channels else "primary",
        lag_s=_lag_s(channels or []),
        error=ErrorInfo(code="engine.degraded", message=trouble) if trouble else None,
    )


async def replication_channels(client: Client) -> Sequence[Mapping[str, str]] | None:
    """One per primary that the server replicates from; None when the account may not see them.

    Raises: RunFailed `engine.*`.
    """
    try:
        return await client.table("SHOW ALL SLAVES STATUS", "asking for its replication", timeout_s=HEALTH_TIMEOUT_S / 2)
    except RunFailed as exc:
        if isinstance(exc, StatementFailed) and exc.number in DENIED:
            return None
        raise


def _runs(channel: Mapping[str, str]) -> bool:
    return channel.get("Slave_IO_Running") == "Yes" and channel.get("Slave_SQL_Running") == "Yes"


def _name(channel: Mapping[str, str]) -> str:
    io, applying = channel.get("Slave_IO_Running", ""), channel.get("Slave_SQL_Running", "")
    return f"channel {channel.get('Connection_name', '')!r}: IO thread {io}, SQL thread {applying}"


def _lag_s(channels: Sequence[Mapping[str, str]]) -> float | None:
    lags = [channel.get("Seconds_Behind_Master", "") for channel in channels]
    if not lags or not all(lag.isdigit() for lag in lags):
        return None
    return float(max(map(int, lags)))
