"""How a backup is restored without Strongroom: nothing of ours is needed but the identity."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Final

from rich.console import Console
from rich.text import Text

from contracts.native_restore import KEY_FILE, native_restore_commands
from contracts.records import ArtifactRecord, BackupRecord
from daemon.cli.figures import count

_SHOWN: Final = 10
"""Artifacts whose lines are written out; the others are restored likewise."""


def draw_stock_commands(console: Console, record: BackupRecord) -> None:
    """The lines, in the order of the artifacts, and what the key file has to hold.

    Where an artifact takes several lines, one of each format stands for all.
    """
    console.print(Text("Without Strongroom", style="head"))
    console.print(Text(f"  objects below  {PurePosixPath(record.manifest_key).parent}/", style="quiet"), soft_wrap=True)
    holders = " or ".join(record.recipients)
    console.print(Text(f"  {KEY_FILE} holds the identity of  {holders}", style="quiet"), soft_wrap=True)
    shown: list[ArtifactRecord] = []
    likewise = 0
    for artifact in record.artifacts:
        lines = native_restore_commands(artifact)
        is_known = len(lines) > 1 and any(other.format == artifact.format for other in shown)
        if is_known or len(shown) == _SHOWN:
            likewise += 1
            continue
        shown.append(artifact)
        for line in lines:
            style = "quiet" if line.startswith("#") else "command"
            console.print(Text(f"  {line}", style=style), soft_wrap=True)
    if likewise:
        console.print(Text(f"  and likewise {count(likewise, 'further artifact')}", style="quiet"), soft_wrap=True)
