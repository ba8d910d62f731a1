"""What an agent counts of its work, and that nobody pays for metrics who does not want them."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from agents.figures import Figures
from agents.progress import RunProgress
from contracts.errors import Conflict, RunFailed
from contracts.records import RunKind

BACKUP = RunKind.BACKUP


class Clock:
    def __init__(self) -> None:
        self.at_s = 1_000.0

    def __call__(self) -> float:
        return self.at_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def figures(clock: Clock) -> Figures:
    return Figures(now_s=clock, clock_s=clock)


def test_a_run_that_fails_after_a_good_one_leaves_the_time_of_the_good_one(figures: Figures, clock: Clock) -> None:
    with figures.run(BACKUP, "acme/orders", RunProgress()):
        clock.at_s += 10
    failing = figures.run(BACKUP, "acme/orders", RunProgress())
    failing.__enter__()
    clock.at_s += 5
    failure = RunFailed("dump.failed", "it did not work")
    assert not failing.__exit__(RunFailed, failure, None)
    work = figures.works[BACKUP, "acme/orders"]
    assert work.counts == {"completed": 1, "failed": 1, "dropped": 0}
    assert work.last is not None
    assert (work.last.completed, work.last.ended_at_s, work.last.elapsed_s) == (False, 1_015.0, 5.0)
    assert work.last_completed_at_s == 1_010.0


def test_a_run_that_another_attempt_has_taken_over_is_no_failure_of_its_service(figures: Figures) -> None:
    with pytest.raises(Conflict), figures.run(BACKUP, "acme/orders", RunProgress()):
        raise Conflict("run.not_current", "somebody else has it")
    with pytest.raises(asyncio.CancelledError), figures.run(BACKUP, "acme/orders", RunProgress()):
        raise asyncio.CancelledError
    work = figures.works[BACKUP, "acme/orders"]
    assert work.counts == {"completed": 0, "failed": 0, "dropped": 2}
    assert work.last is None


def test_bytes_of_runs_under_way_count_at_once_and_are_not_counted_again_at_their_end(figures: Figures) -> None:
    first, second = RunProgress(), RunProgress()
    with figures.run(BACKUP, "acme/orders", first):
        first.begin_artifact("dumping", "orders").plain_bytes = 100
        with figures.run(BACKUP, "acme/orders", second):
            second.begin_artifact("dumping", "orders").plain_bytes = 20
            second.begin_artifact("dumping", "shop").retries = 3
            work = figures.works[BACKUP, "acme/orders"]
            assert work.moved.plain_bytes == 120
        assert work.moved.plain_bytes == 120
    assert work.moved.plain_bytes == 120
    assert work.moved.retries == 3
    assert not work.running


def test_an_agent_without_the_section_has_neither_metrics_nor_traces_in_its_memory() -> None:
    code = (
        "import sys, agents.agent, agents.runner, agents.backup, agents.settings\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('prometheus_client', 'opentelemetry')])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout.strip() == "[]"


def test_metrics_without_their_library_say_what_to_install() -> None:
    code = (
        "import sys\n"
        "sys.modules['prometheus_client'] = None\n"
        "from contracts.errors import InvalidInput\n"
        "try:\n"
        "    import agents.metrics\n"
        "except InvalidInput as exc:\n"
        "    print(exc, exc.field)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout.startswith("config.invalid: [metrics] needs the package prometheus-client")
    assert "pip install 'strongroom[metrics]'" in ended.stdout
    assert ended.stdout.endswith("metrics\n")
