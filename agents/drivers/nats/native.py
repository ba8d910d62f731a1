"""The same restore with stock tools and nothing of Strongroom: for the documentation, and for the day it is needed."""

from __future__ import annotations

import shlex

from agents.drivers.nats.attributes import parse_attributes
from contracts.records import ArtifactRecord


def native_restore_commands(artifact: ArtifactRecord, *, file: str = "", identity: str = "identity.txt") -> list[str]:
    """Shell lines that restore a stream with age, zstd, tar and the `nats` program, in this order; pure.

    `file` is the downloaded object, by default named like it.  The server and the login are chosen as for all commands of
    `nats`, by its context or NATS_URL, NATS_USER, NATS_PASSWORD, NATS_CREDS.
    """
    directory = shlex.quote(f"./{artifact.name}")
    opened = f"age -d -i {shlex.quote(identity)} {shlex.quote(file or artifact.object_key.rpartition('/')[2])} | zstd -d"
    lines = [
        f"mkdir {directory}",
        f"{opened} | tar -x -C {directory}",
        f'for part in {directory}/stream.*.s2.*; do cat "$part" >> "${{part%.*}}" && rm "$part"; done',
    ]
    if parse_attributes(artifact).storage == "memory":  # the program refuses such, the server takes it
        lines.append(f"""sed -i 's/"storage": "memory"/"storage": "file"/' {directory}/backup.json""")
    return [*lines, f"nats stream restore {directory}"]
