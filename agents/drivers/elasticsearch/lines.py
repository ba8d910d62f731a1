"""The lines of the files that an artifact holds: those of the program `elasticdump`, both ways.  Pure.

What describes something (an index, templates, policies) is one line with a JSON *string* that holds JSON; a document is a
line with the hit of a search.  JSON of others is passed on as bytes: a number that is parsed may not come back as it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from contracts.errors import Corrupt

INDEX_MEMBER: Final = "index.json"
COUNT_MEMBER: Final = "count.json"
"""Last of an index: the number of its documents.  Not one of elasticdump's."""


NO_ROUTING: Final = msgspec.Raw(b"null")


class IndexDefinition(msgspec.Struct, frozen=True, kw_only=True):
    """An index without its documents, as `GET /{index}` shows it."""

    aliases: dict[str, Any] = {}
    mappings: msgspec.Raw = msgspec.Raw(b"{}")
    settings: dict[str, Any] = {}


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """What a restore takes of a hit; the rest of it says where the document was, not what it is."""

    id: msgspec.Raw = msgspec.field(name="_id")
    source: msgspec.Raw = msgspec.field(name="_source")
    routing: msgspec.Raw = msgspec.field(name="_routing", default=NO_ROUTING)


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """The content of `COUNT_MEMBER`."""

    documents: int


_documents: Final = msgspec.json.Decoder(Document)
_indices: Final = msgspec.json.Decoder(dict[str, IndexDefinition])


def described(answer: bytes) -> bytes:
    """A line that describes what the cluster's answer does."""
    return msgspec.json.encode(answer.decode()) + b"\n"


def description(line: bytes) -> bytes:
    """The JSON in such a line; a line with that JSON itself is taken, too.  Raises: Corrupt `artifact.corrupt`."""
    try:
        value = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise Corrupt("artifact.corrupt", f"a description is not JSON: {exc}") from exc
    return value.encode() if isinstance(value, str) else line.strip()


def parse_index(line: bytes) -> IndexDefinition:
    """Raises: Corrupt `artifact.corrupt` when it does not describe exactly one index."""
    try:
        indices = _indices.decode(description(line))
    except msgspec.DecodeError as exc:
        raise Corrupt("artifact.corrupt", f"{INDEX_MEMBER} describes no index: {exc}") from exc
    if len(indices) != 1:
        raise Corrupt("artifact.corrupt", f"{INDEX_MEMBER} describes {len(indices)} indices instead of one")
    return next(iter(indices.values()))


def parse_document(line: bytes, member: str) -> Document:
    """Raises: Corrupt `artifact.corrupt`."""
    try:
        return _documents.decode(line)
    except msgspec.DecodeError as exc:
        raise Corrupt("artifact.corrupt", f"{member} has a line that is no document: {exc}") from exc


def data_member(number: int) -> str:
    return f"data-{number:06}.ndjson"


def is_data(member: str) -> bool:
    """Whether the file holds documents; `data.json` of somebody who packed elasticdump's files does."""
    return member.startswith("data")


def pack_hits(hits: Sequence[msgspec.Raw], limit_bytes: int) -> Iterator[bytes]:
    """The hits as lines, in pieces of at most `limit_bytes`; a hit that is larger is a piece of its own."""
    piece: list[msgspec.Raw] = []
    size = 0
    for hit in hits:
        length = memoryview(hit).nbytes + 1
        if piece and size + length > limit_bytes:
            yield _lines(piece)
            piece, size = [], 0
        piece.append(hit)
        size += length
    if piece:
        yield _lines(piece)


def _lines(hits: list[msgspec.Raw]) -> bytes:
    return b"\n".join([*hits, b""])


def one_line(answer: bytes) -> bytes:
    """JSON without line breaks, which are allowed between its values only: some applications send their documents pretty."""
    if b"\n" in answer or b"\r" in answer:
        return answer.replace(b"\n", b" ").replace(b"\r", b" ")
    return answer
