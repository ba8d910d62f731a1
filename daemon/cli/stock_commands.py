"""How a backup is restored without Strongroom: nothing of ours is needed but the identity."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Final

from rich.console import Console
from rich.text import Text

from contracts.records import ArtifactRecord, BackupRecord

_RESTORERS: Final[dict[str, str]] = {
    "pg_dump-custom": "pg_restore --create --exit-on-error -d postgres",
    "sql": "psql -X -d postgres",
}


def stock_command(artifact: ArtifactRecord) -> str:
    """The pipeline for the object as it lies in the bucket; into a file where the engine's own step is not one command.

    Names of objects hold nothing that a shell would act on: `contracts.object_keys`.
    """
    name = PurePosixPath(artifact.object_key).name
    restorer = _RESTORERS.get(artifact.format)
    end = f"| {restorer}" if restorer else f"> {name.removesuffix('.zst.age')}"
    return f"age -d -i key.txt {name} | zstd -d {end}"


def draw_stock_commands(console: Console, record: BackupRecord) -> None:
    """The commands, in the order of the artifacts, and what `key.txt` has to hold."""
    console.print(Text("Without Strongroom", style="head"))
    console.print(Text(f"  objects below  {PurePosixPath(record.manifest_key).parent}/", style="quiet"), soft_wrap=True)
    holders = " or ".join(record.recipients)
    console.print(Text(f"  key.txt holds the identity of  {holders}", style="quiet"), soft_wrap=True)
    for artifact in record.artifacts:
        console.print(Text(f"  {stock_command(artifact)}", style="command"), soft_wrap=True)
