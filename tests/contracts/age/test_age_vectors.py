"""The published test vectors of the format (C2SP/CCTV, directory `age/testdata`), where a copy of them is at hand.

Set STRONGROOM_AGE_VECTORS to that directory.  A vector is a few `key: value` lines, a blank line and the file, perhaps
compressed.  What it expects is checked three ways: the kind of the failure, the hash of all plaintext that came out, and
that the parsed header is the one in the file.  Vectors for what Strongroom does not use (passphrases, armor, post-quantum)
are counted in the report, not silently dropped.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from contracts.age import (
    AgeError,
    BadFile,
    Decryptor,
    FileKey,
    HeaderMacMismatch,
    Identity,
    NoIdentityMatches,
    PayloadCorrupt,
    StreamEncryptor,
    Truncated,
    parse_header,
)
from tests.contracts.age.samples import header_of, pieces

VARIABLE = "STRONGROOM_AGE_VECTORS"
EXPECTATIONS = {"success", "no match", "HMAC failure", "header failure", "payload failure", "armor failure"}


class Vector:
    """One file of the collection."""

    def __init__(self, path: Path) -> None:
        head, _, body = path.read_bytes().partition(b"\n\n")
        self.name = path.name
        self.fields = [(key, value) for key, _, value in (line.partition(": ") for line in head.decode().splitlines())]
        self.file = zlib.decompress(body) if self.field("compressed") == "zlib" else body
        assert self.field("compressed") in ("", "zlib")
        assert self.field("expect") in EXPECTATIONS, self.name

    def field(self, key: str) -> str:
        return next((value for name, value in self.fields if name == key), "")

    @property
    def not_ours(self) -> str:
        """Why the vector does not concern us; empty if it does."""
        texts = [value for name, value in self.fields if name == "identity"]
        if self.field("armored"):
            return "armor"
        if self.field("passphrase"):
            return "passphrase"
        return "post-quantum" if texts and all(text.startswith("AGE-SECRET-KEY-PQ-") for text in texts) else ""

    @property
    def identities(self) -> list[Identity]:
        texts = [value for name, value in self.fields if name == "identity"]
        return [Identity.parse(text) for text in texts if not text.startswith("AGE-SECRET-KEY-PQ-")]


def outcome(vector: Vector, bite: int) -> tuple[str, bytes]:
    """What the vector calls what happened, and all plaintext that came out."""
    decryptor, plain = Decryptor(vector.identities), bytearray()
    try:
        for piece in pieces(vector.file, bite):
            plain += decryptor.feed(piece)
        plain += decryptor.finish()
    except NoIdentityMatches:
        return "no match", bytes(plain)
    except HeaderMacMismatch:
        return "HMAC failure", bytes(plain)
    except BadFile as exc:
        # The collection counts the nonce as part of the header.
        in_payload = isinstance(exc, PayloadCorrupt) or (isinstance(exc, Truncated) and "final chunk" in str(exc))
        return ("payload failure" if in_payload else "header failure"), bytes(plain)
    return "success", bytes(plain)


def check(vector: Vector) -> None:
    for bite in (1, 1000, 10**7) if len(vector.file) < 2000 else (997, 65552, 70_001, 10**7):
        kind, plain = outcome(vector, bite)
        assert kind == vector.field("expect"), (vector.name, bite)
        if vector.field("payload"):
            assert hashlib.sha256(plain).hexdigest() == vector.field("payload"), (vector.name, bite)
        else:
            assert plain == b"", (vector.name, bite)
    if vector.field("expect") == "header failure":
        return
    header = header_of(vector.file)
    rebuilt = b"".join([b"age-encryption.org/v1\n", *(stanza.encode() for stanza in header.stanzas), b"---"])
    assert vector.file.startswith(rebuilt), vector.name
    if vector.field("expect") == "success":
        file_key = FileKey(bytes.fromhex(vector.field("file key")))
        start = header.size + 16
        opened = Decryptor.with_file_key(file_key)
        plain = opened.feed(vector.file) + opened.finish()
        again = StreamEncryptor(file_key, vector.file[header.size : start])
        assert again.update(plain) + again.finish() == vector.file[start:], vector.name


def test_the_published_vectors_come_out_as_expected(record_property: Callable[[str, object], None]) -> None:
    directory = os.environ.get(VARIABLE)
    if not directory:
        pytest.skip(f"THE PUBLISHED AGE VECTORS WERE NOT RUN: set {VARIABLE} to a copy of C2SP/CCTV age/testdata")
    vectors = [Vector(path) for path in sorted(Path(directory).iterdir()) if path.is_file()]
    skipped = Counter(vector.not_ours for vector in vectors if vector.not_ours)
    ours = [vector for vector in vectors if not vector.not_ours]
    for vector in ours:
        check(vector)
    for reason, count in skipped.items():
        record_property(f"vectors not run: {reason}", count)
    record_property("vectors run", len(ours))
    print(f"{len(ours)} vectors run; not run: {dict(skipped)}")  # noqa: T201 - the count is the evidence
    assert len(ours) >= 68, "the directory does not hold the collection"


def test_headers_of_the_vectors_we_cannot_open_are_judged_alike() -> None:
    """What is not addressed to us still has to be a header: parsed if another reader opens it, whoever that is."""
    directory = os.environ.get(VARIABLE)
    if not directory:
        pytest.skip(f"THE PUBLISHED AGE VECTORS WERE NOT RUN: set {VARIABLE} to a copy of C2SP/CCTV age/testdata")
    for path in sorted(Path(directory).iterdir()):
        vector = Vector(path)
        if vector.not_ours in ("passphrase", "post-quantum"):
            if vector.field("expect") != "header failure":
                assert parse_header(vector.file) is not None, vector.name
            with pytest.raises(AgeError):
                Decryptor([Identity.generate()]).feed(vector.file)
