"""The nats-server configuration as text."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from contracts.errors import InvalidInput
from daemon.embedded.nats_config import NatsSettings, NodeAccess, render_config

GOLDEN = Path(__file__).parent / "golden" / "nats.conf"
COORDINATOR = "UAYBDEAGE2HS6O3XLH3UEPNNY7NVL4GJW7H75DXGC7EV3CPMMZDSZRHD"
OPERATOR = "UB5U76FB3R4P7HZ5UAPWH5WC6KRHXI7HDI3P25M3E2LUSQZE44F65ZAK"
FIRST = "UBWR7GUBTJVJLCEWIYKZ2VMB3OEYXD6OECRQ3UTP774E72SF7VJBJHI2"
SECOND = "UCQA4G4TLFPPDFVSY4INXDHZC744QTIUPBONQY3ACKATJAFBRDR6VSAV"

SETTINGS = NatsSettings(
    port=4222,
    store_dir=Path("/var/lib/strongroom/nats"),
    coordinator_key=COORDINATOR,
    operator_key=OPERATOR,
    nodes=[NodeAccess(name="db-2", public_key=SECOND), NodeAccess(name="db-1", public_key=FIRST)],
)


def test_the_configuration_is_the_reviewed_one() -> None:
    assert render_config(SETTINGS) == GOLDEN.read_text()


def test_the_order_of_nodes_does_not_matter() -> None:
    assert render_config(replace(SETTINGS, nodes=tuple(reversed(SETTINGS.nodes)))) == render_config(SETTINGS)


def test_without_nodes_nothing_is_exported() -> None:
    """An export without a list of accounts would be open to all of them."""
    assert "exports" not in render_config(replace(SETTINGS, nodes=()))


def test_a_path_cannot_break_out_of_its_quotes() -> None:
    text = render_config(replace(SETTINGS, store_dir=Path('/a "b" \\ ü')))
    assert 'store_dir: "/a \\"b\\" \\\\ ü"' in text


@pytest.mark.parametrize("name", ["", "*", ">", "a.b", "a b", "A", 'a" }', "-a", "x" * 41])
def test_a_name_that_could_mean_more_than_one_node_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="node"):
        render_config(replace(SETTINGS, nodes=[NodeAccess(name=name, public_key=FIRST)]))


@pytest.mark.parametrize("key", ["", "U", FIRST[:-1], "S" + FIRST[1:], FIRST[:-1] + "}", FIRST.replace("U", "Ü", 1)])
def test_a_key_that_is_no_user_key_is_refused(key: str) -> None:
    with pytest.raises(InvalidInput, match="not a user's public nkey"):
        render_config(replace(SETTINGS, nodes=[NodeAccess(name="db-1", public_key=key)]))


def test_one_key_cannot_be_two_users() -> None:
    with pytest.raises(InvalidInput, match="belongs to two users"):
        render_config(replace(SETTINGS, nodes=[NodeAccess(name="db-1", public_key=COORDINATOR)]))


def test_one_name_cannot_be_two_nodes() -> None:
    nodes = [NodeAccess(name="db-1", public_key=FIRST), NodeAccess(name="db-1", public_key=SECOND)]
    with pytest.raises(InvalidInput, match="named twice"):
        render_config(replace(SETTINGS, nodes=nodes))
