"""The contract of all drivers, with a real Elasticsearch and a real OpenSearch."""

from __future__ import annotations

import pytest

from tests.agents.drivers.contract import DriverContract, EngineUnderTest
from tests.agents.drivers.elasticsearch.engine import SearchEngine


class SearchContract(DriverContract):
    """What both have in common."""

    async def test_an_engine_that_is_down_is_told_in_health_and_fails_the_plan(self, engine: EngineUnderTest) -> None:
        """Here nobody listens, as when a node is down: the real one is killed in the middle of a dump, which is harder."""
        assert isinstance(engine, SearchEngine)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(engine, "kill", engine.gate.close)
            await super().test_an_engine_that_is_down_is_told_in_health_and_fails_the_plan(engine)


class TestElasticsearch(SearchContract):
    """Indices are read from a point in time."""

    @pytest.fixture
    def engine(self, elasticsearch: SearchEngine) -> EngineUnderTest:
        elasticsearch.fill_large()
        return elasticsearch


class TestOpenSearch(SearchContract):
    """Indices are read by scrolls."""

    @pytest.fixture
    def engine(self, opensearch: SearchEngine) -> EngineUnderTest:
        opensearch.fill_large()
        return opensearch
