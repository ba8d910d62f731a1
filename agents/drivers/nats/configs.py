"""What becomes of a stream's configuration where it is restored under another name, on fewer servers, or on trial.  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy
from typing import Any, Final

from agents.drivers.nats.errors import NO_PEERS, REPLICAS_NEED_A_CLUSTER
from agents.drivers.nats.streams import MARK, StreamInfo, subjects_of
from contracts.errors import RunFailed

_NEUTRAL: Final = "strongroom.restored"
_TAKING_OR_GIVING: Final = ("mirror", "sources", "republish", "subject_transform")
_BAD_IN_NAMES: Final = frozenset(" .*>/\\\t\r\n\f\x00")
MOST_NAME_BYTES: Final = 255


def name_fault(name: str) -> str:
    """Why a stream cannot have that name, or nothing."""
    if not name:
        return "it is empty"
    if bad := sorted(_BAD_IN_NAMES & set(name)):
        return f"it has {bad[0]!r} in it"
    if not name.isprintable():
        return "it has characters that cannot be printed"
    if len(name.encode()) > MOST_NAME_BYTES:
        return f"it has more than {MOST_NAME_BYTES} bytes"
    return ""


def listening(config: dict[str, Any]) -> list[str]:
    """The subjects whose messages the stream takes: one without any takes those of its own name."""
    if subjects := subjects_of(config):
        return subjects
    return [] if config.get("mirror") or config.get("sources") else [str(config.get("name", ""))]


def overlap(one: str, other: str) -> bool:
    """Whether some subject matches both patterns."""
    left, right = one.split("."), other.split(".")
    for mine, theirs in zip(left, right, strict=False):
        if ">" in (mine, theirs):
            return True
        if mine != theirs and "*" not in (mine, theirs):
            return False
    return len(left) == len(right)


def placed_config(config: dict[str, Any], *, name: str, others: Iterable[StreamInfo]) -> tuple[dict[str, Any], list[str]]:
    """(configuration for the stream as `name` beside `others`, warnings).

    Raises: RunFailed `restore.failed` when it would take the messages of another stream.
    """
    adapted = deepcopy(config)
    renamed, adapted["name"] = name != config.get("name"), name
    subjects = listening(config)
    if renamed and subjects:
        adapted["subjects"] = subjects
    rival = next(
        (other for other in others for taken in listening(other.config) for own in subjects if overlap(own, taken)), None
    )
    if rival is None:
        return adapted, []
    if not renamed:
        what = f"stream {name!r} cannot be restored: stream {rival.name!r} takes messages of the same subjects"
        raise RunFailed("restore.failed", f"{what} ({', '.join(subjects[:5])}): delete that, or change its subjects")
    what = f"stream {name!r} listens to nobody, since the subjects of the original belong to stream {rival.name!r}"
    return _neutral(adapted, keep=("mirror", "sources")), [f"{what}: give it subjects with `nats stream edit` if it shall"]


def isolated_config(config: dict[str, Any]) -> dict[str, Any]:
    """For a rehearsal: takes from nobody, gives to nobody, and throws nothing away because of its age."""
    adapted = deepcopy(config)
    subjects = listening(config)
    for key in ("mirror", "sources", "republish", "subject_delete_marker_ttl"):
        adapted.pop(key, None)
    adapted.update(subjects=subjects or [f"{_NEUTRAL}.{config.get('name', '')}"], mirror_direct=False, max_age=0)
    return _on_one_server(adapted)


def trial_config(config: dict[str, Any], *, name: str) -> dict[str, Any]:
    """For a proof that the server takes the archive."""
    adapted = _neutral(deepcopy(config), keep=())
    adapted["name"], adapted["subjects"] = name, [f"{_NEUTRAL}.{name}"]
    return _on_one_server(adapted)


def unfinished(config: dict[str, Any], run_id: str) -> dict[str, Any]:
    """For a stream that is being made: it tells whoever looks at it that it is not whole, and takes no messages yet."""
    changed = {**config, "metadata": {**(config.get("metadata") or {}), MARK: run_id}}
    if not config.get("mirror"):
        changed["subjects"] = [f"{_NEUTRAL}.{config['name']}"]
    return changed


def finished(made: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """What an unfinished stream, as the server has it, is to become."""
    metadata = {key: value for key, value in (made.get("metadata") or {}).items() if key != MARK}
    return {**made, "subjects": wanted.get("subjects") or [], "metadata": metadata}


def lighter_config(config: dict[str, Any], err_code: int) -> tuple[dict[str, Any], str] | None:
    """(what asks less of the servers than `config`, a warning that says so), if the error is about that and there is."""
    replicas = config.get("num_replicas", 1)
    name = config.get("name")
    if err_code == REPLICAS_NEED_A_CLUSTER or err_code in NO_PEERS:
        if isinstance(replicas, int) and replicas > 1:
            fewer = 1 if err_code == REPLICAS_NEED_A_CLUSTER or replicas <= 3 else 3
            what = f"stream {name!r} has {fewer} instead of {replicas} replicas, as the servers are fewer here"
            return {**config, "num_replicas": fewer}, what
        if config.get("placement"):
            what = f"stream {name!r} lost its placement, which no server here fits"
            return {**config, "placement": None}, what
    return None


def _neutral(config: dict[str, Any], *, keep: Sequence[str]) -> dict[str, Any]:
    for key in _TAKING_OR_GIVING:
        if key not in keep:
            config.pop(key, None)
    if not config.get("mirror"):
        config.update(subjects=[f"{_NEUTRAL}.{config['name']}"], mirror_direct=False)
    return config


def _on_one_server(config: dict[str, Any]) -> dict[str, Any]:
    config.pop("placement", None)
    config["num_replicas"] = 1
    return config
