"""Serves until it is told to end."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from pathlib import Path

from aiohttp import web

from tests.servers.qdrant.app import Peer, load_config
from tests.servers.qdrant.rights import Keys
from tests.servers.qdrant.store import Store

_ALONE = 3766212330831337


async def _serve(config_path: Path) -> None:
    config = load_config(config_path)
    service = config.get("service", {})
    storage = Path(config.get("storage", {}).get("storage_path", "storage")).absolute()
    storage.mkdir(parents=True, exist_ok=True)
    keys = Keys(service.get("api_key") or "", service.get("read_only_api_key") or "", bool(service.get("jwt_rbac")))
    host = service.get("host", "127.0.0.1")
    # Beyond the server's own configuration: `test_peers` has the ports of all peers, which this one process plays.
    ports = {int(peer): port for peer, port in config.get("test_peers", {}).items()}
    distributed = bool(ports)
    ports = ports or {_ALONE: int(os.environ.get("QDRANT__SERVICE__HTTP_PORT") or service.get("http_port", 6333))}
    store = Store(storage, list(ports))
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    runners = []
    for peer, port in ports.items():
        runner = web.AppRunner(Peer(store, peer, keys, distributed=distributed).app(), access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, host, port).start()
        runners.append(runner)
    await ended.wait()
    for runner in runners:
        await runner.cleanup()
    store.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="qdrant")
    parser.add_argument("--config-path", type=Path, required=True)
    parser.add_argument("--disable-telemetry", action="store_true")
    asyncio.run(_serve(parser.parse_args().config_path))
