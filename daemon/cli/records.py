"""The record of one backup, without what its manifest says.

`backup.show` reads the manifest from the store and opens its inventory.  Waiting, downloading and deleting must not depend
on either: a manifest that is damaged or a store that is away is no reason not to know how a run ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from contracts import control
from contracts.records import BackupRecord
from daemon.cli.references import RunRef

if TYPE_CHECKING:
    from daemon.cli.client import ControlClient


async def backup_record(client: ControlClient, ref: RunRef, *, timeout_s: float = 30) -> BackupRecord:
    """The backup of that id, or the newest completed one for `latest`.  Raises: NotFound `backup.not_found`."""
    request = control.RunRefRequest(project=ref.project, service=ref.service, id=ref.id)
    return await client.ask(control.BACKUP_RECORD, request, timeout_s=timeout_s)
