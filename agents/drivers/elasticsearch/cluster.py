"""A client of one cluster, and what kind of cluster it is."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec

from agents.drivers.elasticsearch.connection import ElasticsearchConnection
from agents.drivers.http_engine import EngineHttp, EngineRefused, open_engine
from agents.drivers.secret_files import read_secret
from contracts.errors import RunFailed

NAME: Final = "the cluster"
ABSENT: Final = frozenset({400, 404, 405})
"""What clusters answer for a part of the API that they do not have; it depends on the kind and version which."""
BLOCKED: Final = "cluster_block_exception"
"""An index, or the whole cluster, that was forbidden to be read or written to; it has the status of a missing right."""
_OLDEST: Final = {"elasticsearch": (7, 4), "opensearch": (1, 0)}
"""Until then there is no `_clone`, and documents have types."""
_SHARD_DOC_SINCE: Final = {"elasticsearch": (7, 12), "opensearch": (3, 3)}
_HIDES_VECTORS_SINCE: Final = (9, 2)
_TITLES: Final = {"elasticsearch": "Elasticsearch", "opensearch": "OpenSearch"}


class ClusterFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a cluster says of itself."""

    distribution: str
    """`elasticsearch` or `opensearch`."""
    number: str
    """Its version, such as `8.14.1`."""
    uuid: str
    name: str

    @property
    def title(self) -> str:
        return _TITLES.get(self.distribution, self.distribution)

    @property
    def release(self) -> tuple[int, int]:
        """Major and minor version; (0, 0) for what does not look like one."""
        parts = self.number.split(".")
        if len(parts) < 2 or not parts[0].isdecimal() or not parts[1].isdecimal():
            return (0, 0)
        return int(parts[0]), int(parts[1])

    @property
    def has_shard_doc(self) -> bool:
        """Whether a point in time can be read in the order of `_shard_doc`, which is what makes reading it cheap."""
        return self.release >= _SHARD_DOC_SINCE.get(self.distribution, (0, 0))

    @property
    def hides_vectors(self) -> bool:
        """Whether a search leaves vectors out of `_source` unless it is told not to."""
        return self.distribution == "elasticsearch" and self.release >= _HIDES_VECTORS_SINCE


class _Version(msgspec.Struct, frozen=True, kw_only=True):
    number: str
    distribution: str = "elasticsearch"


class _Root(msgspec.Struct, frozen=True, kw_only=True):
    version: _Version
    cluster_uuid: str = ""
    cluster_name: str = ""


@asynccontextmanager
async def open_cluster(connection: ElasticsearchConnection) -> AsyncIterator[EngineHttp]:
    """Raises: InvalidInput `config.invalid` for a secret or CA file that cannot be used."""
    # Compressing answers costs both sides more than the bytes on a local network do.
    headers = {"Accept-Encoding": "identity"}
    if connection.api_key_file:
        headers["Authorization"] = f"ApiKey {read_secret(connection.api_key_file, 'api_key_file').reveal()}"
    elif connection.user:
        password = read_secret(connection.password_file, "password_file")
        login = b64encode(f"{connection.user}:{password.reveal()}".encode()).decode()
        headers["Authorization"] = f"Basic {login}"
    async with open_engine(connection.url, name=NAME, headers=headers, ca_file=connection.ca_file) as http:
        yield http


async def look_at_cluster(http: EngineHttp) -> ClusterFacts:
    """Raises: RunFailed `engine.*`; `engine.version_skew` for a cluster that is too old."""
    root = await http.ask("GET", "/", type=_Root)
    facts = ClusterFacts(
        distribution=root.version.distribution,
        number=root.version.number,
        uuid=root.cluster_uuid,
        name=root.cluster_name,
    )
    oldest = _OLDEST.get(facts.distribution)
    if oldest is None:
        raise RunFailed(
            "engine.unsupported",
            f"{http.url} is neither Elasticsearch nor OpenSearch: it calls itself {facts.distribution!r}",
        )
    if facts.release < oldest:
        wanted = ".".join(map(str, oldest))
        raise RunFailed(
            "engine.version_skew",
            f"the cluster at {http.url} runs {facts.title} {facts.number}; {wanted} is the oldest that can be backed up",
        )
    return facts


async def ask_optional(http: EngineHttp, path: str, *, params: Mapping[str, str] | None = None) -> bytes | None:
    """The answer of a part of the API that clusters may lack; None when this one does.

    Raises: RunFailed `engine.*`, `engine.permission` among them.
    """
    try:
        return await http.send("GET", path, params=params)
    except EngineRefused as exc:
        if exc.status in ABSENT:
            return None
        raise


class _Cause(msgspec.Struct, frozen=True, kw_only=True):
    type: str = ""
    reason: str | None = None
    root_cause: list[_Cause] = []
    caused_by: _Cause | None = None


class _Failure(msgspec.Struct, frozen=True, kw_only=True):
    error: _Cause | str = ""


def reason_of(exc: EngineRefused) -> str:
    """Why the cluster refused, in its own words; as short as they can be found."""
    error = _error_of(exc)
    if error is None or not (error.type or error.reason):
        return f"status {exc.status}"
    words = error.reason or error.type
    deepest = error
    while deepest.caused_by is not None:
        deepest = deepest.caused_by
    if deepest is not error and deepest.reason and deepest.reason not in words:
        words = f"{words}: {deepest.reason}"
    return words


def error_type(exc: EngineRefused) -> str:
    """The cluster's name for the error, such as `resource_already_exists_exception`; empty when it has none."""
    error = _error_of(exc)
    return error.type if error is not None else ""


def _error_of(exc: EngineRefused) -> _Cause | None:
    try:
        failure: Any = msgspec.json.decode(exc.body, type=_Failure)
    except msgspec.DecodeError:
        return None  # longer than what is kept of it, or of something that stands before the cluster
    return failure.error if isinstance(failure.error, _Cause) else _Cause(reason=failure.error)
