"""The next step after an error, where its own sentence does not name one."""

from __future__ import annotations

from typing import Final

_HINTS: Final[dict[str, str]] = {
    "project.not_found": "`strongroom project list` shows the projects, `strongroom project create NAME` makes one",
    "project.deleted": "`strongroom project undelete PROJECT` brings it back while its grace is not over",
    "service.not_found": "`strongroom service list` shows the services, `strongroom service add` adds one",
    "service.deleted": "`strongroom service undelete PROJECT/SERVICE` brings it back while its grace is not over",
    "service.not_deleted": "`strongroom service list` shows what is deleted",
    "project.not_deleted": "`strongroom project list` shows what is deleted",
    "service.not_configured": "on the node: `strongroom-agent service add PROJECT/SERVICE --kind KIND …`",
    "node.not_found": "`strongroom node list` shows the nodes, `strongroom node add NAME` registers one",
    "node.in_use": "`strongroom service change PROJECT/SERVICE --node OTHER` moves a service to other nodes",
    "node.unavailable": "`strongroom node list` shows which agents are alive",
    "backup.not_found": "`strongroom backup list PROJECT/SERVICE` shows the backups that there are",
    "backup.not_completed": "`strongroom backup list PROJECT/SERVICE` shows which backups are completed",
    "backup.protected": "`strongroom backup protect BACKUP --off` takes the protection away",
    "artifact.not_found": "`strongroom backup show BACKUP` lists the artifacts",
    "backup.in_use": "`strongroom restores list` shows the restores under way",
    "restore.not_found": "`strongroom restores list` shows the restores that there are",
    "restore.busy": "`strongroom restores list` shows it, `strongroom restores cancel` stops it",
    "run.overlap": "`strongroom backup follow BACKUP` waits for it, `strongroom backup cancel BACKUP` stops it",
    "run.missed": "`strongroom node list` shows which agents are alive, `strongroom service schedule` what was missed",
    "retention.unconfirmed": "run it again: `strongroom service set-retention` shows first what it deletes",
    "quota.exceeded": "`strongroom project usage PROJECT` shows who takes it, `strongroom project set-quota` makes more",
    "record.changed": "look at it again, then repeat the command",
    "engine.unreachable": "on the node: `strongroom-agent service check` asks the database itself",
    "engine.auth_failed": "on the node: `strongroom-agent service check` asks the database itself",
    "engine.permission": "on the node: `strongroom-agent service check` asks the database itself",
    "key.unavailable": "`strongroom backup download --encrypted` gets the file for whoever holds the identity",
    "store.unavailable": "try again; if it lasts, look at the object store and the coordinator's `[store]` settings",
    "artifact.corrupt": "do not delete anything: another backup may be whole, and `--encrypted` still gets the bytes",
    "internal": "the coordinator's log has the details",
}


def hint_for(code: str, message: str) -> str:
    """The step for this code; empty when there is none, or when the message itself says what to run."""
    return "" if "`" in message else _HINTS.get(code, "")
