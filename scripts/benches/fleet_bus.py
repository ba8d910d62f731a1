"""The nats-server of the fleet bench: one user acts for all nodes.

In production every agent has an account and a key of its own.  Here all simulated agents share the account AG and the nkey
in `fleet_seed`, so that twenty thousand of them need neither as many keys nor as many connections.  What they say travels as
agents' words do, through the same service imports into the coordinator's account, and comes back by the subjects that the
server makes for that: the coordinator sees no difference.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from nats.aio.client import Client

from daemon.embedded.nats_config import CORE_ACCOUNT, MIB, node_subjects
from daemon.embedded.nkey_files import ensure_user_seed
from daemon.embedded.private_files import write_private
from tests.servers.nats import NatsServer

_FLEET_ACCOUNT = "AG"
FLEET_INBOX = "_INBOX_fleet"


class FleetBus(NatsServer):
    """nats-server on a free loopback port, with JetStream below `directory`; port and data stay over restarts.

    `operator_seed` may do everything in the coordinator's account.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.fleet_seed = directory / "fleet.nk"
        self._synced = True

    def start_to_load(self) -> None:
        """Starts the server so that it does not wait for the disk: for what must merely be there afterwards."""
        self._restart(synced=False)

    def start_to_measure(self) -> None:
        """Starts the server as it runs in production: acknowledged means on disk."""
        self._restart(synced=True)

    @asynccontextmanager
    async def connect_fleet(self, name: str) -> AsyncIterator[Client]:
        """As agents connect, with an inbox below `FLEET_INBOX`."""
        async with self.connect(self.fleet_seed, inbox=f"{FLEET_INBOX}.{name}") as client:
            yield client

    def _restart(self, *, synced: bool) -> None:
        self.stop()
        self._synced = synced
        if self.port:
            self._write_config()
        self.start()

    def _write_config(self) -> None:
        write_private(self._config, self._render())

    def _render(self) -> str:
        pull, ack, own = node_subjects("*")
        keys = {seed: ensure_user_seed(seed) for seed in (self.coordinator_seed, self.operator_seed, self.fleet_seed)}
        return f"""
            server_name: bench
            listen: "127.0.0.1:{self.port}"
            max_payload: {8 * MIB}
            jetstream {{
              store_dir: "{self.directory / "jetstream"}"
              sync_interval: {"always" if self._synced else '"2m"'}
              max_file_store: {64 * 1024 * MIB}
              max_memory_store: {128 * MIB}
            }}
            accounts {{
              {CORE_ACCOUNT} {{
                jetstream: enabled
                users: [ {{ nkey: {keys[self.coordinator_seed]} }}, {{ nkey: {keys[self.operator_seed]} }} ]
                exports: [
                  {{ service: "{pull}", response_type: stream, accounts: ["{_FLEET_ACCOUNT}"] }}
                  {{ service: "{ack}", accounts: ["{_FLEET_ACCOUNT}"] }}
                  {{ service: "{own}", accounts: ["{_FLEET_ACCOUNT}"] }}
                ]
              }}
              {_FLEET_ACCOUNT} {{
                users: [ {{ nkey: {keys[self.fleet_seed]} }} ]
                imports: [
                  {{ service: {{ account: {CORE_ACCOUNT}, subject: "{pull}" }} }}
                  {{ service: {{ account: {CORE_ACCOUNT}, subject: "{ack}" }} }}
                  {{ service: {{ account: {CORE_ACCOUNT}, subject: "{own}" }} }}
                ]
              }}
            }}
        """
