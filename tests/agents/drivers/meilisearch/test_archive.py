"""What is a whole dump, and what only looks like one.  Pure, but for the archives that GNU tar writes."""

from __future__ import annotations

import gzip
import io
import json
import random
import subprocess
import tarfile
import tracemalloc
from collections.abc import Mapping
from pathlib import Path

import pytest

from agents.drivers.meilisearch.archive import BrokenDump, DumpContents, DumpWalk

METADATA = {"dumpVersion": "V6", "dbVersion": "1.50.0", "dumpDate": "2026-11-22T00:05:12Z"}
LONG_UID = "a" * 200


def index_files(uid: str, documents: bytes) -> dict[str, bytes]:
    return {
        f"indexes/{uid}/documents.jsonl": documents,
        f"indexes/{uid}/metadata.json": b"{}",
        f"indexes/{uid}/settings.json": b"{}",
    }


def files(**more: bytes) -> dict[str, bytes]:
    return {
        "metadata.json": json.dumps(METADATA).encode(),
        "tasks/queue.jsonl": b"{}\n" * 3,
        "tasks/update_files/17.jsonl": b'{"id":1}\n',
        **index_files("movies", b'{"id":1}\n{"id":2}\n'),
        **index_files("EMPTY", b""),
        **index_files(LONG_UID, b'{"id":1,"t":"' + b"x" * 700 + b'"}\n'),
        **index_files(".meili_dsr", b"{}\n"),
        **more,
    }


def packed(content: Mapping[str, bytes], *, prefix: str = "./", form: int = tarfile.GNU_FORMAT) -> bytes:
    """As the program packs it: directories before what is in them."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", format=form) as tar:
        made: set[Path] = set()
        for name, data in content.items():
            for parent in reversed(Path(name).parents):
                if parent not in made:
                    made.add(parent)
                    directory = tarfile.TarInfo(prefix + str(parent))
                    directory.type = tarfile.DIRTYPE
                    tar.addfile(directory)
            member = tarfile.TarInfo(prefix + name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


def walk(data: bytes, step: int = 65536) -> DumpContents:
    walked = DumpWalk()
    for start in range(0, len(data), step):
        walked.feed(data[start : start + step])
    return walked.finish()


@pytest.mark.parametrize("step", [1, 7, 512, 1 << 20])
@pytest.mark.parametrize("prefix", ["./", ""])
@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_whole_dump_tells_its_documents_however_it_arrives(step: int, prefix: str, form: int) -> None:
    contents = walk(packed(files(), prefix=prefix, form=form), step)
    assert contents.documents == {"EMPTY": 0, "movies": 2, LONG_UID: 1}
    assert contents.metadata.dump_version == "V6"
    assert contents.metadata.db_version == "1.50.0"
    assert contents.pending_updates == 1


def test_no_beginning_of_a_dump_is_a_dump() -> None:
    data = packed(files())
    for length in range(len(data)):
        with pytest.raises(BrokenDump):
            walk(data[:length])


def test_no_dump_with_a_flipped_bit_is_a_dump_of_something_else() -> None:
    """Some bits say nothing, such as the time in the header of gzip, or which of two equal runs of zeros is repeated."""
    data = packed(files())
    whole, refused = walk(data), 0
    positions = range(0, len(data) * 8, 13)
    for position in positions:
        flipped = bytearray(data)
        flipped[position // 8] ^= 1 << position % 8
        try:
            assert walk(bytes(flipped)) == whole
        except BrokenDump:
            refused += 1
    assert refused > 0.8 * len(positions)


def test_an_archive_that_ends_early_inside_a_whole_compression_is_no_dump() -> None:
    plain = gzip.decompress(packed(files()))
    with pytest.raises(BrokenDump, match="the archive in it has no end"):
        walk(gzip.compress(plain[: plain.rindex(b"}\n") // 512 * 512 + 512]))


def test_documents_that_end_in_the_middle_are_found() -> None:
    """What a full file system leaves when the error of the last flush is dropped."""
    with pytest.raises(BrokenDump, match="documents of index 'movies' end in the middle of one"):
        walk(packed(files(**index_files("movies", b'{"id":1}\n{"id":'))))


@pytest.mark.parametrize("missing", ["metadata.json", "indexes/movies/documents.jsonl", "indexes/EMPTY/settings.json"])
def test_a_file_that_is_missing_is_named(missing: str) -> None:
    content = files()
    del content[missing]
    with pytest.raises(BrokenDump, match=missing.rpartition("/")[2]):
        walk(packed(content))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "ends in the middle"),
        (b"{}", "compression is broken"),
        (gzip.compress(b"no archive" * 200), "broken"),
        (packed(files()) + b"\n", "bytes after its end"),
        (packed(files()) + packed(files()), "bytes after its end"),
        (packed(files(**{"metadata.json": b"[]"})), "metadata.json cannot be understood"),
        (packed(files(**{"metadata.json": b" " * (2 << 20)})), "too large"),
    ],
    ids=["nothing", "no gzip", "no tar", "a byte more", "two dumps", "odd metadata", "large metadata"],  # data have a time
)
def test_what_is_no_dump_is_said_to_be_none(data: bytes, words: str) -> None:
    with pytest.raises(BrokenDump, match=words):
        walk(data)


def test_bytes_after_the_end_are_found_when_they_come_alone() -> None:
    walked = DumpWalk()
    walked.feed(packed(files()))
    walked.feed(b"")
    with pytest.raises(BrokenDump, match="bytes after its end"):
        walked.feed(b"\0")


def test_entries_after_the_end_of_the_archive_are_found() -> None:
    plain = gzip.decompress(packed(files()))
    with pytest.raises(BrokenDump, match="entries after the end"):
        walk(gzip.compress(plain + plain))


def test_a_dump_with_sparse_files_is_read(tmp_path: Path) -> None:
    """The program's archiver writes files with holes as such: here with more pieces than a header has room for.

    It is none of those that count: documents have no zeros.
    """
    index = tmp_path / "indexes" / "movies"
    index.mkdir(parents=True)
    (tmp_path / "metadata.json").write_text(json.dumps(METADATA))
    (index / "metadata.json").write_text("{}")
    (index / "settings.json").write_text("{}")
    (index / "documents.jsonl").write_bytes(b"{}\n" * 40)
    with (tmp_path / "aaa").open("wb") as file:
        for number in range(40):
            file.seek(number * 200_000)
            file.write(b'{"id":%d}\n' % number)
    pack = ["tar", "--create", "--gzip", "--sparse", "--format=gnu", "--directory", str(tmp_path), "./aaa", "."]
    data = subprocess.run(pack, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        first = tar.next()
        assert first is not None
        assert first.issparse()
    assert walk(data, 1000).documents == {"movies": 40}


def test_a_dump_that_is_compressed_extremely_well_is_walked_in_little_memory() -> None:
    """60 MB of documents in 60 kB."""
    out = io.BytesIO()
    line = b'{"id":1,"t":"' + b"x" * 100_000 + b'"}\n'
    with tarfile.open(fileobj=out, mode="w:gz", format=tarfile.GNU_FORMAT) as tar:
        member = tarfile.TarInfo("./indexes/movies/documents.jsonl")
        member.size = 600 * len(line)
        tar.addfile(member, _Repeated(line))
        for name, data in {**files(), **index_files("movies", b"")}.items():
            if name != "indexes/movies/documents.jsonl":
                other = tarfile.TarInfo("./" + name)
                other.size = len(data)
                tar.addfile(other, io.BytesIO(data))
    data = out.getvalue()
    tracemalloc.start()
    try:
        assert walk(data, step=1 << 20).documents["movies"] == 600
        assert tracemalloc.get_traced_memory()[1] < 12 << 20
    finally:
        tracemalloc.stop()


class _Repeated(io.RawIOBase):
    def __init__(self, line: bytes) -> None:
        self._line = line
        self._left = b""

    def read(self, size: int = -1) -> bytes:
        while len(self._left) < size:
            self._left += self._line
        taken, self._left = self._left[:size], self._left[size:]
        return taken


def test_random_bytes_are_never_a_dump() -> None:
    noise = random.Random(1)  # noqa: S311  # the same each time
    for _ in range(200):
        with pytest.raises(BrokenDump):
            walk(gzip.compress(noise.randbytes(noise.randrange(2000))))
