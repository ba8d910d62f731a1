"""The age v1 file format for X25519 recipients, without I/O: https://age-encryption.org/v1

`Encryptor` and `Decryptor` handle whole files as they stream; `parse_header`, `unwrap_file_key` and `make_header` hand a
file over to another reader; `PayloadReader` opens ranges; the size functions are pure arithmetic.  "Source" in docstrings
names the section of the specification.  Not supported: ASCII armor, passphrases, post-quantum and plugin recipients; their
stanzas are skipped, as the format demands of stanzas that a reader does not know.
"""

from contracts.age.decryptor import StreamDecryptor
from contracts.age.encryptor import StreamEncryptor
from contracts.age.errors import (
    AgeError,
    BadFile,
    BadKey,
    BadRecipients,
    HeaderMacMismatch,
    LowOrderPoint,
    Malformed,
    NoIdentityMatches,
    Oversized,
    PayloadCorrupt,
    TrailingData,
    Truncated,
    UnsupportedVersion,
)
from contracts.age.file import Decryptor, Encryptor
from contracts.age.file_key import FILE_KEY_SIZE, NONCE_SIZE, FileKey
from contracts.age.header import (
    MAX_HEADER_SIZE,
    ParsedHeader,
    header_size,
    make_header,
    parse_header,
    unwrap_file_key,
)
from contracts.age.keys import Identity, Recipient
from contracts.age.ranges import ChunkSpan, PayloadReader
from contracts.age.sizes import (
    CHUNK_SIZE,
    SEALED_CHUNK_SIZE,
    TAG_SIZE,
    chunk_count,
    ciphertext_size,
    plaintext_size,
)
from contracts.age.stanza import Stanza
from contracts.age.stream import Progress

__all__ = [
    "CHUNK_SIZE",
    "FILE_KEY_SIZE",
    "MAX_HEADER_SIZE",
    "NONCE_SIZE",
    "SEALED_CHUNK_SIZE",
    "TAG_SIZE",
    "AgeError",
    "BadFile",
    "BadKey",
    "BadRecipients",
    "ChunkSpan",
    "Decryptor",
    "Encryptor",
    "FileKey",
    "HeaderMacMismatch",
    "Identity",
    "LowOrderPoint",
    "Malformed",
    "NoIdentityMatches",
    "Oversized",
    "ParsedHeader",
    "PayloadCorrupt",
    "PayloadReader",
    "Progress",
    "Recipient",
    "Stanza",
    "StreamDecryptor",
    "StreamEncryptor",
    "TrailingData",
    "Truncated",
    "UnsupportedVersion",
    "chunk_count",
    "ciphertext_size",
    "header_size",
    "make_header",
    "parse_header",
    "plaintext_size",
    "unwrap_file_key",
]
