"""File names as text: readable, and the same that tar prints."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.drivers.shared_storage.names import from_tar, raw, readable
from tests.agents.drivers.shared_storage.trees import ODD_NAMES
from tests.servers.tools import tool


@given(st.binary(min_size=1, max_size=40).filter(lambda name: b"\0" not in name))
def test_every_name_comes_back_from_its_text(name: bytes) -> None:
    text = readable(name)
    assert raw(text) == name
    assert json.loads(json.dumps(text).encode()) == text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (b"plain", "plain"),
        ("größe".encode(), "größe"),
        (b"a\nb", "a\\nb"),
        (b"a\\b", "a\\\\b"),
        (b"\xff", "\\377"),
        (b"\x1b[31m", "\\033[31m"),
        ("\u202e".encode(), "\\342\\200\\256"),
    ],
)
def test_only_what_would_be_misread_is_written_in_another_way(name: bytes, text: str) -> None:
    assert readable(name) == text


def test_what_is_no_notation_stays_as_it_is() -> None:
    assert raw("50\\% \\400 \\") == b"50\\% \x00 \\"


def test_the_names_that_tar_prints_are_read(tmp_path: Path) -> None:
    for name in ODD_NAMES:
        Path(f"{tmp_path}/{name.decode(errors='surrogateescape')}").touch()
    command = [tool("tar"), "-c", "--quoting-style=escape", "-v", "-f", "/dev/null", "-C", str(tmp_path), "."]
    listed = subprocess.run(command, env={"LC_ALL": "C"}, stdout=subprocess.PIPE, check=True)
    names = [from_tar(line) for line in listed.stdout.decode().splitlines()]
    assert sorted(names) == sorted(["./", *(f"./{readable(name)}" for name in ODD_NAMES)])
