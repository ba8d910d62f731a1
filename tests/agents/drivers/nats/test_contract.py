"""The contract of all drivers, by NATS JetStream."""

from __future__ import annotations

import pytest

from tests.agents.drivers.contract import DriverContract
from tests.agents.drivers.nats.engine import NatsEngine


class TestContract(DriverContract):
    @pytest.fixture
    def engine(self, filled: NatsEngine) -> NatsEngine:
        return filled
