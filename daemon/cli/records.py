"""The record of one backup, without what its manifest says.

`backup.show` reads the manifest from the store and opens its inventory.  Waiting, downloading and deleting must not depend
on either: a manifest that is damaged or a store that is away is no reason not to know how a run ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from contracts import control
from contracts.errors import NotFound
from contracts.records import BackupRecord
from daemon.cli.references import LATEST, RunRef

if TYPE_CHECKING:
    from daemon.cli.client import ControlClient

_NEWEST: Final = 5
"""A run that somebody waits for is nearly always the newest of its service."""


async def backup_record(client: ControlClient, ref: RunRef, *, timeout_s: float = 30) -> BackupRecord:
    """The backup of that id, or the newest completed one for `latest`.  Raises: NotFound `backup.not_found`."""
    if ref.id == LATEST:
        service = control.ServiceRef(project=ref.project, service=ref.service)
        newest = (await client.ask(control.SERVICE_SHOW, service, timeout_s=timeout_s)).last_completed
        if newest is None:
            raise NotFound("backup.not_found", f"{ref.project}/{ref.service} has no completed backup", field="backup")
        return newest
    listing = control.BackupList(project=ref.project, service=ref.service, limit=_NEWEST)
    for record in (await client.ask(control.BACKUP_LIST, listing, timeout_s=timeout_s)).backups:
        if record.id == ref.id:
            return record
    request = control.RunRefRequest(project=ref.project, service=ref.service, id=ref.id)
    return (await client.ask(control.BACKUP_SHOW, request, timeout_s=timeout_s)).record
