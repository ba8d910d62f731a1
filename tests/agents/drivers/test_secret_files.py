"""Secrets that a connection names by file."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.drivers.secret_files import Secret, read_secret
from contracts.errors import InvalidInput


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        (b"s3cr3t", "s3cr3t"),
        (b"s3cr3t\n", "s3cr3t"),
        (b"s3cr3t\r\n", "s3cr3t"),
        (b" with spaces \n", " with spaces "),
        (b"two\nlines\n\n", "two\nlines\n"),
        ("pässwörd\n".encode(), "pässwörd"),
    ],
)
def test_the_line_break_at_the_end_is_no_part_of_it(tmp_path: Path, content: bytes, secret: str) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    assert read_secret(str(path), "password_file").reveal() == secret


def test_it_is_read_anew_each_time(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("old")
    read_secret(str(path), "password_file")
    path.write_text("new")
    assert read_secret(str(path), "password_file").reveal() == "new"


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\n"])
def test_an_empty_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match="is empty") as caught:
        read_secret(str(path), "api_key_file")
    assert caught.value.field == "connection.api_key_file"


def test_what_cannot_be_read_is_told_without_its_content(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"geheim\xff")
    for name in ("missing", "", "latin", "a\0b"):
        with pytest.raises(InvalidInput) as caught:
            read_secret(str(tmp_path / name), "password_file")
        assert caught.value.code == "config.invalid"
        assert caught.value.message.startswith("connection.password_file: ")
        assert "geheim" not in f"{caught.value.message} {caught.value.detail}"


def test_it_shows_itself_to_nobody() -> None:
    secret = Secret("s3cr3t")
    shown = [repr(secret), str(secret), f"{secret}", f"{secret!r:>20}", f"{[secret]}", "%s" % secret]  # noqa: UP031
    assert not any("s3cr3t" in each for each in shown)
    assert secret.reveal() == "s3cr3t"
    assert not hasattr(secret, "__dict__")


def test_it_is_hidden_wherever_a_text_has_it() -> None:
    assert Secret("s3cr3t").hide_in("user:s3cr3t@host s3cr3t") == "user:…@host …"
    assert Secret("").hide_in("nothing to hide") == "nothing to hide"
