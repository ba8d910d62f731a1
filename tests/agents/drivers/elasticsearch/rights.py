"""Which rights a request needs, as Elasticsearch's security asks for them, so that `deploy/` can be held to it.

The real node here has no security; the gate in front of it refuses what a role of `deploy/elasticsearch` does not allow.
Source: https://www.elastic.co/docs/reference/elasticsearch/security-privileges, and "Required authorization" of each API.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DEPLOY: Final = Path(__file__).parents[4] / "deploy" / "elasticsearch"

_INDEX: Final = r"/(?!_)[^/]+"
_NEEDS: Final[tuple[tuple[str, str, str], ...]] = (
    ("GET", r"/", "cluster:monitor"),
    ("GET", r"/_cluster/(health|settings)", "cluster:monitor"),
    ("GET", r"/_cluster/state/.*", "cluster:monitor"),
    ("GET", r"/_ilm/policy.*", "cluster:read_ilm"),
    ("PUT|DELETE", r"/_ilm/policy/.*", "cluster:manage_ilm"),
    ("GET", r"/_plugins/_ism/policies.*", "cluster:monitor"),
    ("PUT|DELETE", r"/_plugins/_ism/policies/.*", "cluster:manage"),
    ("GET", r"/_ingest/pipeline", "cluster:read_pipeline"),
    ("PUT|DELETE", r"/_ingest/pipeline/.*", "cluster:manage_pipeline"),
    ("GET|PUT|DELETE", r"/_(component_template|index_template|template)(/.*)?", "cluster:manage_index_templates"),
    ("PUT|DELETE", r"/_scripts/.*", "cluster:manage"),
    ("GET", r"/_cat/indices.*", "index:monitor"),
    ("GET", r"/_data_stream.*", "index:view_index_metadata"),
    ("PUT|DELETE", r"/_data_stream/.*", "index:manage"),
    ("GET", _INDEX, "index:view_index_metadata"),
    ("GET", r"/_alias/.*", "index:view_index_metadata"),
    ("POST", rf"{_INDEX}/_refresh", "index:maintenance"),
    ("POST", rf"{_INDEX}/_flush", "index:maintenance"),
    ("GET|POST", rf"({_INDEX})?/_(search|count|pit)(/.*)?", "index:read"),
    ("DELETE", r"/_(search/.*|pit)", "index:read"),
    ("POST", rf"{_INDEX}/_bulk", "index:write"),
    ("PUT|DELETE", _INDEX, "index:manage"),
    ("PUT|POST", rf"{_INDEX}/_(settings|clone/.*|rollover)", "index:manage"),
    ("POST", r"/_aliases", "index:manage"),
)
_IMPLIED: Final = {
    "cluster:manage": {"cluster:monitor"},
    "cluster:manage_ilm": {"cluster:read_ilm"},
    "cluster:manage_pipeline": {"cluster:read_pipeline"},
    "index:manage": {"index:monitor", "index:view_index_metadata", "index:maintenance"},
}


@dataclass(frozen=True)
class Role:
    """What its holder may do."""

    rights: frozenset[str]

    def allows(self, method: str, path: str) -> bool:
        return any(
            need in self.rights
            for methods, pattern, need in _NEEDS
            if method in methods.split("|") and re.fullmatch(pattern, path)
        )

    def without(self, *rights: str) -> Role:
        assert self.rights.issuperset(rights)
        return Role(self.rights - set(rights))


def role(name: str) -> Role:
    """That of `deploy/elasticsearch/<name>.json`."""
    body = json.loads((DEPLOY / f"{name}.json").read_text())
    (indices,) = body["indices"]
    assert indices["names"] == ["*"]
    rights = {f"cluster:{right}" for right in body["cluster"]} | {f"index:{right}" for right in indices["privileges"]}
    for right in sorted(rights):
        rights |= _IMPLIED.get(right, set())
    return Role(frozenset(rights))
