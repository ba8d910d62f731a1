"""What belongs to no index: policies, templates, scripts and pipelines; where it is had, and how it is put back.  Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from agents.drivers.elasticsearch.lines import description
from contracts.errors import Corrupt, RunFailed

CLUSTER_KIND: Final = "cluster"
CLUSTER_FORMAT: Final = "elasticsearch-cluster-tar"
SETTINGS_MEMBER: Final = "cluster_settings.json"
ABSENT_MEMBER: Final = "absent.json"

Objects = dict[str, Any]
"""By name, what is sent to put each in place."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of thing that a cluster keeps."""

    member: str
    """The file in the artifact."""
    words: str
    """Of one of them: `ingest pipeline`."""
    path: str
    """Where all of them are asked for, and `/{name}` below it one of them put."""
    list_path: str = ""
    """Where all of them are asked for, when that is elsewhere."""
    parse: Callable[[Any], Objects]

    @property
    def where(self) -> str:
        return self.list_path or self.path


_DATES: Final = frozenset({"created_date", "created_date_millis", "modified_date", "modified_date_millis"})
"""What Elasticsearch 9.2 and later show of templates and pipelines, and refuse to be told."""


def _told(body: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key not in _DATES}


def _by_name(answer: Any) -> Objects:
    """`{name: body}`."""
    return {name: _told(body) for name, body in answer.items() if isinstance(body, dict)}


def _named(key: str, field: str) -> Callable[[Any], Objects]:
    def parse(answer: Any) -> Objects:
        return {one["name"]: _told(one[field]) for one in answer.get(key, [])}

    return parse


def _ilm(answer: Any) -> Objects:
    """`{name: {"version", "modified_date", "policy", "in_use_by"}}`."""
    return {name: {"policy": body["policy"]} for name, body in answer.items()}


_ISM_OWN: Final = frozenset({"policy_id", "last_updated_time", "schema_version", "user"})


def _ism(answer: Any) -> Objects:
    """`{"policies": [{"_id", "_seq_no", "_primary_term", "policy"}], "total_policies": 1}`."""
    policies = answer.get("policies", [])
    if answer.get("total_policies", 0) > len(policies):
        raise RunFailed("dump.incomplete", f"the cluster showed {len(policies)} of {answer['total_policies']} ISM policies")
    return {
        one["_id"]: {"policy": {key: value for key, value in one["policy"].items() if key not in _ISM_OWN}}
        for one in policies
    }


def _scripts(answer: Any) -> Objects:
    scripts = answer.get("metadata", {}).get("stored_scripts", {})
    return {name: {"script": script} for name, script in scripts.items()}


# In the order in which they are put back: each may name one of those before.
PARTS: Final = (
    Part(member="ilm_policy.json", words="lifecycle policy", path="/_ilm/policy", parse=_ilm),
    Part(
        member="ism_policy.json",
        words="state management policy",
        path="/_plugins/_ism/policies",
        list_path="/_plugins/_ism/policies?size=10000",  # it shows 20 of them by itself
        parse=_ism,
    ),
    Part(
        member="stored_scripts.json",
        words="stored script",
        path="/_scripts",
        list_path="/_cluster/state/metadata?filter_path=metadata.stored_scripts",
        parse=_scripts,
    ),
    Part(member="pipelines.json", words="ingest pipeline", path="/_ingest/pipeline", parse=_by_name),
    Part(
        member="component_template.json",
        words="component template",
        path="/_component_template",
        parse=_named("component_templates", "component_template"),
    ),
    Part(member="template.json", words="legacy index template", path="/_template", parse=_by_name),
    Part(
        member="index_template.json",
        words="index template",
        path="/_index_template",
        parse=_named("index_templates", "index_template"),
    ),
)


def parse_part(part: Part, answer: bytes) -> Objects:
    """Raises: Corrupt `artifact.corrupt` for what is no such answer."""
    try:
        return part.parse(msgspec.json.decode(answer))
    except (msgspec.DecodeError, AttributeError, KeyError, TypeError) as exc:
        raise Corrupt("artifact.corrupt", f"{part.member} holds no list of {part.words}s: {exc!r}") from exc


def parse_member(name: str, content: bytes) -> tuple[Part, Objects] | None:
    """None for a file that is no part.  Raises: Corrupt `artifact.corrupt`."""
    part = next((part for part in PARTS if part.member == name), None)
    return (part, parse_part(part, description(content))) if part is not None else None


def is_managed(name: str, body: Any) -> bool:
    """Whether the cluster's own software made it, and will make it again."""
    if name.startswith("."):
        return True
    for inner in (body, *(body.values() if isinstance(body, dict) else ())):
        meta = inner.get("_meta") if isinstance(inner, dict) else None
        if isinstance(meta, dict) and meta.get("managed") is True:
            return True
    return False
