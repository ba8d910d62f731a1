"""What a nats-server's configuration needs for operator mode, as a pure function of the trust directory's public part."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from daemon.trust.book import TrustBook


@dataclass(frozen=True, kw_only=True)
class Resolver:
    """Which accounts there always are, and where the server keeps all others."""

    book: TrustBook
    directory: Path
    """On the server's host: its own, writable by it."""


@dataclass(frozen=True, kw_only=True)
class TlsFiles:
    """On the server's host: PEM files."""

    cert: Path
    key: Path


def render_trust(resolver: Resolver) -> list[str]:
    """The lines; equal settings give equal lines."""
    book = resolver.book
    preloaded = [f"  {fixed.account}: {quoted(fixed.jwt)}" for fixed in book.accounts]
    return [
        f"operator: {quoted(book.operator_jwt)}",
        f"system_account: {book.system.account}",
        "# Accounts of nodes come and go here, told by the coordinator over the system account: no file is edited for them.",
        "resolver: {",
        "  type: full",
        f"  dir: {quoted(str(resolver.directory))}",
        "  allow_delete: false",
        "  # How long a server that was away may take to hear of whom the others have expelled meanwhile.",
        '  interval: "10s"',
        '  timeout: "1.9s"',
        "}",
        "# SYS, CORE, OPS and ENROL, for an empty directory; a newer one that it holds is kept.",
        "resolver_preload: {",
        *preloaded,
        "}",
    ]


def render_tls(files: TlsFiles) -> list[str]:
    return [
        "# Nothing but the greeting of the server is said in the clear; clients verify its certificate.",
        "tls {",
        f"  cert_file: {quoted(str(files.cert))}",
        f"  key_file: {quoted(str(files.key))}",
        '  min_version: "1.2"',
        "}",
        "",
    ]


def quoted(value: str) -> str:
    """A string in the server's format, which knows JSON's short escapes, but no \\uXXXX."""
    return json.dumps(value, ensure_ascii=False)


def render_snippet(resolver: Resolver, tls: TlsFiles | None, *, max_payload: int, notes: Sequence[str] = ()) -> str:
    """A file to `include` in the configuration of one's own servers, the same on all of them."""
    lines = [
        *(f"# {note}" if note else "#" for note in notes),
        "# A report names every artifact of a backup, and there may be thousands.",
        f"max_payload: {max_payload}",
        "",
        *(render_tls(tls) if tls is not None else ()),
        *render_trust(resolver),
    ]
    return "\n".join(lines) + "\n"
