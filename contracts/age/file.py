"""Whole age files, encrypted and decrypted as they stream."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Final, Self

from contracts.age.decryptor import StreamDecryptor
from contracts.age.encryptor import StreamEncryptor
from contracts.age.errors import AgeError, Truncated
from contracts.age.file_key import NONCE_SIZE, FileKey
from contracts.age.header import (
    MAC_MARK,
    MAX_HEADER_SIZE,
    ParsedHeader,
    has_version_line,
    make_header,
    parse_header,
    unwrap_file_key,
)
from contracts.age.keys import Identity, Recipient
from contracts.age.stream import BytesLike, Progress, flat, flat_writable

_BITE: Final = 4096
"""Bytes taken at once while the header is read.  What is left over when the payload begins is less than a chunk."""


class Encryptor:
    """One new age file.  Its bytes are `preamble`, then what the update calls give, then what the finish calls give.

    `update_into` and `finish_into` are for large data, `update` and `finish` for small; the four may be mixed.
    """

    def __init__(self, recipients: Sequence[Recipient], *, file_key: FileKey | None = None) -> None:
        """`file_key` is made fresh; give one only if it was made for this very file and must be sealed elsewhere too.

        Raises: BadRecipients if there are none or more than a header can hold.
        """
        file_key = file_key or FileKey.generate()
        nonce = secrets.token_bytes(NONCE_SIZE)
        self.header = make_header(file_key, recipients)
        """From the version line to the end of the MAC line."""
        self.preamble = self.header + nonce
        """Header and payload nonce: the first bytes of the file.  The update calls do not repeat them."""
        self._payload = StreamEncryptor(file_key, nonce)

    def update_into(self, data: BytesLike, out: bytearray | memoryview) -> Progress:
        """Seal `data` into `out` until one of them is used up: `StreamEncryptor.update_into`, with an example."""
        return self._payload.update_into(data, out)

    def finish_into(self, out: bytearray | memoryview) -> tuple[int, bool]:
        """Seal the final chunk into `out`: bytes written, and whether that was all.  `StreamEncryptor.finish_into`."""
        return self._payload.finish_into(out)

    def update(self, data: BytesLike) -> bytes:
        """The sealed chunks that `data` completes; often nothing."""
        return self._payload.update(data)

    def finish(self) -> bytes:
        """The final sealed chunk.  Without it the file is no valid age file."""
        return self._payload.finish()


class Decryptor:
    """Opens one age file from its first byte on.  Only authentic plaintext comes out; only `finish` shows it is complete.

    Until then a caller may use what came out for work that can be undone, and must undo it if an error follows.
    Memory: MAX_HEADER_SIZE at most while the header is read, then that of `StreamDecryptor`.
    After an error every further call raises it again.
    """

    def __init__(self, identities: Sequence[Identity], *, file_key: FileKey | None = None) -> None:
        self._identities = tuple(identities)
        self._file_key = file_key
        self._head = bytearray()
        self._searched = 0
        self._header: ParsedHeader | None = None
        self._payload: StreamDecryptor | None = None
        self._failure: Exception | None = None

    @classmethod
    def with_file_key(cls, file_key: FileKey) -> Self:
        """For a whole file whose file key is known.  The header's stanzas are not opened, its MAC is checked."""
        return cls((), file_key=file_key)

    @property
    def header(self) -> ParsedHeader | None:
        """The header once it was read and its MAC has been checked, None before."""
        return self._header

    def feed_into(self, data: BytesLike, out: bytearray | memoryview) -> Progress:
        """Open `data` into `out` until one of them is used up: `StreamDecryptor.feed_into`.

        Raises: any AgeError but BadKey and BadRecipients; Truncated only from the finish calls.
        """
        source, target = flat(data), flat_writable(out)
        taken, payload = self._begin(source)
        if payload is None:
            return Progress(taken, 0)
        done = payload.feed_into(source[taken:], target)
        return Progress(taken + done.consumed, done.produced)

    def finish_into(self, out: bytearray | memoryview) -> tuple[int, bool]:
        """The rest into `out`: bytes written, and whether the file is complete and authentic to its end.

        If it is not yet known, call again with new room.
        Raises: Truncated, PayloadCorrupt, or the error that an earlier call raised or held back.
        """
        return self._finishing().finish_into(out)

    def feed(self, data: BytesLike) -> bytes:
        """The plaintext that `data` completes; often nothing.  One more copy than `feed_into`, with the same errors."""
        source = flat(data)
        taken, payload = self._begin(source)
        return b"" if payload is None else payload.feed(source[taken:])

    def finish(self) -> bytes:
        """The last plaintext: the file is complete and authentic to its end.  Raises: as `finish_into`."""
        return self._finishing().finish()

    def _begin(self, source: memoryview) -> tuple[int, StreamDecryptor | None]:
        """Bytes of `source` that the header and the nonce needed, and the payload if it has begun."""
        if self._failure is not None:
            raise self._failure
        taken = 0
        try:
            while self._payload is None and taken < len(source):
                bite = source[taken : taken + _BITE]
                self._head += bite
                taken += len(bite)
                self._try_to_begin()
        except Exception as exc:
            self._failure = exc
            raise
        return taken, self._payload

    def _try_to_begin(self) -> None:
        if self._header is None:
            header = self._parse_header()
            if header is None:
                return
            self._file_key = self._unlock(header)
            self._header = header
        start = self._header.size + NONCE_SIZE
        if len(self._head) < start or self._file_key is None:
            return
        head = bytes(self._head)
        self._head.clear()
        self._payload = StreamDecryptor(self._file_key, head[self._header.size : start])
        self._file_key = None
        self._payload.feed(memoryview(head)[start:])  # less than a chunk: nothing can come out

    def _parse_header(self) -> ParsedHeader | None:
        """Parse once the MAC line is here: parsing at every input would take quadratic time for a header that drips in."""
        if not has_version_line(self._head):
            return None
        # Neither stanza lines nor body lines can begin with `---`, so the first line that does ends the header.
        mark = self._head.find(b"\n" + MAC_MARK, self._searched)
        self._searched = mark if mark >= 0 else max(0, len(self._head) - len(MAC_MARK))
        mac_line_is_here = mark >= 0 and self._head.find(b"\n", mark + 1) >= 0
        return parse_header(self._head) if mac_line_is_here or len(self._head) >= MAX_HEADER_SIZE else None

    def _unlock(self, header: ParsedHeader) -> FileKey:
        if self._file_key is None:
            return unwrap_file_key(header, self._identities)
        header.verify(self._file_key)
        return self._file_key

    def _finishing(self) -> StreamDecryptor:
        """The payload, or the error why there is none; damage before the end explains more than the end itself."""
        if self._payload is not None:
            return self._payload
        if self._failure is None:
            where = "header" if self._header is None else "payload nonce"
            self._failure = Truncated(f"the file ends inside its {where}")
            try:
                if self._header is None:
                    parse_header(self._head)
            except AgeError as exc:
                self._failure = exc
        raise self._failure
