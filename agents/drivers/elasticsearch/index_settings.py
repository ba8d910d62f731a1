"""The settings of an index that is restored: while it is loaded, and when it takes its place.  Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

HIDDEN: Final = "index.hidden"
_OF_THE_OLD_ONE: Final = (
    "index.uuid",
    "index.creation_date",
    "index.creation_date_string",
    "index.provided_name",
    "index.version.",
    "index.resize.",
    "index.shrink.",
    "index.routing.allocation.initial_recovery.",
    "index.history.uuid",
    "index.store.snapshot.",
    "index.verified_before_close",
    "index.frozen",
    "index.search.throttled",
    "index.data_path",
)
"""What says which index it was, not how it is; the cluster makes it anew, and takes none of it."""
_LATER: Final = (
    "index.hidden",
    "index.number_of_replicas",
    "index.auto_expand_replicas",
    "index.refresh_interval",
    "index.default_pipeline",
    "index.final_pipeline",
    "index.translog.durability",
    "index.blocks.",
    "index.lifecycle.",
    "index.plugins.index_state_management.",
    "index.opendistro.index_state_management.",
)
"""What would have the index found or removed before it is whole, slow the load, change documents or forbid writing."""
_LAST: Final = ("index.routing.allocation.",)
"""What may say that no node of this cluster is fit: told to the index when it has its shards already."""
_LOADING: Final[Mapping[str, str]] = {
    HIDDEN: "true",  # applications that search `*` must not find it, nor templates for all indices change it
    "index.number_of_replicas": "0",
    "index.refresh_interval": "-1",
    "index.default_pipeline": "_none",
    "index.final_pipeline": "_none",
    "index.translog.durability": "async",
}
_DEFAULTS: Final[Mapping[str, str | None]] = {
    HIDDEN: None,
    "index.number_of_replicas": "1",
    "index.auto_expand_replicas": None,
    "index.refresh_interval": None,
    "index.default_pipeline": None,
    "index.final_pipeline": None,
    "index.translog.durability": None,
    "index.blocks.write": None,
}
"""What has to be said of `_LATER` when the backup does not: null is the cluster's own default."""


class SettingsPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Flat settings, by the moment at which they are given."""

    creating: dict[str, Any]
    """For the index that is loaded."""
    placing: dict[str, Any]
    """For the one that is made of it in its place."""
    placed: dict[str, Any]
    """For that one, when it is there."""

    def without(self, unknown: str) -> SettingsPlan:
        """For a cluster that does not know that setting."""
        return SettingsPlan(
            creating={name: value for name, value in self.creating.items() if name != unknown},
            placing={name: value for name, value in self.placing.items() if name != unknown},
            placed={name: value for name, value in self.placed.items() if name != unknown},
        )


def plan_settings(settings: Mapping[str, Any]) -> SettingsPlan:
    """`settings` as `GET /{index}` shows them: nested, or flat, or both."""
    flat = {name: value for name, value in flatten(settings).items() if value is not None and not _in(name, _OF_THE_OLD_ONE)}
    if flat.get("index.store.type") == "snapshot":
        del flat["index.store.type"]
    creating = {name: value for name, value in flat.items() if not _in(name, _LATER) and not _in(name, _LAST)}
    placing = {name: value for name, value in flat.items() if _in(name, _LATER)}
    placed = {name: value for name, value in flat.items() if _in(name, _LAST)}
    return SettingsPlan(creating={**creating, **_LOADING}, placing={**_DEFAULTS, **placing}, placed=placed)


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"index": {"blocks": {"write": "true"}}}` as `{"index.blocks.write": "true"}`."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def is_true(value: object) -> bool:
    """Settings are strings, mostly."""
    return value is True or value == "true"


def _in(name: str, names: tuple[str, ...]) -> bool:
    return any(name.startswith(one) if one.endswith(".") else name == one for one in names)
