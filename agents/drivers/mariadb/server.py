"""What a server is: its version, its role, where its data lie, and what the account may do."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from agents.drivers.mariadb.client import QUERY_TIMEOUT_S, Client
from agents.drivers.mariadb.errors import StatementFailed
from agents.drivers.mariadb.rights import Grants, parse_grants
from agents.drivers.mariadb.tools import series_of
from contracts.errors import RunFailed

OLDEST: Final = (10, 5)
"""The first with JSON_OBJECT as used here, privileges by their present names, and comments on databases."""
SYNCED: Final = "4"
_UNKNOWN_VARIABLE: Final = 1193


class ServerFacts(msgspec.Struct, frozen=True, kw_only=True):
    version: str
    account: str
    """As CURRENT_USER() gives it."""
    log_bin: bool
    trusts_creators: bool
    """Of functions and triggers: with a binary log others than those with SUPER are not, unless this is set."""
    read_only: bool
    datadir: str
    lower_case_table_names: int
    gtid_current_pos: str
    wsrep_on: str | None = None
    wsrep_local_state: str | None = None
    wsrep_local_state_comment: str | None = None
    wsrep_cluster_status: str | None = None
    wsrep_ready: str | None = None
    wsrep_cluster_state_uuid: str | None = None

    @property
    def datadir_path(self) -> Path:
        return Path(self.datadir)

    @property
    def is_galera(self) -> bool:
        return self.wsrep_on == "ON"

    @property
    def galera_trouble(self) -> str:
        """Why this node's data may not be the cluster's, in words; empty when all is well."""
        if not self.is_galera:
            return ""
        if self.wsrep_cluster_status != "Primary":
            return (
                f"the Galera node is not part of the primary component (wsrep_cluster_status is {self.wsrep_cluster_status})"
            )
        if self.wsrep_local_state != SYNCED or self.wsrep_ready != "ON":
            return (
                f"the Galera node is not synced with its cluster (wsrep_local_state is {self.wsrep_local_state}, "
                f"{self.wsrep_local_state_comment}; wsrep_ready is {self.wsrep_ready})"
            )
        return ""


_STATUS: Final = "(SELECT variable_value FROM information_schema.global_status WHERE variable_name = '{}')"
_SELECT: Final = f"""
SELECT JSON_OBJECT('version', VERSION(), 'account', CURRENT_USER(), 'log_bin', @@log_bin + 0,
  'trusts_creators', @@log_bin_trust_function_creators + 0, 'read_only', @@read_only + 0,
  'datadir', @@datadir, 'lower_case_table_names', @@lower_case_table_names, 'gtid_current_pos', @@gtid_current_pos,
  'wsrep_on', (SELECT variable_value FROM information_schema.global_variables WHERE variable_name = 'WSREP_ON'),
  'wsrep_local_state', {_STATUS.format("WSREP_LOCAL_STATE")},
  'wsrep_local_state_comment', {_STATUS.format("WSREP_LOCAL_STATE_COMMENT")},
  'wsrep_cluster_status', {_STATUS.format("WSREP_CLUSTER_STATUS")},
  'wsrep_ready', {_STATUS.format("WSREP_READY")},
  'wsrep_cluster_state_uuid', {_STATUS.format("WSREP_CLUSTER_STATE_UUID")})
"""  # noqa: S608 -- nothing but constants


async def look_at_server(client: Client, *, timeout_s: float = QUERY_TIMEOUT_S) -> ServerFacts:
    """Raises: RunFailed `engine.*`, `engine.unsupported` for MySQL and for old versions."""
    try:
        facts = await client.row(_SELECT, ServerFacts, "asking what it is", timeout_s=timeout_s)
    except StatementFailed as exc:
        if exc.number != _UNKNOWN_VARIABLE:
            raise
        raise _unsupported(client, "it is no MariaDB, or an old one") from exc
    if "mariadb" not in facts.version.lower() or series_of(facts.version) < OLDEST:
        raise _unsupported(client, f"it is of version {facts.version}")
    return facts


async def look_at_grants(client: Client) -> Grants:
    """Of the account that we log in with."""
    lines = await client.lines("SHOW GRANTS", "asking for the account's rights")
    return parse_grants(line.decode(errors="replace") for line in lines)


def _unsupported(client: Client, why: str) -> RunFailed:
    oldest = ".".join(map(str, OLDEST))
    return RunFailed(
        "engine.unsupported",
        f"the server at {client.connection.place} cannot be backed up: {why}; MariaDB {oldest} is needed",
    )
