"""Free ports, and what happens when one is free no longer."""

from __future__ import annotations

import socket
from collections.abc import Sequence

import pytest

from daemon.embedded.errors import PortTaken
from daemon.embedded.ports import free_ports, is_free, start_with_free_ports


def taken(port: int) -> PortTaken:
    return PortTaken("bus.unavailable", "nats-server", f"cannot listen on {port}", log_tail="")


def test_ports_are_free_and_distinct_even_over_calls() -> None:
    ports = [*free_ports(8), *free_ports(8), *free_ports(8)]
    assert len(set(ports)) == 24
    assert all(is_free(port) for port in ports)


def test_a_port_in_use_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not is_free(port)
    assert is_free(port)


async def test_a_start_that_finds_its_port_taken_is_tried_with_others() -> None:
    tried: list[int] = []

    async def start(ports: Sequence[int]) -> str:
        tried.extend(ports)
        if len(tried) < 6:
            raise taken(ports[0])
        return "started"

    assert await start_with_free_ports(2, start) == "started"
    assert len(set(tried)) == 6


async def test_trying_again_has_an_end() -> None:
    tried: list[int] = []

    async def start(ports: Sequence[int]) -> None:
        tried.extend(ports)
        raise taken(ports[0])

    with pytest.raises(PortTaken):
        await start_with_free_ports(1, start)
    assert len(tried) == 5
