"""What the restore wizard was filled with, as a request: what the kind of backup cannot do is not asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from contracts.control import RestoreCreate
from contracts.errors import InvalidInput
from contracts.ids import parse_service_ref
from contracts.records import ArtifactRecord, BackupRecord
from daemon.web.forms import Form
from daemon.web.service.restore_abilities import is_renamable, restore_abilities

CHOSEN: Final = "artifact"
_RENAME: Final = "rename-"


def rename_field(index: int) -> str:
    """The field of the new name of the artifact at this place in the backup: names may hold anything, fields do not."""
    return f"{_RENAME}{index}"


def blank_form(backup: BackupRecord) -> Form:
    """Everything back to where it came from."""
    return Form.filled(
        to=f"{backup.project}/{backup.service}",
        node="",
        directory="",
        paths="",
        **{CHOSEN: [str(index) for index in range(len(backup.artifacts))]},
    )


def chosen_artifacts(backup: BackupRecord, form: Form) -> list[ArtifactRecord]:
    """Those that are ticked; all where single ones cannot be chosen."""
    if not restore_abilities(backup.kind, backup.artifacts).select:
        return list(backup.artifacts)
    ticked = set(form.all(CHOSEN))
    return [artifact for index, artifact in enumerate(backup.artifacts) if str(index) in ticked]


def restore_request(backup: BackupRecord, form: Form) -> RestoreCreate:
    """Raises: InvalidInput naming the form's field."""
    can = restore_abilities(backup.kind, backup.artifacts)
    to_project, to_service = parse_service_ref(form.value("to"), "to")
    chosen = chosen_artifacts(backup, form)
    if not chosen:
        raise InvalidInput("input.invalid", "choose what to restore: at least one", field=CHOSEN)
    directory = form.value("directory") if can.directory else ""
    if can.needs_directory and not directory and _fills_directory(backup.kind, chosen):
        raise InvalidInput(
            "input.invalid",
            "this kind of backup is restored into a directory: name one below the restore_dir of the host",
            field="directory",
        )
    return RestoreCreate(
        project=backup.project,
        service=backup.service,
        id=backup.id,
        to_project=to_project,
        to_service=to_service,
        node=form.value("node"),
        artifacts=[] if len(chosen) == len(backup.artifacts) else [artifact.name for artifact in chosen],
        rename=_renames(backup, form, chosen) if can.rename else {},
        replace=form.checked("replace"),
        skip_roles=can.skip_roles and form.checked("skip_roles"),
        directory=directory,
        paths=form.lines("paths") if can.paths else [],
    )


def _fills_directory(kind: str, chosen: Sequence[ArtifactRecord]) -> bool:
    """MariaDB's accounts alone go into the running server."""
    return kind != "mariadb" or any(artifact.kind != "users" for artifact in chosen)


def _renames(backup: BackupRecord, form: Form, chosen: Sequence[ArtifactRecord]) -> dict[str, str]:
    """Raises: InvalidInput where two would get the same name."""
    found: dict[str, str] = {}
    taken: dict[str, str] = {}
    for index, artifact in enumerate(backup.artifacts):
        if artifact not in chosen:
            continue
        wanted = form.value(rename_field(index)) if is_renamable(artifact) else ""
        new = wanted or artifact.name
        if new in taken:
            raise InvalidInput(
                "input.invalid", f"{taken[new]!r} and {artifact.name!r} would both become {new!r}", field=rename_field(index)
            )
        taken[new] = artifact.name
        if new != artifact.name:
            found[artifact.name] = new
    return found
