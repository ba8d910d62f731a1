"""Writing what belongs to no index, as the cluster tells it."""

from __future__ import annotations

import msgspec

from agents.drivers.elasticsearch.cluster import ask_optional, open_cluster
from agents.drivers.elasticsearch.connection import ElasticsearchConnection
from agents.drivers.elasticsearch.lines import described, one_line
from agents.drivers.elasticsearch.metadata import ABSENT_MEMBER, PARTS, SETTINGS_MEMBER, Part, parse_part
from agents.drivers.http_engine import EngineHttp
from agents.drivers.members import MemberWriter
from agents.drivers.pipes import PipeWriter
from contracts.errors import RunFailed

_SETTINGS_PATH = "/_cluster/settings"


class Absent(msgspec.Struct, frozen=True, kw_only=True):
    """The content of `ABSENT_MEMBER`: what the artifact does not have, and why."""

    unknown: list[str] = []
    """Paths that this cluster does not know."""
    denied: list[str] = []
    """Paths that the backup's user may not read."""


async def read_part(http: EngineHttp, part: Part) -> bytes | None:
    """The cluster's answer; None where it has no such thing.  Raises: RunFailed `engine.*`."""
    answer = await ask_optional(http, part.where)
    return one_line(answer) if answer is not None else None


async def dump_cluster(connection: ElasticsearchConnection, pipe: PipeWriter) -> list[str]:
    """Raises: RunFailed `engine.*`."""
    unknown: list[str] = []
    denied: list[str] = []
    members = MemberWriter(pipe)
    async with open_cluster(connection) as http:
        for part in PARTS:
            try:
                answer = await read_part(http, part)
            except RunFailed as exc:
                if exc.code != "engine.permission":
                    raise
                denied.append(part.where)
                continue
            if answer is None:
                unknown.append(part.where)
            else:
                parse_part(part, answer)  # what could not be restored is no backup
                await members.add(part.member, described(answer))
        try:
            settings = await ask_optional(http, _SETTINGS_PATH, params={"flat_settings": "true"})
        except RunFailed as exc:
            if exc.code != "engine.permission":
                raise
            denied.append(_SETTINGS_PATH)
        else:
            await members.add(SETTINGS_MEMBER, one_line(settings or b"{}") + b"\n")
    await members.add(ABSENT_MEMBER, msgspec.json.encode(Absent(unknown=unknown, denied=denied)) + b"\n")
    await members.end()
    return [
        f"the backup's user may not read {path}, so what is there is not in the backup: grant it, or say "
        "--no-cluster-metadata"
        for path in denied
    ]
