"""Every kind of service has a driver, which is loaded when it is needed and refuses another kind's options."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, Final, get_args

import msgspec
import pytest

from agents.drivers.base import Capabilities
from agents.drivers.kinds import Connection, connection_kind, make_driver
from contracts.errors import RunFailed
from contracts.services import OPTIONS_BY_KIND, NATSOptions

CONNECTIONS: Final[dict[str, dict[str, Any]]] = {
    "postgresql": {"user": "backup"},
    "mariadb": {"user": "backup"},
    "qdrant": {"url": ["http://127.0.0.1:1"]},
    "elasticsearch": {"url": "http://127.0.0.1:1"},
    "nats": {"url": ["nats://127.0.0.1:1"]},
    "meilisearch": {"dump_dir": "/var/lib/dumps"},
    "shared-storage": {"root_dir": "/srv/files"},
}


def connection_of(kind: str) -> Connection:
    connection: Connection = msgspec.convert({"kind": kind, **CONNECTIONS[kind]}, Connection)
    return connection


def test_options_connections_and_these_tests_know_the_same_kinds() -> None:
    assert {str(each.__struct_config__.tag) for each in get_args(Connection)} == set(OPTIONS_BY_KIND) == set(CONNECTIONS)


@pytest.mark.parametrize("kind", OPTIONS_BY_KIND)
def test_every_kind_has_a_driver_and_a_place_in_words(kind: str, tmp_path: Path) -> None:
    connection = connection_of(kind)
    assert connection_kind(connection) == kind
    assert connection.place
    driver = make_driver(connection, OPTIONS_BY_KIND[kind](), runtime_dir=tmp_path, work_dir=tmp_path)
    assert isinstance(driver.capabilities, Capabilities)


@pytest.mark.parametrize("kind", [kind for kind in OPTIONS_BY_KIND if kind != "nats"])
def test_the_options_of_another_kind_are_refused(kind: str, tmp_path: Path) -> None:
    with pytest.raises(RunFailed) as caught:
        make_driver(connection_of(kind), NATSOptions(), runtime_dir=tmp_path, work_dir=tmp_path)
    assert caught.value.code == "service.not_configured"
    assert "nats" in caught.value.message
    assert kind in caught.value.message


def test_a_driver_is_loaded_only_when_its_kind_is_used() -> None:
    code = (
        "import sys, agents.agent\n"
        "loaded = [name for name in sys.modules if name.startswith('agents.drivers.') and name.endswith('.driver')]\n"
        "sys.exit(f'loaded: {loaded}' if loaded else 0)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
