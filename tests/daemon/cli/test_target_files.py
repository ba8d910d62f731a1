"""Files appear whole or not at all, private, and never in place of what somebody else has there."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from contracts.errors import InvalidInput
from contracts.records import ArtifactRecord
from daemon.artifacts.names import plan_names
from daemon.cli.target_files import TargetFiles


def artifact(key: str, name: str = "orders") -> ArtifactRecord:
    return ArtifactRecord(
        name=name, kind="database", format="pg_dump-custom", object_key=key, stored_bytes=1, plain_bytes=1, sha256=""
    )


def test_files_appear_together_and_are_private(tmp_path: Path) -> None:
    directory = tmp_path / "new"
    paths = [directory / "a", directory / "b"]
    with TargetFiles(paths, directory, overwrite=False) as targets:
        for path in paths:
            with targets.open(path) as file:
                file.write(path.name.encode())
            assert not path.exists()
        targets.publish()
    assert [path.read_text() for path in paths] == ["a", "b"]
    assert sorted(each.name for each in directory.iterdir()) == ["a", "b"]
    assert stat.S_IMODE(paths[0].stat().st_mode) == 0o600


def test_leaving_without_publishing_leaves_nothing(tmp_path: Path) -> None:
    directory = tmp_path / "new"
    with TargetFiles([directory / "a"], directory, overwrite=False) as targets, targets.open(directory / "a") as file:
        file.write(b"half")
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_was_there_stays(tmp_path: Path) -> None:
    with TargetFiles([tmp_path / "a"], tmp_path, overwrite=False) as targets, targets.open(tmp_path / "a"):
        pass
    assert list(tmp_path.iterdir()) == []
    assert tmp_path.is_dir()


@pytest.mark.parametrize("kind", ["file", "link", "directory"])
def test_what_is_there_is_refused_before_anything_is_written(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a"
    if kind == "file":
        path.write_text("precious")
    elif kind == "link":
        path.symlink_to(tmp_path / "nowhere")
    else:
        path.mkdir()
    with pytest.raises(InvalidInput, match=r"exists already|is a directory"):
        TargetFiles([path], None, overwrite=False)
    assert [each.name for each in tmp_path.iterdir()] == ["a"]


def test_overwriting_replaces_a_file_only_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    with TargetFiles([path], None, overwrite=True) as targets:
        with targets.open(path) as file:
            file.write(b"new")
        assert path.read_text() == "old"
        targets.publish()
    assert path.read_text() == "new"


def test_a_file_that_comes_to_exist_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with TargetFiles([path], None, overwrite=False) as targets:
        with targets.open(path) as file:
            file.write(b"ours")
        path.write_text("theirs")
        with pytest.raises(InvalidInput, match="has come to exist"):
            targets.publish()
    assert path.read_text() == "theirs"
    assert [each.name for each in tmp_path.iterdir()] == ["a"]


def test_a_place_that_takes_no_files_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is not a directory"):
        TargetFiles([tmp_path / "absent" / "a"], None, overwrite=False)
    with pytest.raises(InvalidInput, match="cannot be made"):
        TargetFiles([tmp_path / "x" / "y" / "a"], tmp_path / "x" / "y", overwrite=False)
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInput, match="is not a directory"):
        TargetFiles([tmp_path / "file" / "a"], tmp_path / "file", overwrite=False)


def test_names_lose_their_layers_and_where_that_is_clear_their_numbers() -> None:
    both = [artifact("x/1/0001-globals.sql.zst.age"), artifact("x/1/0002-my-orders.pgdump.zst.age")]
    assert plan_names(both, encrypted=False) == ["globals.sql", "my-orders.pgdump"]
    assert plan_names(both, encrypted=True) == ["0001-globals.sql.zst.age", "0002-my-orders.pgdump.zst.age"]
    alike = [artifact("x/1/0001-a-b.pgdump.zst.age", "a b"), artifact("x/1/0002-a-b.pgdump.zst.age", "a-b")]
    assert plan_names(alike, encrypted=False) == ["0001-a-b.pgdump", "0002-a-b.pgdump"]
