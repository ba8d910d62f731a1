"""A Meilisearch dump as it flows by: whether it is whole, and how many documents it holds.

A dump is a gzip-compressed tar archive (GNU headers).  Its own end marks alone do not prove it: Meilisearch drops an error
of the last flush of an index's documents, so a full temporary directory leaves a whole archive of a part of them.  So the
lines of each `indexes/<uid>/documents.jsonl` are counted, one per document, and the last one has to be ended.
"""

from __future__ import annotations

import re
import tarfile
import zlib
from dataclasses import dataclass, field
from typing import Final

import msgspec

_PIECE_BYTES: Final = 1024 * 1024
"""Decompressed at once, however well the dump is compressed."""
_BLOCK: Final = tarfile.BLOCKSIZE
_GZIP: Final = 16 + zlib.MAX_WBITS
_MAX_KEPT_BYTES: Final = 1024 * 1024
"""Of members whose content is needed: metadata and long names have a few hundred bytes."""
_EXTENDED_AT: Final = 482
"""In a header of a sparse file: whether a block of further offsets follows; in such a block it is at 504."""
_NEXT_EXTENDED_AT: Final = 504
_INDEX_FILE: Final = re.compile(r"indexes/([^/]+)/(metadata\.json|settings\.json|documents\.jsonl)")
_INDEX_FILES: Final = frozenset({"metadata.json", "settings.json", "documents.jsonl"})
_UPDATE_FILE: Final = re.compile(r"tasks/update_files/[^/]+\.jsonl")
_PAX_RECORD: Final = re.compile(rb"[0-9]+ (path|size)=([^\n]*)\n")


class BrokenDump(Exception):
    """It is no whole dump; the text says what is wrong with it."""


class DumpMetadata(msgspec.Struct, frozen=True, rename="camel"):
    """`metadata.json`."""

    dump_version: str
    """Such as `V6`."""
    db_version: str
    """The Meilisearch that wrote it, such as `1.15.2`."""


@dataclass(frozen=True, kw_only=True)
class DumpContents:
    """What a whole dump holds."""

    metadata: DumpMetadata
    documents: dict[str, int]
    """By index; internal indexes of Meilisearch (`.meili…`) are left out, as in its own statistics."""
    pending_updates: int
    """Writes that were accepted but not yet done; a Meilisearch that imports the dump does them."""


@dataclass
class _Index:
    files: set[str] = field(default_factory=set)
    documents: int = 0


class DumpWalk:
    """`feed` it all bytes of a dump, then ask `finish`.  Holds a few MiB at most."""

    def __init__(self) -> None:
        self._gzip = zlib.decompressobj(_GZIP)
        self._tar = _TarWalk()

    def feed(self, data: bytes) -> None:
        """Raises: BrokenDump."""
        is_full = True
        while (data or is_full) and not self._gzip.eof:
            try:
                plain = self._gzip.decompress(data, _PIECE_BYTES)
            except zlib.error as exc:
                raise BrokenDump(f"its compression is broken: {exc}") from exc
            self._tar.feed(plain)
            data = self._gzip.unconsumed_tail
            is_full = len(plain) == _PIECE_BYTES  # there may be more of what it was given before
        if data or self._gzip.unused_data:
            raise BrokenDump("there are bytes after its end")

    def finish(self) -> DumpContents:
        """Raises: BrokenDump."""
        if not self._gzip.eof:
            raise BrokenDump("it ends in the middle")
        return self._tar.finish()


class _TarWalk:
    """The archive inside."""

    def __init__(self) -> None:
        self._header = bytearray()
        self._extended = False
        """Whether the next block belongs to the header of a sparse file."""
        self._payload = 0
        """Bytes of the member that are still to come."""
        self._padding = 0
        self._ended = False
        self._type = b""
        self._name = ""
        self._last_byte = b""
        self._kept: bytearray | None = None
        self._long_name: str | None = None
        self._long_size: int | None = None
        self._indexes: dict[str, _Index] = {}
        self._metadata: DumpMetadata | None = None
        self._pending_updates = 0

    def feed(self, data: bytes) -> None:
        position = 0
        while position < len(data):
            if self._payload and not self._extended:
                end = min(len(data), position + self._payload)
                self._take(data, position, end)
                self._payload -= end - position
                if not self._payload:
                    self._end_member()
            elif self._padding and not self._extended:
                end = min(len(data), position + self._padding)
                self._padding -= end - position
            else:
                end = min(len(data), position + _BLOCK - len(self._header))
                self._header += data[position:end]
                if len(self._header) == _BLOCK:
                    block = bytes(self._header)
                    self._header.clear()
                    self._begin_member(block)
            position = end

    def finish(self) -> DumpContents:
        if not self._ended or self._header:
            raise BrokenDump("the archive in it has no end")
        if self._metadata is None:
            raise BrokenDump("it has no metadata.json")
        for uid, index in self._indexes.items():
            if missing := _INDEX_FILES - index.files:
                raise BrokenDump(f"{min(missing)} of index {uid!r} is not in it")
        counts = {uid: index.documents for uid, index in sorted(self._indexes.items()) if not uid.startswith(".meili")}
        return DumpContents(metadata=self._metadata, documents=counts, pending_updates=self._pending_updates)

    def _begin_member(self, block: bytes) -> None:
        if self._ended:
            if any(block):
                raise BrokenDump("there are entries after the end of the archive in it")
            return
        if self._extended:
            self._extended = bool(block[_NEXT_EXTENDED_AT])
        elif not any(block):
            self._ended = True
            return
        else:
            self._read_header(block)
        if not self._extended and not self._payload:
            self._end_member()

    def _read_header(self, block: bytes) -> None:
        try:
            header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError as exc:
            raise BrokenDump(f"an entry of the archive in it is broken: {exc}") from exc
        self._type, size = header.type, header.size
        name = header.name
        if self._type not in _DESCRIBING:
            name, size = self._long_name or name, size if self._long_size is None else self._long_size
            self._long_name = self._long_size = None
        if header.isdir() or header.issym() or header.islnk():
            size = 0
        self._name = name.removeprefix("./")
        self._payload, self._padding = size, -size % _BLOCK
        self._extended = self._type == tarfile.GNUTYPE_SPARSE and bool(block[_EXTENDED_AT])
        self._last_byte = b"\n"
        self._kept = bytearray() if self._type in _DESCRIBING or self._name == "metadata.json" else None
        if self._kept is not None and size > _MAX_KEPT_BYTES:
            raise BrokenDump(f"the entry {self._name[:100]!r} of the archive in it is too large")

    def _take(self, data: bytes, start: int, end: int) -> None:
        if self._kept is not None:
            self._kept += data[start:end]
        elif (match := _INDEX_FILE.fullmatch(self._name)) and match[2] == "documents.jsonl":
            self._indexes.setdefault(match[1], _Index()).documents += data.count(b"\n", start, end)
            self._last_byte = data[end - 1 : end]

    def _end_member(self) -> None:
        kept, self._kept = self._kept, None
        if self._type in _DESCRIBING:
            self._describe(bytes(kept or b""))
        elif self._name == "metadata.json":
            try:
                self._metadata = msgspec.json.decode(bytes(kept or b""), type=DumpMetadata)
            except msgspec.DecodeError as exc:
                raise BrokenDump(f"its metadata.json cannot be understood: {exc}") from exc
        elif match := _INDEX_FILE.fullmatch(self._name):
            self._indexes.setdefault(match[1], _Index()).files.add(match[2])
            if self._last_byte != b"\n":
                raise BrokenDump(f"the documents of index {match[1]!r} end in the middle of one")
        elif _UPDATE_FILE.fullmatch(self._name):
            self._pending_updates += 1

    def _describe(self, payload: bytes) -> None:
        """An entry that holds the name or size of the next one."""
        if self._type == tarfile.GNUTYPE_LONGNAME:
            self._long_name = payload.rstrip(b"\0").decode(errors="surrogateescape")
        elif self._type == tarfile.XHDTYPE:
            for name, value in _PAX_RECORD.findall(payload):
                if name == b"path":
                    self._long_name = value.decode(errors="surrogateescape")
                elif value.isdigit():
                    self._long_size = int(value)


_DESCRIBING: Final = frozenset(
    {tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE}
)
