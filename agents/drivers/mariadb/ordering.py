"""The order in which the artifacts of a backup are restored.  Pure."""

from __future__ import annotations

from collections.abc import Sequence

from agents.drivers.mariadb.attributes import DATABASE_KIND, USERS_KIND, parse_attributes
from contracts.records import ArtifactRecord


def in_order(artifacts: Sequence[ArtifactRecord]) -> list[ArtifactRecord]:
    """Databases after those that their views select from, as far as they do not do so mutually.

    Accounts last, since a right on a single table or routine can only be given when that is there.
    """
    databases = {artifact.name: artifact for artifact in artifacts if artifact.kind == DATABASE_KIND}
    ordered: list[ArtifactRecord] = []
    begun: set[str] = set()

    for name in databases:
        # Depth first, without recursion: each name comes after all that it refers to.
        pending = [(name, False)]
        while pending:
            current, is_ready = pending.pop()
            if is_ready:
                ordered.append(databases[current])
            elif current not in begun:
                begun.add(current)
                pending.append((current, True))
                pending += [
                    (other, False)
                    for other in reversed(parse_attributes(databases[current]).refers_to)
                    if other in databases and other not in begun
                ]
    others = [artifact for artifact in artifacts if artifact.kind not in (DATABASE_KIND, USERS_KIND)]
    return [*others, *ordered, *(artifact for artifact in artifacts if artifact.kind == USERS_KIND)]
