"""The first worker thread of a download: stored bytes → age → a channel of compressed bytes.

It closes the channel only when the object has proved to be the one that was stored, down to the digest in the record.  That
is more than age can tell: whoever can write to the bucket can encrypt to our recipients as well as we can.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from agents.datapath.channel import Channel
from contracts.age import AgeError, Decryptor, Identity, NoIdentityMatches
from contracts.asks import DownloadGrant
from contracts.errors import StrongroomError, error
from contracts.records import ArtifactRecord


def corrupt(artifact: ArtifactRecord, what: str, detail: str | None = None) -> StrongroomError:
    """Corrupt `artifact.corrupt`: never tried again, for a person to look at."""
    return error("artifact.corrupt", f"artifact {artifact.name!r} is damaged: {what}", detail=detail)


class ArtifactOpener:
    """Opens one artifact as its bytes arrive, the first byte of the object first."""

    def __init__(self, artifact: ArtifactRecord, grant: DownloadGrant, identity: Identity) -> None:
        self._artifact = artifact
        self._header = grant.header
        self._skip = grant.payload_offset
        """Bytes of the object's own header that are still to come; the grant's header stands in their place."""
        self._decryptor = Decryptor([identity])
        self._sha256 = hashlib.sha256()

    def open_all(self, sealed: Channel[bytes], opened: Channel[bytes], taken: Callable[[], object]) -> None:
        """Returns when all is open and right.  `taken` is called for each chunk that was taken from `sealed`.

        Raises: Stopped; Corrupt `artifact.corrupt`; Denied `key.unavailable` for a grant to another node.
        """
        try:
            self._put(opened, self._decryptor.feed(self._header))
            while (chunk := sealed.get()) is not None:
                taken()
                self._sha256.update(chunk)
                payload = memoryview(chunk)[self._skip :]
                self._skip -= len(chunk) - len(payload)
                self._put(opened, self._decryptor.feed(payload))
            self._put(opened, self._decryptor.finish())
        except NoIdentityMatches as exc:
            raise error("key.unavailable", "the artifact's key was sealed to another node than this one") from exc
        except AgeError as exc:
            raise corrupt(self._artifact, f"its encryption is not intact: {exc}", exc.code) from exc
        if self._sha256.hexdigest() != self._artifact.sha256:
            raise corrupt(self._artifact, "its SHA-256 is not the one of its record")
        opened.close()

    @staticmethod
    def _put(opened: Channel[bytes], compressed: bytes) -> None:
        if compressed:
            opened.put(compressed)
