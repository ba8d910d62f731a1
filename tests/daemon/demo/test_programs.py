"""Finding the programs: all that are missing are named at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.errors import RunFailed
from daemon.demo.programs import Programs, find_programs

SERVER = ("initdb", "postgres", "psql", "pg_dump", "pg_restore")


def install(directory: Path, *names: str) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    for name in names:
        (directory / name).touch(mode=0o755)
    return directory


def test_everything_that_is_missing_is_named_with_its_packages(tmp_path: Path) -> None:
    with pytest.raises(RunFailed) as caught:
        find_programs(versions_dir=tmp_path, path=str(tmp_path), as_root=True)
    assert caught.value.code == "engine.tool_missing"
    assert caught.value.message == (
        "initdb, postgres, psql, pg_dump, pg_restore, age, zstd, setpriv are not installed: "
        "apt-get install age postgresql postgresql-client util-linux zstd"
    )


def test_only_what_is_missing_is_named(tmp_path: Path) -> None:
    install(tmp_path / "15" / "bin", *SERVER)
    path = install(tmp_path / "bin", "zstd")
    with pytest.raises(RunFailed, match=r"^engine.tool_missing: age is not installed: apt-get install age$"):
        find_programs(versions_dir=tmp_path, path=str(path), as_root=False)


def test_the_newest_version_that_has_them_all_is_taken(tmp_path: Path) -> None:
    for version in ("9", "15", "16"):
        install(tmp_path / version / "bin", *SERVER)
    install(tmp_path / "17" / "bin", "psql", "pg_dump", "pg_restore")
    install(tmp_path / "common" / "bin", *SERVER)
    path = install(tmp_path / "bin", "age", "zstd")
    found = find_programs(versions_dir=tmp_path, path=str(path), as_root=False)
    assert found.psql == str(tmp_path / "16" / "bin" / "psql")
    assert found.server_user is None
    assert found.as_server_user() == []


def test_without_versioned_directories_the_path_is_searched(tmp_path: Path) -> None:
    path = install(tmp_path / "bin", *SERVER, "age", "zstd", "setpriv")
    found = find_programs(versions_dir=tmp_path / "none", path=str(path), as_root=False)
    assert found.initdb == str(path / "initdb")
    assert found.as_server_user() == [str(path / "setpriv"), "--pdeathsig=QUIT", "--"]


def test_as_root_the_server_gets_another_user(programs: Programs) -> None:
    found = find_programs(as_root=True)
    assert found.server_user is not None
    assert found.server_user.uid != 0
    assert f"--reuid={found.server_user.uid}" in found.as_server_user()
