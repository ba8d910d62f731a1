"""Streams of a given size, cheaply made: blocks in a file are written again and again by a program that does little else."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

_BLOCK = 1024 * 1024
_BLOCKS = 32
"""More than the window of zstd's usual levels, so that no block is found again."""


def stream_command(directory: Path, mib: int, percent_random: int) -> list[str]:
    """A program that writes so many MiB of text-like bytes, so many percent of which are random."""
    source = directory / f"blocks-{percent_random}"
    if not source.exists():
        source.write_bytes(b"".join(_blocks(percent_random)))
    return [sys.executable, "-I", "-S", __file__, str(source), str(mib)]


def _blocks(percent_random: int) -> list[bytes]:
    dice = random.Random(7)  # noqa: S311 - the same data each time
    words = [b"%x" % dice.getrandbits(28) for _ in range(400)]
    found = []
    for _ in range(_BLOCKS):
        cut = _BLOCK * percent_random // 100
        text = b" ".join(dice.choices(words, k=(_BLOCK - cut) // 6))
        found.append((dice.randbytes(cut) + text + bytes(_BLOCK))[:_BLOCK])
    return found


def _write(source: str, mib: int) -> None:
    blocks = Path(source).read_bytes()
    for number in range(mib):
        at = number % _BLOCKS * _BLOCK
        view = memoryview(blocks)[at : at + _BLOCK]
        while view:
            view = view[os.write(1, view) :]


if __name__ == "__main__":
    _write(sys.argv[1], int(sys.argv[2]))
