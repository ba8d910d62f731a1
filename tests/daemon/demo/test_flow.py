"""The whole round with real servers: it passes, it says so when it does not, and it leaves nothing."""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from contracts.errors import RunFailed
from daemon.demo.engines import elasticsearch_jars, postgresql
from daemon.demo.engines.kinds import KINDS
from daemon.demo.flow import run_demo
from daemon.demo.processes import run_pipeline, tool_environment
from daemon.demo.programs import Programs
from daemon.demo.psql import Psql
from daemon.demo.result import DemoOptions, DemoResult
from daemon.demo.snapshot import DatabaseSnapshot, take_snapshot
from tests.servers.meilisearch import server as meilisearch
from tests.servers.qdrant import server as qdrant
from tests.servers.waiting import eventually

pytestmark = pytest.mark.timeout(240)

SIZE_BYTES = 5_000_000


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that the PostgreSQL server's user can reach."""
    directory = Path(tempfile.mkdtemp(prefix="strongroom-test-"))
    directory.chmod(0o711)
    yield directory
    shutil.rmtree(directory)


async def test_the_command_goes_the_whole_round_and_leaves_nothing(place: Path) -> None:
    argv = [sys.executable, "-c", "from daemon.cli import main; main()", "demo", "--json", "--size", str(SIZE_BYTES)]
    environment = {
        **os.environ,
        "TMPDIR": str(place),
        "STRONGROOM_NATS_URL": "nats://elsewhere.invalid",
        "PGHOST": "no.invalid",
    }
    process = await asyncio.create_subprocess_exec(
        *argv, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert err.decode() == ""
    assert process.returncode == 0
    result = msgspec.json.decode(out, type=DemoResult)
    assert result.passed
    assert result.comparison.differences == []
    assert result.comparison.rows > 25_000
    assert len(result.steps) == 8
    assert all(step.passed and step.elapsed_s >= 0 for step in result.steps)
    assert result.engine == "postgresql"
    assert result.proof.contents.endswith("the data of 17 tables among them")
    assert result.backup.native_bytes == pytest.approx(SIZE_BYTES, rel=0.2)
    assert 2 <= result.ratio <= 7
    assert result.folder == ""
    assert list(place.iterdir()) == []
    assert not mentioned(place)


async def test_a_copy_that_differs_does_not_pass_and_everything_is_kept_when_asked_for(
    place: Path, programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def spoil_and_look(database: Psql) -> DatabaseSnapshot:
        if database.database == postgresql.RESTORED:
            await database.run("DELETE FROM shop.order_lines WHERE order_id = 10001; DROP INDEX shop.orders_open")
        return await take_snapshot(database)

    monkeypatch.setattr(postgresql, "take_snapshot", spoil_and_look)
    console = Console(file=io.StringIO(), width=200)
    result = await run_demo(DemoOptions(size_bytes=SIZE_BYTES, keep=True, directory=place), console)
    assert not result.passed
    assert result.exit_status == 8
    assert [str(one) for one in result.comparison.differences if one.kind == "index"] == [
        "index shop.orders_open is missing"
    ]
    assert [table.name for table in result.comparison.tables if not table.equal] == ["shop.order_lines"]
    assert [step.passed for step in result.steps] == [True] * 7 + [False]
    folder = Path(result.folder)
    assert folder.parent == place.resolve()
    # What a person would type.
    key_file, file = folder / "proof" / "key.txt", Path(result.proof.file)
    stages = [[programs.age, "-d", "-i", str(key_file), str(file)], [programs.zstd, "-d"], [programs.pg_restore, "-l"]]
    listing: list[bytes] = []
    ended = await run_pipeline(stages, environment=tool_environment(), take=listing.append)
    assert ended[-1].status == 0
    assert b" TABLE DATA shop order_lines " in b"".join(listing)
    assert not mentioned(place)


@pytest.fixture
def programs_of_others(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`qdrant` and `meilisearch` on the PATH, unless there are real ones: the tests' protocol servers."""
    directory = place / "programs"
    for name, install in (("qdrant", qdrant.install_program), ("meilisearch", meilisearch.install_program)):
        if shutil.which(name) is None:
            directory.mkdir(exist_ok=True)
            install(directory)
    monkeypatch.setenv("PATH", str(directory), prepend=":")


@pytest.mark.usefixtures("programs_of_others")
@pytest.mark.parametrize("engine", [kind for kind in KINDS if kind != "postgresql"])
async def test_every_engine_goes_the_whole_round(place: Path, engine: str) -> None:
    if engine == "elasticsearch":
        try:
            elasticsearch_jars.fetch()
        except RunFailed as exc:
            pytest.skip(f"NOT RUN HERE: {exc.message}")
    result = await run_demo(DemoOptions(engine=engine, size_bytes=SIZE_BYTES, directory=place))
    assert result.engine == engine
    assert result.comparison.differences == []
    assert result.passed
    assert result.comparison.rows > 0
    assert result.proof.contents
    assert [path.name for path in place.iterdir() if path.name != "programs"] == []
    await eventually(lambda: [line for line in mentioned(place) if b"/programs/" not in line] == [])


async def test_an_interrupted_round_leaves_nothing(place: Path) -> None:
    text = io.StringIO()
    console = Console(file=text, width=200)
    demo = asyncio.create_task(run_demo(DemoOptions(size_bytes=SIZE_BYTES, directory=place), console), name="demo")
    await eventually(lambda: demo.done() or "[5/8]" in text.getvalue(), timeout_s=120)
    demo.cancel()
    with pytest.raises(asyncio.CancelledError):
        await demo
    assert "stopped" in text.getvalue()
    assert list(place.iterdir()) == []
    await eventually(lambda: not mentioned(place))


def mentioned(place: Path) -> list[bytes]:
    """The command lines of processes that name anything in the directory."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if os.fsencode(f"{place}/") in command:
            found.append(command)
    return found
