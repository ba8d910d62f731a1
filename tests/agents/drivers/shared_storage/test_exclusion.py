"""What is left out: our own look at the tree and tar keep the same rule."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.drivers.shared_storage.exclusion import Exclusion
from agents.drivers.shared_storage.names import readable
from agents.drivers.shared_storage.survey import survey
from agents.drivers.shared_storage.tar import find_tar
from agents.processes import run
from contracts.services import SharedStorageOptions

_TREE = [
    "cache/1",
    "cache/deep/2",
    "a/cache/3",
    "a/cached",
    "notes.tmp",
    "a/b/more.tmp",
    "a[b]",
    "a\\b",
    "star*",
    "starry",
    "-rf",
    "new\nline",
    "größe",
    "ab",
    "a b/c d",
    ".hidden",
    ".strongroom-restoring-x-20261122T000512Z-aaaa/file",
    "below/.strongroom-restoring-x/file",
    "[a-b]c",
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tree")
    for name in _TREE:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return directory


async def archived(root: Path, patterns: list[str]) -> set[str]:
    tar = await find_tar("")
    ended = await run(tar.create(str(root), Exclusion(patterns), one_file_system=True, hear=lambda _: None), timeout_s=30)
    assert ended.status.ok, ended.stderr
    with tarfile.open(fileobj=io.BytesIO(ended.stdout)) as archive:
        return {name.removeprefix("./") for name in archive.getnames()} - {"."}


def seen(root: Path, patterns: list[str]) -> set[str]:
    """What is not left out, by our own rule, asked from the top down."""
    exclusion = Exclusion(patterns)
    kept: set[str] = set()
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        if not any(exclusion.leaves_out(str(each).encode()) for each in [*relative.parents[:-1], relative]):
            kept.add(str(relative))
    return kept


@pytest.mark.parametrize(
    ("pattern", "gone"),
    [
        ("cache", {"cache", "cache/1", "cache/deep", "cache/deep/2"}),
        ("./cache/", {"cache", "cache/1", "cache/deep", "cache/deep/2"}),
        ("*/cache", {"a/cache", "a/cache/3"}),
        ("cache/*", {"cache/1", "cache/deep", "cache/deep/2"}),
        ("*.tmp", {"notes.tmp", "a/b/more.tmp"}),
        ("a[b]", {"a[b]"}),
        ("[a-b]c", {"[a-b]c"}),
        ("a\\b", {"a\\b"}),
        ("a?b", {"a\\b", "a b", "a b/c d", "a/b", "a/b/more.tmp"}),
        ("star?", {"star*"}),
        ("-rf", {"-rf"}),
        ("new\nline", {"new\nline"}),
        ("gr??*e", {"größe"}),
        ("a b/c d", {"a b/c d"}),
        (".hidden", {".hidden"}),
        ("nothing", set()),
    ],
)
async def test_a_pattern_leaves_out_what_it_says_and_nothing_else(root: Path, pattern: str, gone: set[str]) -> None:
    assert await archived(root, []) - await archived(root, [pattern]) == gone
    assert seen(root, []) - seen(root, [pattern]) == gone


async def test_what_a_killed_restore_left_is_no_part_of_the_tree(root: Path) -> None:
    names = await archived(root, [])
    assert not any(name.startswith(".strongroom") for name in names)
    assert "below/.strongroom-restoring-x/file" in names


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(patterns=st.lists(st.text("abc*?[]\\/.-", min_size=1, max_size=6), max_size=3))
async def test_tar_and_we_always_agree(root: Path, patterns: list[str]) -> None:
    try:
        SharedStorageOptions(exclude=patterns)
    except ValueError:
        return
    kept = await archived(root, patterns)
    assert kept == seen(root, patterns)
    found = survey(str(root), Exclusion(patterns), one_file_system=True)
    assert found.files == sum((root / name).is_file() for name in kept)
    assert found.counts["."] == sum((root / name).is_file() and "/" not in name for name in kept)


@pytest.mark.parametrize("pattern", ["", "/", "/etc", "..", "a/../b", ".", "./", "a\0b"])
def test_what_names_nothing_in_the_tree_is_refused(pattern: str) -> None:
    with pytest.raises(msgspec.ValidationError, match="relative to the tree"):
        msgspec.convert({"kind": "shared-storage", "exclude": [pattern]}, SharedStorageOptions)


def test_names_in_an_inventory_are_text(root: Path) -> None:
    found = survey(str(root), Exclusion([]), one_file_system=True)
    assert set(found.counts) == {".", *map(readable, ("cache", "a", "a b", "below"))}
