"""The proof that a backup needs none of our code: the stored object, opened with the stock programs of three projects."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import aiofiles
import aiohttp
import msgspec

from contracts.age import Identity
from contracts.control import Download
from contracts.errors import Corrupt, RunFailed
from contracts.records import ArtifactRecord
from daemon.demo.engines.base import Opener
from daemon.demo.processes import Ended, run_pipeline, tool_environment
from daemon.demo.stock_programs import StockPrograms
from daemon.embedded.private_files import make_private_dir, write_private

_PIECE_BYTES: Final = 1 << 20
_IDLE_S: Final = 60.0


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """What the stock programs made of the artifact."""

    file: str
    """The stored object, as it lay in the bucket."""
    key_file: str
    stored_bytes: int
    sha256: str
    plain_bytes: int
    """What came out of age and zstd; the same as the agent counted when it went in."""
    contents: str
    """What the engine's own program said of it."""
    command: str
    """To try it by hand."""


def write_recovery_key(directory: Path) -> tuple[Path, str]:
    """A fresh identity in the file format of age-keygen, mode 0600; its path, and its recipient."""
    identity = Identity.generate()
    path = make_private_dir(directory) / "key.txt"
    write_private(path, f"# public key: {identity.recipient}\n{identity.reveal()}\n")
    return path, str(identity.recipient)


async def download(grant: Download, directory: Path, progress: Callable[[int, int], None]) -> Path:
    """The stored object, byte for byte, in a private file that has the object's name.

    `progress` is told the bytes so far and in all.
    Raises: RunFailed `download.failed`, Corrupt `artifact.corrupt` when it is not what its record says.
    """
    artifact = grant.artifact
    path = make_private_dir(directory) / artifact.object_key.rsplit("/", 1)[-1]
    write_private(path, b"")
    digest, received = hashlib.sha256(), 0
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_IDLE_S, sock_read=_IDLE_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session,
            session.get(grant.url) as answer,
            aiofiles.open(path, "wb") as file,
        ):
            if answer.status != 200:
                raise RunFailed("download.failed", f"the object store answered {answer.status} to a signed URL")
            async for piece in answer.content.iter_chunked(_PIECE_BYTES):
                await file.write(piece)
                digest.update(piece)
                received += len(piece)
                progress(received, artifact.stored_bytes)
    except (aiohttp.ClientError, TimeoutError) as exc:
        # `from None`, and without the words of aiohttp: they may quote the URL, which is signed and so a secret.
        raise RunFailed("download.failed", f"the download broke off: {type(exc).__name__}") from None
    if (received, digest.hexdigest()) != (artifact.stored_bytes, artifact.sha256):
        raise Corrupt("artifact.corrupt", f"the object of {artifact.name!r} is not the one that its record describes")
    return path


async def open_artifact(file: Path, key_file: Path, artifact: ArtifactRecord, stock: StockPrograms, opener: Opener) -> Proof:
    """Opens the file twice: all of it with age and zstd, and what is in it with the engine's own program.

    Raises: Corrupt `artifact.corrupt` when a program refuses it, or something else comes out than went in.
    """
    unpack = [[stock.age, "-d", "-i", str(key_file), str(file)], [stock.zstd, "-d", "-q", "-c"]]
    plain = _Counter(len(opener.magic))
    # age authenticates each chunk and the last one as the last: status 0 at the end of all says that nothing is missing.
    _check(await run_pipeline(unpack, environment=tool_environment(), take=plain.take))
    if plain.size_bytes != artifact.plain_bytes:
        raise Corrupt(
            "artifact.corrupt",
            f"{artifact.plain_bytes} bytes went into {artifact.name!r}, but {plain.size_bytes} come out of it",
        )
    if plain.head != opener.magic:
        raise Corrupt("artifact.corrupt", f"{artifact.name!r} does not begin like a dump of its format: {plain.head!r}")
    output: list[bytes] = []
    ended = await run_pipeline([*unpack, opener.argv], environment=tool_environment(), take=output.append)
    _check(ended[-1:])  # one that reads a table of contents stops after that, which ends the other two
    return Proof(
        file=str(file),
        key_file=str(key_file),
        stored_bytes=artifact.stored_bytes,
        sha256=artifact.sha256,
        plain_bytes=plain.size_bytes,
        contents=opener.describe(b"".join(output)),
        command=f"age -d -i {key_file.name} {file.name} | zstd -d | {opener.command}",
    )


class _Counter:
    """Counts what passes, and keeps its beginning."""

    def __init__(self, head_bytes: int) -> None:
        self.size_bytes = 0
        self.head = b""
        self._head_bytes = head_bytes

    def take(self, piece: bytes) -> None:
        self.head = (self.head + piece[: self._head_bytes])[: self._head_bytes]
        self.size_bytes += len(piece)


def _check(ended: list[Ended]) -> None:
    # The stages before a failed one die of a closed pipe, those after it of missing input: the one with words counts.
    failed = [one for one in ended if one.status != 0]
    if failed:
        cause = next((one for one in failed if one.status > 0 and one.stderr_tail), failed[0])
        raise Corrupt("artifact.corrupt", f"the artifact cannot be opened: {cause.words}", detail=cause.stderr_tail)
