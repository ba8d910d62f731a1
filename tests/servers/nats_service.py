"""A real nats-server as somebody's service: accounts with users, whose rights are those of `deploy/nats`, and JetStream."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import nats
from nats.aio.client import Client

from daemon.embedded.binaries import NATS_SERVER, find_program
from tests.servers.process import ServerProcess, start_on_free_ports

DEPLOY: Final = Path(__file__).parents[2] / "deploy" / "nats"
APP: Final = "app"
"""May do everything in the account `SHOP`."""
BACKUP: Final = "strongroom-backup"
RESTORE: Final = "strongroom-restore"
STRANGER: Final = "stranger"
"""Of an account without JetStream."""
POWERLESS: Final = "powerless"
"""Of `SHOP`, and may ask for nothing."""
_SYSTEM: Final = "system"
PASSWORDS: Final = {
    name: f"pass-{name}-8f2c6d" for name in (APP, BACKUP, RESTORE, STRANGER, POWERLESS, "tight", "other", _SYSTEM)
}


class NatsService:
    """nats-server on a free loopback port with its data in `directory`; the port stays over restarts."""

    def __init__(
        self, directory: Path, *, domain: str = "", jetstream: bool = True, tls: str = "", max_payload: int = 8 << 20
    ) -> None:
        self.directory = directory
        self.port = 0
        self.jetstream = jetstream
        self._domain = domain
        self._tls = tls
        self._max_payload = max_payload
        self._config = directory / "service.conf"
        self._process = ServerProcess(
            "nats-service", [str(find_program(NATS_SERVER)), "-c", str(self._config)], directory=directory
        )
        for name in ("backup-permissions.conf", "restore-permissions.conf"):
            shutil.copy(DEPLOY / name, directory)
        for name, password in PASSWORDS.items():
            self.password_file(name).write_text(password + "\n")

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        return self._process.running

    def password_file(self, user: str) -> Path:
        return self.directory / f"{user}.password"

    def start(self) -> None:
        """Starts the server, again on the port it had before."""
        if self.port:
            self._process.start(self._answers)
        else:
            start_on_free_ports(1, self._start_on)

    def stop(self) -> None:
        self._process.stop()

    def kill(self) -> None:
        """As if the power had failed for this process alone (SIGKILL)."""
        self._process.kill()

    def discard(self) -> None:
        """Stops the server and forgets what it stored."""
        self.stop()
        shutil.rmtree(self.directory / "jetstream", ignore_errors=True)

    @asynccontextmanager
    async def connect(self, user: str = APP) -> AsyncIterator[Client]:
        client = await nats.connect(
            self.url, user=user, password=PASSWORDS[user], name="the test", allow_reconnect=False, pending_size=64 << 20
        )
        try:
            yield client
        finally:
            await client.close()

    async def agents(self) -> list[dict[str, Any]]:
        """Connections of Strongroom that are open."""
        return [each for each in await self._connections() if each.get("name", "").startswith("strongroom")]

    async def cut_off_agents(self) -> int:
        """Ends all connections of Strongroom; how many there were."""
        server, victims = "", await self.agents()
        async with self.connect(_SYSTEM) as client:
            for victim in victims:
                server = server or json.loads((await client.request("$SYS.REQ.SERVER.PING", timeout=5)).data)["server"]["id"]
                await client.request(
                    f"$SYS.REQ.SERVER.{server}.KICK", json.dumps({"cid": victim["cid"]}).encode(), timeout=5
                )
        return len(victims)

    async def _connections(self) -> list[dict[str, Any]]:
        async with self.connect(_SYSTEM) as client:
            answer = await client.request("$SYS.REQ.SERVER.PING.CONNZ", b"{}", timeout=5)
        found: list[dict[str, Any]] = json.loads(answer.data)["data"]["connections"]
        return found

    def _start_on(self, ports: list[int]) -> None:
        (self.port,) = ports
        self._write_config()
        self._process.start(self._answers)

    def _write_config(self) -> None:
        def user(name: str, rest: str = "") -> str:
            return f'{{ user: "{name}", password: "{PASSWORDS[name]}"{rest} }}'

        domain = f', domain: "{self._domain}"' if self._domain else ""
        store = f'jetstream {{ store_dir: "{self.directory / "jetstream"}"{domain} }}' if self.jetstream else ""
        enabled = "jetstream: enabled, " if self.jetstream else ""
        tight = "jetstream: { max_store: 3000000, max_memory: 0 }, " if self.jetstream else ""
        nothing = ', permissions: { publish: { deny: ["$JS.>"] }, subscribe: { allow: ["_INBOX.>"] } }'
        self._config.write_text(
            f"""
host: 127.0.0.1
port: {self.port}
server_name: service
max_payload: {self._max_payload}
{store}
{self._tls}
system_account: SYS
accounts {{
  SYS {{ users: [{user(_SYSTEM)}] }}
  SHOP {{ {enabled}users: [
    {user(APP)}
    {user(BACKUP, ", include backup-permissions.conf")}
    {user(RESTORE, ", include restore-permissions.conf")}
    {user(POWERLESS, nothing)}
  ] }}
  TIGHT {{ {tight}users: [{user("tight")}] }}
  OTHER {{ {enabled}users: [{user("other")}] }}
  BARE {{ users: [{user(STRANGER)}] }}
}}
"""
        )

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                greeting = connection.makefile("rb").readline()
        except OSError:
            return False
        if not greeting.startswith(b"INFO "):
            return False
        return not self.jetstream or bool(json.loads(greeting[5:]).get("jetstream"))
