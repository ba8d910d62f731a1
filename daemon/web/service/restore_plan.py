"""A restore in words, before anything is done: what will be made or replaced, from where, how much, what stays as it is."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

import msgspec

from contracts.control import RestoreCreate
from contracts.records import ArtifactRecord, BackupRecord
from daemon.cli.figures import count, size

_ROLES: Final = frozenset({"globals", "users"})
_SETTINGS: Final = frozenset({"cluster", "aliases"})


class PlannedArtifact(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the plan."""

    name: str
    new_name: str
    """The same where it keeps its name."""
    kind: str
    plain_bytes: int
    outcome: str
    """Half a sentence: what becomes of it in its target."""
    replaces: bool
    """Whether something that is there may be lost."""


class RestorePlan(msgspec.Struct, frozen=True, kw_only=True):
    """All of it."""

    target: str
    """Such as `acme/staging`."""
    node: str
    """The one that was asked for; empty: the coordinator chooses."""
    is_elsewhere: bool
    """Whether the target is another service than the one that was backed up."""
    artifacts: list[PlannedArtifact]
    left_out: list[str]
    """Names of what the backup has beside those."""
    plain_bytes: int
    stored_bytes: int
    steps: list[str]
    """Sentences, in the order in which it happens."""
    untouched: list[str]
    """Sentences about what stays as it is."""
    needs_word: bool
    """Whether something can be lost, so that whoever asks has to type the target's name."""


def restore_plan(backup: BackupRecord, request: RestoreCreate, known_there: Collection[str] = ()) -> RestorePlan:
    """`known_there`: names of what the newest backup of the target holds, which is likely to be there still."""
    names = set(request.artifacts)
    chosen = [artifact for artifact in backup.artifacts if not names or artifact.name in names]
    target = f"{request.to_project}/{request.to_service}"
    planned = [_planned(artifact, request, known_there) for artifact in chosen]
    return RestorePlan(
        target=target,
        node=request.node,
        is_elsewhere=target != f"{backup.project}/{backup.service}",
        artifacts=planned,
        left_out=[artifact.name for artifact in backup.artifacts if artifact not in chosen],
        plain_bytes=sum(artifact.plain_bytes for artifact in chosen),
        stored_bytes=sum(artifact.stored_bytes for artifact in chosen),
        steps=_steps(request, chosen),
        untouched=_untouched(backup, request, target),
        needs_word=request.replace,
    )


def _planned(artifact: ArtifactRecord, request: RestoreCreate, known_there: Collection[str]) -> PlannedArtifact:
    new = request.rename.get(artifact.name, artifact.name)
    return PlannedArtifact(
        name=artifact.name,
        new_name=new,
        kind=artifact.kind,
        plain_bytes=artifact.plain_bytes,
        outcome=_outcome(artifact, new, request, known_there),
        replaces=request.replace and artifact.kind not in _ROLES,
    )


def _outcome(artifact: ArtifactRecord, new: str, request: RestoreCreate, known_there: Collection[str]) -> str:
    if artifact.kind in _ROLES and not request.directory:
        if request.skip_roles:
            return "left out: no roles are made"
        return "roles that are missing are made; those that exist stay"
    if request.directory:
        where = f"the directory {request.directory}"
        what = f"{count(len(request.paths), 'path')} of it go into {where}" if request.paths else f"goes into {where}"
        return f"{what}, in place of what is there" if request.replace else f"{what}, which has to be empty or not there"
    if artifact.kind in _SETTINGS:
        return "is put in place of what is there" if request.replace else "adds what is not there yet"
    if request.paths:
        what = f"{count(len(request.paths), 'path')} of it go back to where they came from"
        return f"{what}, in place of what is there" if request.replace else f"{what}, where nothing may be yet"
    if not request.replace:
        likely = f"; the target's newest backup holds {new}, so it may be refused" if new in known_there else ""
        return f"is made new; refused if {new} exists and holds data{likely}"
    if new in known_there:
        return f"takes the place of {new}, and what that holds now is lost"
    return f"is made new, or takes the place of {new} if that exists"


def _steps(request: RestoreCreate, chosen: Sequence[ArtifactRecord]) -> list[str]:
    where = request.node or f"a node of {request.to_project}/{request.to_service}"
    stored = size(sum(artifact.stored_bytes for artifact in chosen))
    one = len(chosen) == 1
    it, has = ("It", "has") if one else ("Each", "has")
    return [
        f"The agent on {where} checks that the target can take {'it' if one else 'all of it'}; if not, nothing is changed.",
        f"It fetches {stored} from the bucket, {count(len(chosen), 'object')}, and decrypts on the way.",
        f"{it} is built beside its target, and takes its place only when every byte {has} proved authentic.",
    ]


def _untouched(backup: BackupRecord, request: RestoreCreate, target: str) -> list[str]:
    lines = [f"The backup {backup.id} itself, and all others."]
    if target != f"{backup.project}/{backup.service}":
        lines.append(f"{backup.project}/{backup.service}, which was backed up.")
    if request.directory:
        lines.append(f"The running server of {target}: it goes on with the data that it has.")
    else:
        lines.append(f"Whatever else is in {target}.")
    if not request.replace:
        lines.append("Data that are there: nothing is replaced.")
    if request.skip_roles:
        lines.append("The target's roles: none are made, and everything belongs to the role that restores.")
    return lines
