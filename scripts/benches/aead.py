"""Which library seals and opens the chunks of an age file faster."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from nacl.bindings import (
    crypto_aead_chacha20poly1305_ietf_decrypt,
    crypto_aead_chacha20poly1305_ietf_encrypt,
)

from scripts.benches.rows import Row, row

SUMMARY = "ChaCha20-Poly1305 on 64 KiB chunks: OpenSSL (cryptography) and libsodium (PyNaCl)"
_CHUNK = 64 * 1024
_PEER = "libsodium (PyNaCl)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repetitions", type=int, help="default 9")


def run(options: argparse.Namespace) -> Iterator[Row]:
    repetitions = options.repetitions or (3 if options.quick else 9)
    key, nonce, plain = os.urandom(32), os.urandom(12), os.urandom(_CHUNK)
    cipher = ChaCha20Poly1305(key)
    sealed = cipher.encrypt(nonce, plain, None)
    if sealed != crypto_aead_chacha20poly1305_ietf_encrypt(plain, None, nonce, key):
        raise AssertionError("the libraries do not agree")
    out = bytearray(len(sealed))
    sides: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "seal into a buffer": (
            lambda: cipher.encrypt_into(nonce, plain, None, out),
            lambda: crypto_aead_chacha20poly1305_ietf_encrypt(plain, None, nonce, key),
        ),
        "seal": (
            lambda: cipher.encrypt(nonce, plain, None),
            lambda: crypto_aead_chacha20poly1305_ietf_encrypt(plain, None, nonce, key),
        ),
        "open": (
            lambda: cipher.decrypt(nonce, sealed, None),
            lambda: crypto_aead_chacha20poly1305_ietf_decrypt(sealed, None, nonce, key),
        ),
    }
    for case, (ours, theirs) in sides.items():
        measured = [(_cpu_per_gb(ours), _cpu_per_gb(theirs)) for _ in range(repetitions)]
        yield row(case, "cpu", "s/GB", [pair[0] for pair in measured], _PEER, [pair[1] for pair in measured])


def _cpu_per_gb(call: Callable[[], object], calls: int = 1000) -> float:
    """CPU and not wall time: other work on the machine then matters less."""
    began = time.process_time()
    for _ in range(calls):
        call()
    return (time.process_time() - began) / (calls * _CHUNK) * 1e9
