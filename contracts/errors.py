"""Errors with a stable code, a sentence a person can act on, and what the caller may do next.

    StrongroomError
    ├── InvalidInput    the request is wrong: correct the named field and send it again
    ├── NotFound        the named thing does not exist
    ├── Conflict        the current state forbids it: look at the state, then decide
    ├── Denied          the caller may not do this; repeating it will not help
    ├── Unavailable     a part of the system does not answer: try again later (the only retryable branch)
    ├── RunFailed       a backup or restore could not be done; the detail holds the tool's own words
    └── Corrupt         stored or received bytes are not what they claim to be; never retried, call a person

Codes are part of the public contract: they appear in events, records, API answers and logs, and are never reused for
another meaning.  `CODES` is the complete list; an error with a code that is not in it cannot be constructed.
"""

from __future__ import annotations

from typing import ClassVar, Final

import msgspec

CODES: Final[dict[str, str]] = {
    # input
    "input.invalid": "a field has a value that is not allowed",
    "input.malformed": "the message is not valid JSON of the expected shape",
    "config.invalid": "a setting is unknown, malformed or missing",
    # naming things
    "project.not_found": "there is no such project",
    "project.exists": "a project of that name exists",
    "project.not_deleted": "the project was not deleted: there is nothing to undelete",
    "project.deleted": "the project was deleted; until its grace is over it can be had back",
    "service.not_found": "there is no such service",
    "service.exists": "a service of that name exists in the project",
    "service.deleted": "the service was deleted; until its grace is over it can be had back",
    "service.not_deleted": "the service was not deleted: there is nothing to undelete",
    "service.not_configured": "the agent has no connection settings for this service",
    "node.not_found": "there is no such node",
    "node.exists": "a node of that name exists",
    "node.in_use": "services still name this node",
    "node.unavailable": "no agent that could do the work is alive",
    "node.identity_changed": "the node presents another key than the one it registered with",
    "backup.not_found": "there is no such backup",
    "backup.not_completed": "only a completed backup can be used for this",
    "backup.in_use": "a restore is reading this backup",
    "backup.protected": "the backup bears a protected tag",
    "retention.unconfirmed": "the change would delete backups, and nobody confirmed that",
    "quota.exceeded": "the project's quota has no room for it",
    "artifact.not_found": "the backup has no artifact of that name",
    "restore.not_found": "there is no such restore",
    # being let in
    "access.unauthenticated": "no token was shown, or one that is not valid",
    "access.forbidden": "the token's role or project does not cover this",
    "access.limited": "too many failed attempts from this address",
    "access.busy": "as many streams or downloads are under way as may be at once",
    "token.not_found": "there is no such token",
    "profile.not_found": "nobody has logged in under that name on this machine",
    "schema.not_found": "there is no message of that name",
    # telling people
    "channel.not_found": "there is no such channel",
    "ping.not_found": "nothing is called after backups of the service",
    # running
    "run.overlap": "another run of this service is under way",
    "run.not_current": "the run has ended, or another attempt has taken its place",
    "run.cancelled": "somebody cancelled the run",
    "run.missed": "a run was due and nobody was there to do it",
    "agent.lost": "the agent stopped answering while it worked",
    "agent.internal": "the agent met an error it does not know",
    "dump.failed": "the engine's dump tool failed",
    "dump.incomplete": "the dump tool ended well but did not write a whole dump",
    "dump.stalled": "the dump tool stopped writing for longer than it may",
    "restore.failed": "the engine's restore tool failed",
    "restore.target_not_empty": "the target holds data and nobody asked to replace it",
    "restore.unsupported": "backups of this kind cannot be restored in that way",
    "restore.busy": "another restore to this target is under way",
    "engine.unreachable": "the database does not answer",
    "engine.auth_failed": "the database refused the credentials",
    "engine.permission": "the database role lacks a right that a backup needs",
    "engine.version_skew": "the tools on the host are older than the database",
    "engine.tool_missing": "a program that the driver needs is not installed",
    "engine.database_not_found": "a database that was named does not exist",
    "engine.degraded": "a part of the engine's data cannot be read at the moment",
    "engine.refused": "the engine answered a request with an error",
    "engine.unsupported": "the engine has something that its own backup method cannot take",
    # storing
    "upload.denied": "the object store refused the upload",
    "upload.occupied": "the store has an object of that name already",
    "upload.failed": "parts could not be stored in spite of repeated tries",
    "upload.mismatch": "what arrived in the bucket is not what was sent",
    "upload.too_large": "the artifact is larger than an object may be",
    "download.failed": "an object could not be read in spite of repeated tries",
    "store.unavailable": "the object store does not answer",
    "store.full": "the object store has no room left",
    "store.missing": "an object that should be there is not",
    "spool.full": "the agent's spool directory has no room left",
    # keys and bytes
    "key.unavailable": "the key that is needed is not held here",
    "key.invalid": "a recipient, identity or master key is malformed",
    "artifact.corrupt": "the artifact is damaged or is not what its record says",
    "manifest.corrupt": "the manifest is damaged or is not what its record says",
    # the system
    "request.forbidden": "the sender may not ask for this",
    "request.key_reused": "another request was sent under the same idempotency key",
    "request.in_progress": "the same request, under the same idempotency key, is being carried out",
    "request.unfinished": "whether the first request under this idempotency key was carried out is not known",
    "request.answer_gone": "the answer to the first request under this idempotency key is shown only once",
    "bus.unavailable": "the NATS server does not answer",
    "http.unavailable": "the coordinator does not answer over HTTP",
    "record.changed": "somebody else changed the record at the same time",
    "internal": "an error that Strongroom does not know; the log has the details",
}


class ErrorInfo(msgspec.Struct, frozen=True, kw_only=True):
    """An error as it travels and as records keep it."""

    code: str
    message: str
    field: str | None = None
    detail: str | None = None
    """The tool's or server's own words: at most a few KiB, the end of what it said, without secrets."""


class StrongroomError(Exception):
    """Base of all errors that Strongroom raises on purpose."""

    retryable: ClassVar[bool] = False
    exit_status: ClassVar[int] = 1

    def __init__(self, code: str, message: str, *, field: str | None = None, detail: str | None = None) -> None:
        if code not in CODES:
            raise ValueError(f"{code!r} is not a known error code")
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

    @property
    def info(self) -> ErrorInfo:
        return ErrorInfo(code=self.code, message=self.message, field=self.field, detail=self.detail)


class InvalidInput(StrongroomError):
    """The request is wrong; nothing was changed."""

    exit_status = 2


class NotFound(StrongroomError):
    """The named thing does not exist."""

    exit_status = 3


class Conflict(StrongroomError):
    """The state of things forbids it; nothing was changed."""

    exit_status = 4


class RunFailed(StrongroomError):
    """A backup or restore could not be done."""

    exit_status = 5


class Unavailable(StrongroomError):
    """A part of the system does not answer; the same call may work later."""

    retryable = True
    exit_status = 6


class Denied(StrongroomError):
    """The caller may not do this."""

    exit_status = 7


class Corrupt(StrongroomError):
    """Bytes are not what they claim to be."""

    exit_status = 8


_BRANCH_OF_PREFIX: Final[dict[str, type[StrongroomError]]] = {
    "input": InvalidInput,
    "config": InvalidInput,
    "request": Denied,
    "request.key_reused": InvalidInput,
    "request.in_progress": Conflict,
    "request.unfinished": Conflict,
    "request.answer_gone": Conflict,
    "access": Denied,
    "access.limited": Unavailable,
    "access.busy": Unavailable,
    "artifact.corrupt": Corrupt,
    "manifest.corrupt": Corrupt,
    "upload.mismatch": Corrupt,
    "key.invalid": InvalidInput,
    "key.unavailable": Denied,
    "store.missing": Corrupt,
    "store": Unavailable,
    "bus": Unavailable,
    "http": Unavailable,
    "node.unavailable": Unavailable,
    "service.not_configured": RunFailed,
    "record.changed": Conflict,
    "run.overlap": Conflict,
    "run.not_current": Conflict,
    "restore.busy": Conflict,
    "retention": Conflict,
    "quota": Conflict,
    "restore.target_not_empty": Conflict,
    "run": RunFailed,
    "agent": RunFailed,
    "dump": RunFailed,
    "restore": RunFailed,
    "engine": RunFailed,
    "upload": RunFailed,
    "download": RunFailed,
    "spool": RunFailed,
}


def branch_of(code: str) -> type[StrongroomError]:
    """The class that an error of this code belongs to, wherever it was raised."""
    if code.endswith(".not_found"):
        return RunFailed if code.startswith("engine.") else NotFound
    exact = _BRANCH_OF_PREFIX.get(code)
    if exact is not None:
        return exact
    prefix = code.partition(".")[0]
    if prefix in {"project", "service", "node", "backup"}:
        return Conflict
    return _BRANCH_OF_PREFIX.get(prefix, StrongroomError)


def error(code: str, message: str, *, field: str | None = None, detail: str | None = None) -> StrongroomError:
    """An error of the branch its code belongs to."""
    return branch_of(code)(code, message, field=field, detail=detail)


def from_info(info: ErrorInfo) -> StrongroomError:
    """The exception for an error that another program reported; a code from a newer version becomes `internal`."""
    if info.code not in CODES:
        return StrongroomError("internal", f"{info.code}: {info.message}", field=info.field, detail=info.detail)
    return error(info.code, info.message, field=info.field, detail=info.detail)
