"""Our files open elsewhere and theirs open here: the `age` program (Go) and the rage library (Rust).

These tests do not skip: without the `age` program nobody has shown that a backup opens without our code.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pyrage  # type: ignore[import-untyped]
import pytest

from contracts.age import (
    CHUNK_SIZE,
    BadKey,
    Identity,
    Recipient,
    make_header,
    unwrap_file_key,
)
from tests.contracts.age.samples import HOLDER, READER, STRANGER, decrypted, encrypted, header_of

SIZES = [0, 1, CHUNK_SIZE - 1, CHUNK_SIZE, CHUNK_SIZE + 1, 5 * CHUNK_SIZE + 17]


def content(size: int) -> bytes:
    return (b"The quick brown fox jumps over the lazy dog. " * (size // 45 + 1))[:size]


def age(*arguments: str, stdin: bytes = b"") -> bytes:
    return subprocess.run(["age", *arguments], input=stdin, stdout=subprocess.PIPE, check=True, timeout=60).stdout


def identity_file(directory: Path, identity: Identity) -> str:
    path = directory / "identity.txt"
    path.touch(0o600)
    path.write_text(identity.reveal() + "\n")
    return str(path)


@pytest.mark.parametrize("size", SIZES)
def test_the_age_program_opens_our_files(size: int, tmp_path: Path) -> None:
    file = encrypted(content(size), STRANGER, READER)
    assert age("--decrypt", "--identity", identity_file(tmp_path, READER), stdin=file) == content(size)


@pytest.mark.parametrize("size", SIZES)
def test_we_open_files_of_the_age_program(size: int) -> None:
    recipients = [str(identity.recipient) for identity in (STRANGER, HOLDER)]
    file = age("--encrypt", "--recipient", recipients[0], "--recipient", recipients[1], stdin=content(size))
    assert decrypted(file, HOLDER) == content(size)


def test_the_age_program_opens_a_resealed_file_of_its_own(tmp_path: Path) -> None:
    original = age("--encrypt", "--recipient", str(HOLDER.recipient), stdin=content(200_000))
    header = header_of(original)
    resealed = make_header(unwrap_file_key(header, [HOLDER]), [READER.recipient]) + original[header.size :]
    assert age("--decrypt", "--identity", identity_file(tmp_path, READER), stdin=resealed) == content(200_000)


def test_keys_of_age_keygen_are_ours() -> None:
    text = subprocess.run(["age-keygen"], capture_output=True, check=True, timeout=60).stdout.decode()
    identity = Identity.parse(text.splitlines()[-1])
    assert f"# public key: {identity.recipient}" in text.splitlines()
    derived = subprocess.run(
        ["age-keygen", "-y"], input=HOLDER.reveal().encode() + b"\n", capture_output=True, check=True, timeout=60
    )
    assert derived.stdout.decode().strip() == str(HOLDER.recipient)


@pytest.mark.parametrize("size", SIZES)
def test_rage_opens_our_files_and_we_open_those_of_rage(size: int) -> None:
    identity = pyrage.x25519.Identity.from_str(READER.reveal())
    assert pyrage.decrypt(encrypted(content(size), STRANGER, READER), [identity]) == content(size)
    recipients = [pyrage.x25519.Recipient.from_str(str(holder.recipient)) for holder in (STRANGER, HOLDER)]
    assert decrypted(pyrage.encrypt(content(size), recipients), HOLDER) == content(size)


def test_keys_of_rage_are_ours() -> None:
    for _ in range(10):
        theirs = pyrage.x25519.Identity.generate()
        ours = Identity.parse(str(theirs))
        assert ours.reveal() == str(theirs)
        assert str(ours.recipient) == str(theirs.to_public())


def test_what_we_refuse_as_a_key_for_its_checksum_or_case_rage_refuses_too() -> None:
    good = str(HOLDER.recipient)
    for text in (good[:-1] + "q", good[:10] + "q" + good[11:], good[:-1], good + "q", good.replace("e", "E")):
        with pytest.raises(BadKey):
            Recipient.parse(text)
        with pytest.raises(pyrage.RecipientError):
            pyrage.x25519.Recipient.from_str(text)


def test_damage_that_we_refuse_the_age_program_refuses_too(tmp_path: Path) -> None:
    file = bytearray(encrypted(content(2 * CHUNK_SIZE), READER))
    file[-1] ^= 1
    with pytest.raises(subprocess.CalledProcessError):
        age("--decrypt", "--identity", identity_file(tmp_path, READER), stdin=bytes(file))
