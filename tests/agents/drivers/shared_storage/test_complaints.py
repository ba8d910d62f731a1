"""What tar says, understood piece by piece."""

from __future__ import annotations

import pytest

from agents.drivers.shared_storage.complaints import (
    CHANGED,
    DENIED,
    IGNORED,
    LINK_MISSING,
    MAX_NAMES,
    MOUNTED,
    NOT_FOUND,
    OTHER,
    REMOVED,
    SHRUNK,
    SOCKET,
    UNREADABLE,
    Complaints,
)


@pytest.mark.parametrize(
    ("line", "sort", "name"),
    [
        ("./a b: file changed as we read it", CHANGED, "a b"),
        (".: file changed as we read it", CHANGED, "."),
        ("./x: file changed as we read it: file changed as we read it", CHANGED, "x: file changed as we read it"),
        ("./gone: File removed before we read it", REMOVED, "gone"),
        ("./log: File shrank by 12 bytes; padding with zeros", SHRUNK, "log"),
        ("./log: File shrank by 1 byte; padding with zeros", SHRUNK, "log"),
        ("./s: socket ignored", SOCKET, "s"),
        ("./d: door ignored", IGNORED, "d"),
        ("./m/: file is on a different filesystem; not dumped", MOUNTED, "m/"),
        ("./d: Unknown file type; file ignored", IGNORED, "d"),
        ("./m: Cannot open: Permission denied", DENIED, "m"),
        ("./m: Cannot stat: Input/output error", UNREADABLE, "m"),
        ("./m: Read error at byte 0, while reading 512 bytes: Input/output error", UNREADABLE, "m"),
        ("./m: Cannot open: Stale file handle", UNREADABLE, "m"),
        ("./gr\\303\\266\\n\\377: Not found in archive", NOT_FOUND, "grö\\n\\377"),
        ("./b: Cannot hard link to './a': No such file or directory", LINK_MISSING, "b"),
    ],
)
def test_each_sort_is_told_by_its_words(line: str, sort: str, name: str) -> None:
    complaints = Complaints("/bin/tar")
    complaints.hear(f"/bin/tar: {line}\n".encode())
    assert complaints[sort].names == [name]
    assert complaints.only(sort)


def test_lines_arrive_in_pieces() -> None:
    complaints = Complaints("tar")
    for byte in b"tar: ./a: socket ignored\ntar: ./b: socket ignored\ntar: ./c":
        complaints.hear(bytes([byte]))
    assert complaints[SOCKET].names == ["a", "b"]


def test_what_is_not_understood_is_kept_in_tars_own_words() -> None:
    complaints = Complaints("tar")
    complaints.hear(b"tar: ./x: Warning: something new\ntar: Exiting with failure status due to previous errors\n")
    assert complaints[OTHER].names == ["./x: Warning: something new"]


def test_however_many_there_are_only_some_names_are_kept() -> None:
    complaints = Complaints("tar")
    for number in range(1000):
        complaints.hear(f"tar: ./{number}: socket ignored\n".encode())
    sockets = complaints[SOCKET]
    assert sockets.count == 1000
    assert len(sockets.names) == MAX_NAMES
    assert sockets.text.startswith("0, 1, 2, ")
    assert sockets.text.endswith(f"and {1000 - MAX_NAMES} more")


def test_a_line_without_an_end_takes_no_memory_and_does_not_hide_the_next() -> None:
    complaints = Complaints("tar")
    for _ in range(100):
        complaints.hear(b"x" * 10_000)
    assert len(complaints._unfinished) < 50_000
    complaints.hear(b"end\ntar: ./a: socket ignored\n")
    assert complaints[SOCKET].names == ["a"]
    assert complaints[OTHER].count == 0
