"""A restore without Strongroom: the shell lines that bring an artifact back with age, zstd and the engine's own programs.

Pure, and shared: the operator's command line prints them, and the drivers' tests run them.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

from contracts.records import ArtifactRecord

KEY_FILE: Final = "key.txt"


def native_restore_commands(artifact: ArtifactRecord, *, file: str = "", key_file: str = KEY_FILE) -> list[str]:
    """Lines for a shell, in this order; `#` begins those that a person has to do otherwise.

    `file` is the downloaded object, by default named like it; `key_file` holds an identity that opens it.  Servers and
    logins are chosen as each program does it: PGHOST, PGUSER, ~/.my.cnf, NATS_URL, QDRANT_API_KEY and so on.  For a format
    that is not known the object is opened, and that is all.
    """
    name = file or artifact.object_key.rpartition("/")[2]
    opened = f"age -d -i {shlex.quote(key_file)} {shlex.quote(name)} | zstd -d"
    lines = _LINES.get(artifact.format)
    return lines(artifact, opened) if lines else [f"{opened} > {shlex.quote(name.removesuffix('.zst.age'))}"]


def _pg_dump(_: ArtifactRecord, opened: str) -> list[str]:
    return [f"{opened} | pg_restore --create --exit-on-error -d postgres"]


def _sql(artifact: ArtifactRecord, opened: str) -> list[str]:
    """Of PostgreSQL's roles, MariaDB's accounts, or one of its databases."""
    if artifact.kind == "globals":
        return [f"{opened} | psql -X -d postgres"]
    if artifact.kind != "database":
        return ["# accounts that exist, root among them, get the passwords of the backup", f"{opened} | mariadb"]
    name = artifact.name.replace("`", "``")
    create = f"CREATE DATABASE `{name}`"
    for clause, field in (("CHARACTER SET", "charset"), ("COLLATE", "collation")):
        if value := artifact.attributes.get(field):
            create += f" {clause} {value}"
    client = "mariadb --default-character-set=utf8mb4"
    return [
        f"{client} -e {shlex.quote(create)}",
        f"{opened} | {client} --binary-mode --comments --database={shlex.quote(artifact.name)}",
    ]


def _pg_basebackup(_: ArtifactRecord, opened: str) -> list[str]:
    return [
        "# as the user whom the server is to run as",
        "mkdir -m 0700 restored",
        f"{opened} | tar -x -C restored",
        "pg_verifybackup restored",
        "rm -f restored/standby.signal",
        "pg_ctl -D restored -l restored.log start",
    ]


def _mbstream(_: ArtifactRecord, opened: str) -> list[str]:
    return [
        "# as the user whom the server is to run as",
        "mkdir -m 0700 restored",
        f"{opened} | mbstream -x -C restored",
        "mariadb-backup --prepare --target-dir=restored",
        "# links to where tables of the original may still lie",
        "find restored -name '*.isl' -delete",
        "# then start mariadbd with datadir there, and with the settings of InnoDB in restored/backup-my.cnf",
    ]


def _qdrant_snapshot(artifact: ArtifactRecord, opened: str) -> list[str]:
    collection = artifact.attributes.get("collection")
    url = f"http://127.0.0.1:6333/collections/{quote(str(collection or artifact.name), safe='')}/snapshots"
    key = '-H "api-key: $QDRANT_API_KEY"'
    return [
        (
            f"{opened} | curl -fsS -X POST '{url}/upload?priority=snapshot&wait=true' {key} "
            "-F 'snapshot=@-;filename=restored.snapshot'"
        ),
        f"curl -fsS -X DELETE '{url}/restored.snapshot' {key}",
    ]


def _qdrant_aliases(_: ArtifactRecord, opened: str) -> list[str]:
    return [
        (
            f"{opened} | jq '{{actions}}' | curl -fsS -X POST http://127.0.0.1:6333/collections/aliases "
            "-H \"api-key: $QDRANT_API_KEY\" -H 'Content-Type: application/json' -d @-"
        )
    ]


def _elasticdump(artifact: ArtifactRecord, opened: str) -> list[str]:
    index = f"http://127.0.0.1:9200/{quote(artifact.name, safe='')}"
    load = f"elasticdump --type=data --limit=1000 --support-big-int --input=$ --output={index}"
    return [
        f"{opened} | tar -xO index.json | elasticdump --type=index --input=$ --output={index}",
        f"{opened} | tar -xO --wildcards 'data-*' | {load}",
    ]


def _elasticsearch_cluster(_: ArtifactRecord, opened: str) -> list[str]:
    return [
        "mkdir ./cluster",
        f"{opened} | tar -x -C ./cluster",
        (
            "for kind in component_template template index_template; do "
            "elasticdump --type=$kind --input=./cluster/$kind.json --output=http://127.0.0.1:9200; done"
        ),
        "# the other files hold the bodies of PUT _ingest/pipeline/NAME, _scripts/NAME and so on",
    ]


def _nats_stream(artifact: ArtifactRecord, opened: str) -> list[str]:
    directory = shlex.quote(f"./{artifact.name}")
    lines = [
        f"mkdir {directory}",
        f"{opened} | tar -x -C {directory}",
        f'for part in {directory}/stream.*.s2.*; do cat "$part" >> "${{part%.*}}" && rm "$part"; done',
    ]
    if artifact.attributes.get("storage") == "memory":  # the program refuses such, the server takes it
        lines.append(f"""sed -i 's/"storage": "memory"/"storage": "file"/' {directory}/backup.json""")
    return [*lines, f"nats stream restore {directory}"]


def _meilisearch(_: ArtifactRecord, opened: str) -> list[str]:
    return [
        f"{opened} > restored.dump",
        "# with the master key of the instance that was backed up:",
        'MEILI_MASTER_KEY="$MASTER_KEY" meilisearch --db-path ./restored.ms --import-dump restored.dump',
    ]


def _tree(_: ArtifactRecord, opened: str) -> list[str]:
    return [
        "mkdir restored",
        (
            f"{opened} | tar -x --numeric-owner --xattrs --xattrs-include='*' --acls -p --same-owner "
            "--delay-directory-restore -C restored"
        ),
    ]


_LINES: Final[dict[str, Callable[[ArtifactRecord, str], list[str]]]] = {
    "pg_dump-custom": _pg_dump,
    "sql": _sql,
    "pg_basebackup-tar": _pg_basebackup,
    "mbstream": _mbstream,
    "qdrant-snapshot": _qdrant_snapshot,
    "qdrant-aliases": _qdrant_aliases,
    "elasticdump-tar": _elasticdump,
    "elasticsearch-cluster-tar": _elasticsearch_cluster,
    "nats-stream-backup": _nats_stream,
    "meilisearch-dump": _meilisearch,
    "tar-posix": _tree,
}
"""By the format of the artifact."""
