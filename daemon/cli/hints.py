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
    "channel.not_found": "`strongroom notify list` shows the channels, `strongroom notify add NAME` adds one",
    "ping.not_found": "`strongroom service set-ping PROJECT/SERVICE` sets one",
    "run.overlap": "`strongroom backup follow BACKUP` waits for it, `strongroom backup cancel BACKUP` stops it",
    "run.missed": "`strongroom node list` shows which agents are alive, `strongroom service schedule` what was missed",
    "retention.unconfirmed": "run it again: `strongroom service set-retention` shows first what it deletes",
    "quota.exceeded": "`strongroom project usage PROJECT` shows who takes it, `strongroom project set-quota` makes more",
    "restore.target_not_empty": "`--replace` puts it in place of what is there, `--rename OLD=NEW` beside it",
    "record.changed": "look at it again, then repeat the command",
    "engine.unreachable": "on the node: `strongroom-agent service check` asks the database itself",
    "engine.auth_failed": "on the node: `strongroom-agent service check` asks the database itself",
    "engine.permission": "on the node: `strongroom-agent service check` asks the database itself",
    "engine.version_skew": "on the node: install tools that are at least as new as the database",
    "engine.tool_missing": "on the node: install it; `strongroom-agent service check` tells when it is found",
    "engine.database_not_found": "`strongroom service change PROJECT/SERVICE --include NAME` chooses others",
    "engine.degraded": "`strongroom node list` shows what the nodes see; when the engine is mended, try again",
    "upload.denied": "look at the object store's log and the coordinator's `[store]` settings, then try again",
    "upload.failed": "look whether the node reaches the object store, then try again",
    "download.failed": "look whether the object store is reached from here, then try again",
    "store.full": "make room in the object store, then try again",
    "spool.full": "on the node: make room in its spool directory, then try again",
    "access.unauthenticated": "`strongroom login URL` keeps another token; an admin makes one by `strongroom token create`",
    "access.forbidden": "`strongroom whoami` shows who you are there, and what you may",
    "token.not_found": "`strongroom token list` shows the tokens",
    "profile.not_found": "`strongroom profile list` shows them, `strongroom login URL --profile NAME` adds one",
    "key.unavailable": "`strongroom backup download --encrypted` gets the file for whoever holds the identity",
    "store.unavailable": "try again; if it lasts, look at the object store and the coordinator's `[store]` settings",
    "artifact.corrupt": "do not delete anything: another backup may be whole, and `--encrypted` still gets the bytes",
    "manifest.corrupt": "do not delete anything: the artifacts may be whole, and `strongroom backup download` checks them",
    "store.missing": "do not delete anything: find out who removed it, and restore another backup",
    "bus.unavailable": "`strongroom up` starts everything on this machine, `--config FILE` says how to reach another",
    "http.unavailable": "`strongroom profile list` shows which coordinators are known, `strongroom login URL` adds one",
    "internal": "the coordinator's log has the details",
}

_WHERE_TO_LOOK: Final[dict[str, str]] = {
    "project.exists": "`strongroom project show PROJECT` shows it",
    "service.exists": "`strongroom service show PROJECT/SERVICE` shows it, `strongroom service change` changes it",
    "node.exists": "`strongroom node list` shows whether its agent is alive",
    "run.not_current": "`strongroom backup list PROJECT/SERVICE` shows what became of it",
    "agent.lost": "`strongroom node list` shows which agents are alive, `strongroom logs BACKUP` what it logged last",
    "agent.internal": "`strongroom logs BACKUP` has what the agent logged",
    "dump.failed": "`strongroom logs BACKUP` has what the agent logged, `strongroom backup create` tries again",
    "dump.incomplete": "`strongroom logs BACKUP` has what the agent logged, `strongroom backup create` tries again",
    "dump.stalled": "`strongroom logs BACKUP` has what the agent logged, `strongroom backup create` tries again",
    "restore.failed": "nothing was put in place; `strongroom restores show RESTORE` has the tool's own words",
    "upload.mismatch": "`strongroom backup create` makes another; if it happens again, look at the network and the store",
}
"""Of errors that say nothing of how they are mended."""


def hint_for(code: str, message: str) -> str:
    """What mends an error of this code; empty when nobody can tell, or when the message itself says what to run."""
    return "" if "`" in message else _HINTS.get(code, "")


def step_after(code: str, message: str) -> str:
    """The same for whoever has run a command: where to look, if nothing mends it."""
    return "" if "`" in message else _HINTS.get(code) or _WHERE_TO_LOOK.get(code, "")
