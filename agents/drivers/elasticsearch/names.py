"""Names of indices: which are allowed, how many fit into a request, and what a restore calls what is unfinished.  Pure."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Iterator
from typing import Final

from agents.drivers.http_engine import quote_path

RESTORING: Final = "strongroom-restoring-"
"""An index that is being loaded."""
REPLACED: Final = "strongroom-replaced-"
"""The index that was there before, until the restored one has its place."""
_FORBIDDEN: Final = frozenset('\\/*?"<>| ,#:')
_MOST_BYTES: Final = 255
_LINE_BYTES: Final = 3000
"""Clusters take 4096 bytes of method, path and query (`http.max_initial_line_length`)."""


def why_not(name: str) -> str:
    """Why an index cannot have the name, as half a sentence; empty when it can."""
    if name in ("", ".", ".."):
        return "is no name"
    if len(name.encode()) > _MOST_BYTES:
        return f"has more than {_MOST_BYTES} bytes"
    if name != name.lower():
        return "has capital letters"
    if name[0] in "-_+":
        return f"begins with {name[0]!r}"
    if found := sorted(_FORBIDDEN & set(name)):
        return f"has {' '.join(map(repr, found))} in it"
    return ""


def scratch_name(run_id: str, target: str) -> str:
    """Another one with each call: what an earlier attempt of the run has left, or still loads, is not this one's."""
    return f"{RESTORING}{run_id.lower()}-{secrets.token_hex(2)}-{_digest(target)}"


def replaced_name(run_id: str, target: str) -> str:
    """Another one with each call, as that of `scratch_name`."""
    return f"{REPLACED}{run_id.lower()}-{secrets.token_hex(2)}-{_digest(target)}"


def leftovers_of(names: Iterable[str], target: str) -> tuple[list[str], list[str]]:
    """(unfinished ones, replaced ones) that restores to `target` have left which were cut off with their agent."""
    ending = f"-{_digest(target)}"
    ours = [name for name in names if name.endswith(ending)]
    return [name for name in ours if name.startswith(RESTORING)], [name for name in ours if name.startswith(REPLACED)]


def how_to_have_back(kept: str, target: str) -> str:
    """The request that makes the former index of what a restore has kept of it."""
    settings = '{"settings": {"index.blocks.write": null, "index.hidden": null, "index.number_of_replicas": 1}}'
    return f"POST /{kept}/_clone/{target} {settings}"


def is_ours(name: str) -> bool:
    """Whether a restore made it: no part of a backup."""
    return name.startswith((RESTORING, REPLACED))


def path_chunks(names: Iterable[str]) -> Iterator[tuple[list[str], str]]:
    """(names, their path) of as many at a time as fit into a request: `/a,b`."""
    chunk: list[str] = []
    path = ""
    for name in names:
        quoted = quote_path(name)[1:]
        if chunk and len(path) + len(quoted) >= _LINE_BYTES:
            yield chunk, path
            chunk, path = [], ""
        path = f"{path},{quoted}" if chunk else f"/{quoted}"
        chunk.append(name)
    if chunk:
        yield chunk, path


def _digest(target: str) -> str:
    return hashlib.sha256(target.encode()).hexdigest()[:10]
