"""Which directories a restore may go to, and what has to be free for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.drivers import directories, filesystem
from agents.drivers.directories import choose_directory, free_bytes, require_free
from contracts.errors import Conflict, InvalidInput, RunFailed


@pytest.fixture
def root(tmp_path: Path) -> Path:
    directory = tmp_path / "restores"
    directory.mkdir()
    return directory


def test_a_directory_is_chosen_below_the_one_that_the_host_allows(root: Path) -> None:
    assert choose_directory("shop", restore_dir=str(root)) == root / "shop"
    assert choose_directory(f"{root}/2026/shop", restore_dir=str(root)) == root / "2026" / "shop"


def test_without_a_wish_it_is_the_default(root: Path) -> None:
    assert choose_directory("", restore_dir="", default=str(root)) == root


def test_a_default_that_is_a_symbolic_link_is_followed_because_the_host_says_so(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    assert choose_directory("", restore_dir="", default=str(tmp_path / "link")) == root


def test_without_a_wish_and_a_default_the_directory_has_to_be_named(root: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        choose_directory("", restore_dir=str(root))
    assert caught.value.field == "directory"
    assert "--directory" in caught.value.message


def test_a_host_that_allows_no_choice_says_how_to_allow_it() -> None:
    with pytest.raises(RunFailed) as caught:
        choose_directory("shop", restore_dir="", default="/srv/shop")
    assert caught.value.code == "restore.failed"
    assert "restore_dir" in caught.value.message


@pytest.mark.parametrize(
    "wanted",
    ["..", "../x", "a/../../x", "/etc/x", ".", "/", "a/..", ".strongroom-restoring-x", "a\0b", "\ud800x"],
)
def test_what_is_not_below_it_is_refused(root: Path, wanted: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        choose_directory(wanted, restore_dir=str(root))
    assert caught.value.field == "directory"
    caught.value.message.encode()


def test_the_allowed_directory_itself_is_refused(root: Path) -> None:
    with pytest.raises(InvalidInput):
        choose_directory(str(root), restore_dir=str(root))


def test_a_sibling_whose_name_begins_alike_is_refused(root: Path) -> None:
    with pytest.raises(InvalidInput):
        choose_directory(f"{root}-other/x", restore_dir=str(root))


def test_a_symbolic_link_that_leads_out_is_refused(root: Path, tmp_path: Path) -> None:
    (root / "out").symlink_to(tmp_path)
    with pytest.raises(InvalidInput):
        choose_directory("out/x", restore_dir=str(root))


def test_a_symbolic_link_that_stays_inside_is_followed(root: Path) -> None:
    (root / "big").mkdir()
    (root / "link").symlink_to("big")
    assert choose_directory("link/x", restore_dir=str(root)) == root / "big" / "x"


def test_an_allowed_directory_that_is_a_link_itself_is_followed(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    assert choose_directory(f"{tmp_path}/link/x", restore_dir=f"{tmp_path}/link") == root / "x"


def test_a_loop_of_links_ends_in_a_sentence(root: Path) -> None:
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    directory = choose_directory("a/x", restore_dir=str(root))
    with pytest.raises(RunFailed) as caught:
        require_free(directory, replace=True)
    assert "symbolic links" in caught.value.message


def test_nothing_and_an_empty_directory_are_free(root: Path) -> None:
    require_free(root / "new", replace=False)
    require_free(root, replace=False)


def test_what_a_killed_restore_left_does_not_count(root: Path) -> None:
    (root / ".strongroom-restoring-x-20261122T000512Z-aaaa").mkdir()
    require_free(root, replace=False)


def test_a_directory_that_holds_data_is_free_only_for_a_replacement(root: Path) -> None:
    (root / "file").touch()
    require_free(root, replace=True)
    with pytest.raises(Conflict) as caught:
        require_free(root, replace=False)
    assert caught.value.code == "restore.target_not_empty"
    assert "--replace" in caught.value.message


def test_a_file_and_a_link_are_never_free(root: Path) -> None:
    (root / "file").touch()
    (root / "link").symlink_to("/tmp")
    for name, what in (("file", "a file"), ("link", "a symbolic link")):
        with pytest.raises(RunFailed) as caught:
            require_free(root / name, replace=True)
        assert caught.value.code == "restore.failed"
        assert what in caught.value.message


def test_a_missing_parent_is_named(root: Path) -> None:
    with pytest.raises(RunFailed) as caught:
        require_free(root / "a" / "b", replace=True)
    assert f"{root}/a does not exist" in caught.value.message


def test_a_parent_that_is_a_file_is_named(root: Path) -> None:
    (root / "a").touch()
    with pytest.raises(RunFailed) as caught:
        require_free(root / "a" / "b", replace=True)
    assert f"{root}/a/b" in caught.value.message


def test_a_name_that_is_too_long_ends_in_a_sentence(root: Path) -> None:
    with pytest.raises(RunFailed) as caught:
        require_free(root / ("x" * 300), replace=True)
    assert "too long" in caught.value.message


def test_an_empty_file_system_fresh_from_mkfs_is_free(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "lost+found").mkdir()
    with pytest.raises(Conflict):
        require_free(root, replace=False)
    monkeypatch.setattr(filesystem, "mount_points", lambda: [root])
    require_free(root, replace=False)
    (root / "lost+found" / "#12").touch()
    with pytest.raises(Conflict):
        require_free(root, replace=False)


def test_a_directory_with_another_file_system_inside_is_not_replaced(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "data" / "cache").mkdir(parents=True)
    monkeypatch.setattr(filesystem, "mount_points", lambda: [Path("/"), root, root / "data" / "cache"])
    with pytest.raises(RunFailed) as caught:
        require_free(root / "data", replace=True)
    assert f"{root}/data/cache" in caught.value.message


def test_the_interface_is_in_one_place() -> None:
    assert set(directories.__all__) == {"StagedTree", "choose_directory", "free_bytes", "require_free", "staged_tree"}


def test_the_room_of_a_mounted_target_is_its_own_and_not_its_parents(root: Path) -> None:
    assert free_bytes(Path("/proc")) == 0
    assert free_bytes(root) > 0
    assert free_bytes(root / "shop") > 0


def test_a_room_that_cannot_be_looked_at_is_told(root: Path) -> None:
    with pytest.raises(RunFailed, match="No such file") as caught:
        free_bytes(root / "missing" / "shop")
    assert caught.value.code == "restore.failed"
