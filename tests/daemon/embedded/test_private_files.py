"""Files that hold secrets, and the directory that one process holds."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import nkeys  # type: ignore[import-untyped]
import pytest

from contracts.errors import InvalidInput
from daemon.embedded.data_dir import hold_data_dir
from daemon.embedded.errors import DataDirBusy
from daemon.embedded.nkey_files import ensure_user_seed, new_user_seed, public_key_of
from daemon.embedded.private_files import make_private_dir, write_private


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(autouse=True)
def careless_umask() -> object:
    previous = os.umask(0)
    yield
    os.umask(previous)


def test_a_private_file_is_its_owners_alone_and_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    write_private(path, "one")
    assert mode(path) == 0o600
    path.chmod(0o644)
    write_private(path, b"two")
    assert (path.read_bytes(), mode(path)) == (b"two", 0o600)
    assert [entry.name for entry in tmp_path.iterdir()] == ["secret"]


def test_a_private_directory_is_closed_even_when_it_existed(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir(mode=0o755)
    assert mode(make_private_dir(tmp_path / "d")) == 0o700
    assert mode(make_private_dir(tmp_path / "a" / "b")) == 0o700


def test_a_seed_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "coordinator.nk"
    public_key = ensure_user_seed(path)
    assert public_key.startswith("U")
    assert ensure_user_seed(path) == public_key
    assert mode(path) == 0o600
    assert public_key_of(path.read_text()) == public_key


@pytest.mark.parametrize("content", ["", "not a seed", "S" * 58, "\x00"])
def test_a_damaged_seed_is_an_error_and_is_left_alone(tmp_path: Path, content: str) -> None:
    path = tmp_path / "coordinator.nk"
    path.write_text(content)
    with pytest.raises(InvalidInput, match=r"coordinator\.nk: not an nkey seed"):
        ensure_user_seed(path)
    assert path.read_text() == content


@pytest.mark.parametrize("position", [3, 20, 57])
def test_a_mistyped_seed_is_not_another_identity_and_no_error_repeats_it(position: int) -> None:
    seed = new_user_seed()
    damaged = seed[:position] + ("A" if seed[position] != "A" else "B") + seed[position + 1 :]
    with pytest.raises(InvalidInput, match="not an nkey seed") as caught:
        public_key_of(damaged)
    assert seed[21:56] not in repr(caught.value)
    assert caught.value.__cause__ is None


def test_the_seed_of_something_else_is_refused() -> None:
    account = bytes(nkeys.encode_seed(bytes(32), nkeys.PREFIX_BYTE_ACCOUNT)).decode()
    with pytest.raises(InvalidInput, match="of another kind"):
        public_key_of(account)


async def test_a_data_directory_has_one_holder(tmp_path: Path) -> None:
    async with hold_data_dir(tmp_path / "data") as path:
        assert mode(path) == 0o700
        with pytest.raises(DataDirBusy, match="in use by another Strongroom process"):
            async with hold_data_dir(path, timeout_s=0.2):
                pass
    async with hold_data_dir(path):
        pass
