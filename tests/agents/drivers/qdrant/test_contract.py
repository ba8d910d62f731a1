"""The driver contract, on a single node."""

from __future__ import annotations

import pytest

from tests.agents.drivers.contract import DriverContract
from tests.agents.drivers.qdrant.engine import QdrantEngine
from tests.servers.qdrant.server import install_program


class TestContract(DriverContract):
    """Where no program `qdrant` is installed, so that nothing can be rehearsed."""


class TestContractWithProgram:
    """Where there is one on the PATH."""

    async def test_a_restore_can_be_rehearsed(
        self, engine: QdrantEngine, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        programs = tmp_path_factory.mktemp("programs")
        install_program(programs)
        monkeypatch.setenv("PATH", str(programs), prepend=":")
        assert engine.driver().capabilities.scratch
        await TestContract().test_a_restore_can_be_rehearsed_or_says_that_it_cannot(
            engine, tmp_path_factory.mktemp("rehearsal")
        )
