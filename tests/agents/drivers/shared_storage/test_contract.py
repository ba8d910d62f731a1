"""The contract that all drivers keep, for a directory tree."""

from __future__ import annotations

import pytest

from tests.agents.drivers.contract import DriverContract, EngineUnderTest
from tests.agents.drivers.shared_storage.engine import Tree


class TestContract(DriverContract):
    @pytest.fixture
    def engine(self, tree: Tree) -> EngineUnderTest:
        return tree
