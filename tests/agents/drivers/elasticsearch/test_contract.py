"""The contract of all drivers, with a real Elasticsearch and a real OpenSearch."""

from __future__ import annotations

import pytest

from tests.agents.drivers.contract import DriverContract, EngineUnderTest
from tests.agents.drivers.elasticsearch.engine import SearchEngine


class TestElasticsearch(DriverContract):
    """Indices are read from a point in time."""

    @pytest.fixture
    def engine(self, elasticsearch: SearchEngine) -> EngineUnderTest:
        elasticsearch.fill_large()
        return elasticsearch


class TestOpenSearch(DriverContract):
    """Indices are read by scrolls."""

    @pytest.fixture
    def engine(self, opensearch: SearchEngine) -> EngineUnderTest:
        opensearch.fill_large()
        return opensearch
