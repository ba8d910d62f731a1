"""Single paths of a tree: which ones were asked for, and how tar is told."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from agents.drivers.shared_storage.names import raw, readable
from agents.drivers.staging import MARK
from contracts.errors import InvalidInput

MAX_PATHS: Final = 1000
_MAX_PATH_BYTES: Final = 4096


@dataclass(frozen=True)
class WantedPath:
    """A file or directory, relative to the root of the tree, each with what is below it."""

    text: str
    """As it was asked for."""
    names: tuple[str, ...]
    """What may be meant, in Python's own notation of file names: the text as it is, and read as `names.readable` writes."""

    @property
    def in_messages(self) -> frozenset[str]:
        return frozenset(map(readable, self.names))


def choose_paths(paths: Sequence[str]) -> list[WantedPath]:
    """Without those that lie below another one.  Raises: InvalidInput `input.invalid` for `paths`."""
    if len(paths) > MAX_PATHS:
        raise _invalid(f"at most {MAX_PATHS} can be restored at once: name the directories that they are in")
    # Of each only one, or tar would look for the other in vain.
    wanted = list({each.names: each for each in map(_wanted, paths)}.values())
    names = {name for each in wanted for name in each.names}
    return [each for each in wanted if not any(_is_below(each.names[0], name) for name in names)]


def _wanted(text: str) -> WantedPath:
    try:
        literal = text.encode("utf-8")
    except UnicodeEncodeError as exc:
        raise _invalid(f"{text!r} is no file name: write bytes that are no UTF-8 as \\377") from exc
    names = dict.fromkeys(_normal(os.fsdecode(name), text) for name in (literal, raw(text)))
    return WantedPath(text, tuple(names))


def _normal(name: str, text: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise _invalid(f"{text!r} is not a path below the root of the tree, such as reports/2026")
    if "\0" in name or len(os.fsencode(name)) > _MAX_PATH_BYTES or path.parts[0].startswith(MARK):
        raise _invalid(f"{readable(name)[:100]} is no path of a tree")
    return str(path)


def _is_below(name: str, other: str) -> bool:
    return name.startswith(f"{other}/")


def _invalid(message: str) -> InvalidInput:
    return InvalidInput("input.invalid", f"paths: {message}", field="paths")


@contextmanager
def selecting(wanted: Sequence[WantedPath]) -> Iterator[tuple[list[str], list[int]]]:
    """(arguments, descriptors to pass) that make tar extract these and the directories above them, and nothing else."""
    names = [name for each in wanted for name in each.names]
    above = {parent for name in names for parent in map(str, PurePosixPath(name).parents)}
    lists = [_list_of(sorted(above)), _list_of(names)]
    parents, selected = (f"--files-from=/proc/self/fd/{fd}" for fd in lists)
    try:
        # What is read after --null is taken literally, whatever a name looks like.
        literally = ["--null", "--no-wildcards", "--anchored"]
        yield [*literally, "--no-recursion", parents, "--recursion", selected], lists
    finally:
        for fd in lists:
            os.close(fd)


def _list_of(names: Sequence[str]) -> int:
    fd = os.memfd_create("names")
    with open(fd, "wb", closefd=False) as file:
        file.writelines(b"./" + os.fsencode(name) + b"\0" if name != "." else b".\0" for name in names)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd
