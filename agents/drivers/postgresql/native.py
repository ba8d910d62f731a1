"""The same restore with stock tools and nothing of Strongroom: for the documentation, and for the day it is needed."""

from __future__ import annotations

import shlex

from agents.drivers.postgresql.attributes import DATABASE_KIND, parse_attributes
from agents.drivers.postgresql.physical.attributes import CLUSTER_KIND
from agents.drivers.postgresql.placing import create_statement
from agents.drivers.postgresql.quoting import database_conninfo
from contracts.records import ArtifactRecord


def native_restore_commands(
    artifact: ArtifactRecord,
    *,
    file: str = "",
    identity: str = "identity.txt",
    database: str = "",
    directory: str = "restored",
) -> list[str]:
    """Shell lines that restore an artifact with age, zstd and PostgreSQL's own programs, in this order; pure.

    `file` is the downloaded object, by default named like it; `database` another name than the dump's.  A server is chosen
    by PGHOST, PGPORT and PGUSER.  A physical backup goes to `directory`, by the user whom the server is to run as.
    """
    opened = f"age -d -i {shlex.quote(identity)} {shlex.quote(file or _last_part(artifact.object_key))} | zstd -d"
    if artifact.kind == CLUSTER_KIND:
        place = shlex.quote(directory)
        return [
            f"mkdir -m 0700 {place}",
            f"{opened} | tar -x -C {place}",
            f"pg_verifybackup {place}",
            f"rm -f {place}/standby.signal",
            f"pg_ctl -D {place} -l {shlex.quote(directory + '.log')} start",
        ]
    if artifact.kind != DATABASE_KIND:
        return [f"{opened} | psql -X -d postgres"]
    if not database:
        return [f"{opened} | pg_restore --create --exit-on-error -d postgres"]
    attributes = parse_attributes(artifact)
    create = create_statement(
        database, attributes, owner=attributes.owner or None, tablespace=None, server_major=attributes.server_major
    )
    target = shlex.quote(database_conninfo(database))
    return [
        f"psql -X -d postgres -c {shlex.quote(create)}",
        f"{opened} | pg_restore --exit-on-error -d {target}",
        f"psql -X -d {target} -c ANALYZE",
    ]


def _last_part(object_key: str) -> str:
    return object_key.rpartition("/")[2]
