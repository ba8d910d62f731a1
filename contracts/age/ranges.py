"""Any part of the plaintext from the fewest bytes of the file: for downloads of a range, without I/O.

reader = PayloadReader(file_key, nonce, file_size=…, header_size=…)
span = reader.span(offset, length)
fetch span.file_offset to span.file_offset + span.file_bytes from the bucket
plain = reader.open(span, fetched)
"""

from __future__ import annotations

from dataclasses import dataclass

from contracts.age.errors import PayloadCorrupt
from contracts.age.file_key import NONCE_SIZE, FileKey
from contracts.age.sizes import CHUNK_SIZE, SEALED_CHUNK_SIZE, chunk_count, plaintext_size
from contracts.age.stream import BytesLike, ChunkCipher, flat


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkSpan:
    """The chunks that hold a range of plaintext, and where they lie in the file."""

    first_index: int
    count: int
    file_offset: int
    """From the first byte of the file's own header."""
    file_bytes: int
    skip: int
    """Bytes of plaintext in the first chunk before the range."""
    length: int
    """Bytes of plaintext in the range."""


class PayloadReader:
    """Opens chunks of one payload in any order.  Calls from several threads are fine.

    Each range is authentic for its place.  That the file as a whole has its right length is shown by opening
    `final_span()`, and by nothing else: do so before trusting `plain_size` (an offset from the end, a progress bar, "read
    to the end").  Where only a part is read, a reader of the part learns nothing false without it.
    """

    def __init__(self, file_key: FileKey, nonce: bytes, *, file_size: int, header_size: int) -> None:
        """`nonce` is `file[header_size : header_size + 16]`; both sizes in bytes.

        Raises: BadKey unless `nonce` is 16 bytes; Truncated or PayloadCorrupt if no valid file has this size.
        """
        self.plain_size = plaintext_size(file_size, header_size)
        self.chunk_count = chunk_count(self.plain_size)
        self._cipher = ChunkCipher(file_key, nonce)
        self._file_size = file_size
        self._payload_offset = header_size + NONCE_SIZE

    def span(self, offset: int, length: int) -> ChunkSpan:
        """What to fetch for `length` bytes of plaintext from `offset` on.  Raises: ValueError beyond `plain_size`."""
        if offset < 0 or length < 0 or offset + length > self.plain_size:
            raise ValueError(f"{length} bytes from {offset} on are not within the {self.plain_size} bytes of plaintext")
        first = offset // CHUNK_SIZE
        count = chunk_count(offset + length) - first if length else 0
        return self._span(first, count, skip=offset % CHUNK_SIZE, length=length)

    def final_span(self) -> ChunkSpan:
        """The whole final chunk, also where it is empty.  If it opens, the file has its right length."""
        last = self.chunk_count - 1
        return self._span(last, 1, skip=0, length=self.plain_size - last * CHUNK_SIZE)

    def open(self, span: ChunkSpan, sealed: BytesLike) -> bytes:
        """The plaintext of `span`, given exactly its bytes of the file.

        Raises: PayloadCorrupt if any chunk is not authentic at its place, or `sealed` has another size than asked for.
        """
        source = flat(sealed)
        if len(source) != span.file_bytes:
            raise PayloadCorrupt(
                f"{len(source)} bytes instead of {span.file_bytes} for the chunks from {span.first_index} on",
                chunk_index=span.first_index,
            )
        plain = memoryview(bytearray(span.count * CHUNK_SIZE))
        for i in range(span.count):
            chunk = source[i * SEALED_CHUNK_SIZE : (i + 1) * SEALED_CHUNK_SIZE]
            self._open_into(span.first_index + i, chunk, plain[i * CHUNK_SIZE :])
        return bytes(plain[span.skip : span.skip + span.length])

    def open_chunk(self, index: int, sealed: BytesLike) -> bytes:
        """The plaintext of chunk `index`, whose place tells whether it must be the final one.

        Raises: PayloadCorrupt; ValueError for an index beyond the file.
        """
        if not 0 <= index < self.chunk_count:
            raise ValueError(f"the file has {self.chunk_count} chunks, none with index {index}")
        plain = memoryview(bytearray(CHUNK_SIZE))
        return bytes(plain[: self._open_into(index, flat(sealed), plain)])

    def _open_into(self, index: int, sealed: memoryview, plain: memoryview) -> int:
        return self._cipher.open_into(index, sealed, plain, last=index == self.chunk_count - 1)

    def _span(self, first: int, count: int, *, skip: int, length: int) -> ChunkSpan:
        file_offset = self._payload_offset + first * SEALED_CHUNK_SIZE
        file_bytes = min(count * SEALED_CHUNK_SIZE, self._file_size - file_offset)
        return ChunkSpan(
            first_index=first, count=count, file_offset=file_offset, file_bytes=file_bytes, skip=skip, length=length
        )
