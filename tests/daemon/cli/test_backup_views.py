"""Figures of a backup in words."""

from __future__ import annotations

import pytest

from daemon.cli.backup_views import figure


@pytest.mark.parametrize(
    ("many", "value", "words"),
    [
        ("databases", 3, "3 databases"),
        ("rows", 1_234_567, "1,234,567 rows"),
        ("databases", 1, "1 database"),
        ("directories", 1, "1 directory"),
        ("indices", 1, "1 index"),
        ("aliases", 1, "1 alias"),
        ("large objects", 1, "1 large object"),
        ("symbolic links", 1, "1 symbolic link"),
    ],
)
def test_one_is_not_many(many: str, value: int, words: str) -> None:
    assert figure(many, value) == words
