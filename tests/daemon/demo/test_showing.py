"""What a person sees: sizes, the folder, steps and the report."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from contracts.errors import InvalidInput
from daemon.demo.compare import Comparison, Difference, How, TableResult
from daemon.demo.folder import check_room, demo_folder
from daemon.demo.proof import Proof
from daemon.demo.report import draw_report
from daemon.demo.result import DemoResult, Transfer
from daemon.demo.sizes import parse_size
from daemon.demo.steps import StepResult, Steps, describe


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [("300MB", 300_000_000), ("1.5 GiB", 1_610_612_736), ("5000000", 5_000_000), (" 64 mib ", 67_108_864), ("7b", 7)],
)
def test_sizes_are_read_as_people_write_them(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize("text", ["", "MB", "-1MB", "3 apples", "1e9", "0x10", "1_000", "٣MB", "1MB 2MB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="is not a size such as") as caught:
        parse_size(text)
    assert caught.value.field == "size"


def test_the_folder_goes_unless_it_is_kept(tmp_path: Path) -> None:
    with demo_folder(tmp_path, keep=False, size_bytes=1, passable=False) as folder:
        (folder / "some" / "data").mkdir(parents=True)
        assert folder.stat().st_mode & 0o777 == 0o700
    assert list(tmp_path.iterdir()) == []
    with demo_folder(tmp_path, keep=True, size_bytes=1, passable=True) as folder:
        assert folder.stat().st_mode & 0o777 == 0o711
    assert list(tmp_path.iterdir()) == [folder]


async def test_the_folder_goes_when_the_demo_is_interrupted(tmp_path: Path) -> None:
    inside = asyncio.Event()

    async def demo() -> None:
        with demo_folder(tmp_path, keep=False, size_bytes=1, passable=False):
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(demo(), name="demo")
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_room_is_told_beforehand(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="smaller size"):
        check_room(tmp_path, 10**18)
    with pytest.raises(InvalidInput, match="cannot be used"):
        check_room(tmp_path / "none", 1)


def test_progress_tells_rate_and_what_is_left() -> None:
    assert describe(0, 2**20, 0.1) == "0 B of 1.00 MiB"
    assert describe(2**20, 4 * 2**20, 2.0) == "1.00 MiB of 4.00 MiB, 512 KiB/s, 6.0 s left"
    assert describe(2**20, 2**20, 2.0) == "1.00 MiB of 1.00 MiB, 512 KiB/s"


def written(width: int = 120) -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    return Console(file=file, width=width, highlight=False, markup=False), file


@pytest.mark.parametrize("live", [False, True])
def test_steps_are_numbered_and_tell_what_came_of_them(live: bool) -> None:
    console, file = written()
    steps = Steps(console, live=live, count=3)
    with steps.step("Do [this]") as step:
        step.progress(1, 2)
        step.show("something else")
        step.outcome = "done\nwell"
    with steps.step("Try that") as step:
        step.fail("one difference")
    with pytest.raises(RuntimeError), steps.step("Break"):
        raise RuntimeError
    text = file.getvalue()
    assert "✓ [1/3] Do [this]" in text
    assert "        done\n        well\n" in text
    assert "✗ [2/3] Try that" in text
    assert "✗ [3/3] Break  failed" in text
    assert [(one.title, one.passed, one.outcome) for one in steps.results] == [
        ("Do [this]", True, "done\nwell"),
        ("Try that", False, "one difference"),
    ]


def test_without_a_console_nothing_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    steps = Steps(None, live=True, count=1)
    with steps.step("Quietly") as step:
        step.progress(1, 2)
    assert [one.title for one in steps.results] == ["Quietly"]
    assert capsys.readouterr() == ("", "")


def result(*differences: Difference, folder: str = "") -> DemoResult:
    tables = [
        TableResult(name="shop.orders", rows=6000, restored_rows=6000, equal=True),
        TableResult(name="shop.lines", rows=15000, restored_rows=14999 if differences else 15000, equal=not differences),
    ]
    comparison = Comparison(tables=tables, rows=21000, objects={"index": 12, "view": 3}, differences=list(differences))
    proof = Proof(
        file="f.age",
        key_file="key.txt",
        stored_bytes=10,
        sha256="0" * 64,
        plain_bytes=40,
        contents="70 entries, the data of 17 tables among them",
        command="age -d -i key.txt f.age | zstd -d | pg_restore -l",
    )
    transfer = Transfer(
        id="20261122T000512Z-k7xq",
        native_bytes=60 * 2**20,
        stored_bytes=15 * 2**20,
        elapsed_s=2.0,
        native_bytes_per_s=30 * 2**20,
    )
    return DemoResult(
        passed=comparison.equal,
        engine="postgresql",
        data_bytes=90 * 2**20,
        backup=transfer,
        restore=transfer,
        ratio=4.0,
        proof=proof,
        comparison=comparison,
        warnings=["a [bold] warning"],
        steps=[StepResult(title="Start", passed=True, outcome="", elapsed_s=1.0)],
        elapsed_s=20.0,
        folder=folder,
    )


def test_the_report_of_a_round_that_passed() -> None:
    console, file = written()
    draw_report(console, result(folder="/somewhere/strongroom-demo-x"))
    text = file.getvalue()
    assert "backup   60.0 MiB  15.0 MiB  2.0 s      30.0 MiB/s" in text
    assert "4.0 times smaller stored than dumped" in text
    assert "shop.orders 6,000 6,000 equal" in " ".join(text.split())
    assert "compared besides: index (12), view (3)" in text
    assert "warning: a [bold] warning" in text
    assert "✓ What came back is what went in: 21,000 records of 2 objects are equal by content, in 20 s." in text
    assert "cd /somewhere/strongroom-demo-x/proof && age -d -i key.txt f.age | zstd -d | pg_restore -l" in text
    assert "strongroom up --data /somewhere/strongroom-demo-x/strongroom" in text
    assert result().exit_status == 0


def test_the_report_of_a_round_that_did_not_pass() -> None:
    many = [Difference(kind="index", name=f"i{n}", how=How.MISSING, expected="x") for n in range(30)]
    failed = result(*many)
    console, file = written()
    draw_report(console, failed)
    text = file.getvalue()
    assert "index i0 is missing" in text
    assert "and 10 more differences; --json has them all" in text
    assert "differs" in text
    assert "✗ What came back is not what went in: 30 differences." in text
    assert "--keep leaves it" in text
    assert failed.exit_status == 8


def test_the_document_is_json_with_all_of_it() -> None:
    document = msgspec.json.decode(msgspec.json.encode(result(Difference(kind="view", name="v", how=How.EXTRA))))
    assert document["passed"] is False
    assert document["comparison"]["differences"][0]["how"] == "extra"
    assert document["backup"]["native_bytes_per_s"] == 30 * 2**20
    assert document["proof"]["command"].startswith("age -d")
