"""What every driver promises, by both methods."""

from __future__ import annotations

import pytest

from tests.agents.drivers.contract import DriverContract, EngineUnderTest
from tests.agents.drivers.mariadb.engine import LogicalUnderTest, PhysicalUnderTest


class TestLogical(DriverContract):
    @pytest.fixture
    def engine(self, logical: LogicalUnderTest) -> EngineUnderTest:
        return logical


class TestPhysical(DriverContract):
    @pytest.fixture
    def engine(self, physical: PhysicalUnderTest) -> EngineUnderTest:
        return physical
