"""Whether a restore may begin: names, what is in the way, and what was left by one that was cut off."""

from __future__ import annotations

from agents.drivers.elasticsearch.catalogue import listed, look_at_indices, look_at_streams
from agents.drivers.elasticsearch.cluster import look_at_cluster
from agents.drivers.elasticsearch.index_settings import is_true
from agents.drivers.elasticsearch.indices import FoundIndex, count_documents, find_index
from agents.drivers.elasticsearch.metadata import CLUSTER_KIND
from agents.drivers.elasticsearch.names import how_to_have_back, is_ours, leftovers_of, why_not
from agents.drivers.elasticsearch.planning import STREAM
from agents.drivers.http_engine import EngineHttp
from contracts.errors import Conflict, InvalidInput, RunFailed
from contracts.records import ArtifactRecord, RestoreTarget


def stream_of(artifact: ArtifactRecord, target: RestoreTarget) -> str:
    """The data stream that it is restored into; `` for an index of its own, which one with a new name becomes."""
    if artifact.name in target.rename:
        return ""
    return str(artifact.attributes.get(STREAM) or "")


def index_of(artifact: ArtifactRecord, target: RestoreTarget) -> str:
    return target.rename.get(artifact.name, artifact.name)


def require_names(artifacts: list[ArtifactRecord], target: RestoreTarget) -> None:
    """Raises: InvalidInput `input.invalid` for new names that cannot be given."""
    known = {artifact.name: artifact for artifact in artifacts}
    for old, new in target.rename.items():
        if old not in known:
            raise _invalid(f"{old!r} is not among the artifacts that are restored ({listed(known)})")
        if known[old].kind == CLUSTER_KIND:
            raise _invalid(f"{old!r} holds templates and pipelines, which keep their names")
        if why := why_not(new):
            raise _invalid(f"an index cannot be called {new!r}: it {why}")
        if is_ours(new):
            raise _invalid(f"{new!r} begins as what restores leave unfinished does: choose another name")
    taken: dict[str, str] = {}
    for artifact in artifacts:
        if artifact.kind == CLUSTER_KIND or stream_of(artifact, target):
            continue
        name = index_of(artifact, target)
        if name in taken:
            raise _invalid(f"{taken[name]!r} and {artifact.name!r} would both be called {name!r}")
        taken[name] = artifact.name


async def check_restore(http: EngineHttp, artifacts: list[ArtifactRecord], target: RestoreTarget) -> None:
    """Raises: InvalidInput `input.invalid`, Conflict `restore.target_not_empty`, RunFailed `engine.*`."""
    require_names(artifacts, target)
    await look_at_cluster(http)
    unfinished = (await look_at_indices(http)).unfinished
    streams: set[str] = set()
    for artifact in artifacts:
        if artifact.kind == CLUSTER_KIND:
            continue
        if stream := stream_of(artifact, target):
            streams.add(stream)
            continue
        name = index_of(artifact, target)
        _, kept = leftovers_of(unfinished, name)
        if await require_index_free(http, name, replace=target.replace) is None and kept and not target.replace:
            raise Conflict(
                "restore.target_not_empty",
                f"a restore of {name!r} was cut off; the former index is still there as {kept[-1]!r}. Restore with "
                f"--replace to lose it, or have it back: {how_to_have_back(kept[-1], name)}",
            )
    for stream in sorted(streams):
        await require_stream_free(http, stream, replace=target.replace)


async def require_index_free(http: EngineHttp, name: str, *, replace: bool) -> FoundIndex | None:
    """The index that is to be replaced.  Raises: Conflict `restore.target_not_empty`, RunFailed `engine.*`."""
    found = await find_index(http, name)
    if isinstance(found, list):
        raise Conflict(
            "restore.target_not_empty",
            f"{name!r} is an alias or data stream of {listed(found)} here, so no index can have that name: remove it, or "
            f"restore under another name with --rename {name}=…",
        )
    if found is None:
        return None
    if not replace:
        raise Conflict(
            "restore.target_not_empty",
            f"there is an index {name!r}{await _size(http, name)}: restore with --replace to lose it, or under another name "
            f"with --rename {name}=…",
        )
    if found.settings.get("index.verified_before_close") in ("true", True):
        raise Conflict("restore.target_not_empty", f"index {name!r} is closed: open or delete it, and restore again")
    if is_true(found.settings.get("index.blocks.read_only")):
        raise Conflict(
            "restore.target_not_empty",
            f"index {name!r} is read-only, so the cluster would not let it be replaced: set its index.blocks.read_only to "
            "null, or delete it, and restore again",
        )
    return found


async def require_stream_free(http: EngineHttp, stream: str, *, replace: bool) -> list[str]:
    """The indices of the data stream that is to be replaced.  Raises: Conflict `restore.target_not_empty`."""
    for found in await look_at_streams(http):
        if found.name == stream:
            if not replace:
                what = f"there is a data stream {stream!r}{await _size(http, stream)}"
                raise Conflict("restore.target_not_empty", f"{what}: restore with --replace to lose it")
            return found.indices
    if (other := await find_index(http, stream)) is not None:
        what = "an index" if isinstance(other, FoundIndex) else "an alias"
        raise Conflict(
            "restore.target_not_empty", f"{stream!r} is {what} here, so no data stream can have that name: remove it"
        )
    return []


async def _size(http: EngineHttp, name: str) -> str:
    try:
        return f" with {await count_documents(http, name)} documents"
    except RunFailed:
        return ""


def _invalid(message: str) -> InvalidInput:
    return InvalidInput("input.invalid", f"rename: {message}", field="rename")
