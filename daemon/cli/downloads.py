"""`strongroom backup download`: a backup's artifacts as files on the operator's machine."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer
from rich.console import Console
from rich.text import Text

from contracts.errors import Conflict, NotFound, StrongroomError
from contracts.records import ArtifactRecord, BackupRecord, RunState
from daemon.artifacts.names import plan_names
from daemon.cli.arguments import BackupArgument
from daemon.cli.backups import backups
from daemon.cli.command import Call, command
from daemon.cli.download_views import DownloadView, view_of
from daemon.cli.figures import size
from daemon.cli.plain_text import visible
from daemon.cli.records import backup_record
from daemon.cli.references import RunRef, parse_run_ref
from daemon.cli.tables import Column, print_table
from daemon.cli.target_files import TargetFiles
from daemon.cli.words import run_name

if TYPE_CHECKING:
    from daemon.cli.client import ControlClient

ALL: Final = "all"


class SavedFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file that was written."""

    artifact: str
    path: str
    size_bytes: int
    encrypted: bool
    sha256: str | None = None
    """Of the file, where the record knows it: that is, of the encrypted one."""


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """What `--json` prints."""

    project: str
    service: str
    id: str
    files: list[SavedFile]


def add_to(_: typer.Typer) -> None:
    """It is a command of `strongroom backup`, which adds itself."""


@command(
    backups,
    "download",
    examples=[
        ("strongroom backup download acme/orders/latest", "all artifacts, into a directory named like the backup"),
        ("strongroom backup download acme/orders/latest --artifact orders --output orders.pgdump", "one, under this name"),
        ("strongroom backup download acme/orders/latest --encrypted --output vault/", "as they lie in the bucket"),
    ],
)
async def download(
    call: Call,
    backup: BackupArgument,
    artifact: Annotated[
        list[str] | None,
        typer.Option(
            "--artifact", metavar="NAME", help="Only this artifact, or `all`. May be repeated.", show_default=False
        ),
    ] = None,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="DIR|FILE", help="Where to write.", show_default=False)
    ] = "",
    encrypted: Annotated[
        bool, typer.Option("--encrypted", help="As age files, the way they are stored.", show_default=False)
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.", show_default=False)] = False,
) -> None:
    """Download a backup as plain native files, decrypted here.

    The project's identity stays where it is: the coordinator seals each artifact's key to one made for this download.
    Files appear when all of them are whole and have proved authentic; a download that fails leaves nothing."""
    ref = parse_run_ref(backup, "backup")
    async with call.connect() as client:
        record = await backup_record(client, ref)
        if record.state is not RunState.COMPLETED:
            raise Conflict(
                "backup.not_completed", f"backup {run_name(record)} is {record.state}: there is nothing to download"
            )
        ref = RunRef(record.project, record.service, record.id)
        chosen = choose(record, artifact or [])
        directory, paths = plan_paths(record, chosen, output, encrypted=encrypted)
        _warn_of_room(call, chosen, paths, encrypted=encrypted)
        with TargetFiles(paths, directory, overwrite=force) as targets, view_of(call.terminal, chosen) as view:
            await _save_all(call, client, ref, chosen, paths, targets, view, encrypted=encrypted)
            targets.publish()
    saved = Saved(
        project=ref.project,
        service=ref.service,
        id=ref.id,
        files=[_saved(a, path, encrypted=encrypted) for a, path in zip(chosen, paths, strict=True)],
    )
    call.terminal.result(saved, lambda console: _draw(console, saved))


def choose(record: BackupRecord, wanted: Sequence[str]) -> list[ArtifactRecord]:
    """The artifacts of these names, in the backup's order; all of them for none, and for `all` unless one is called so.

    Raises: NotFound `artifact.not_found` with the names that there are.
    """
    names = [each.name for each in record.artifacts]
    if not wanted or (ALL in wanted and ALL not in names):
        return list(record.artifacts)
    for name in wanted:
        if name not in names:
            there = ", ".join(map(repr, names))
            raise NotFound(
                "artifact.not_found", f"backup {run_name(record)} has no artifact {name!r}; it has {there}", field="artifact"
            )
    return [each for each in record.artifacts if each.name in wanted]


def plan_paths(
    record: BackupRecord, chosen: Sequence[ArtifactRecord], output: str, *, encrypted: bool
) -> tuple[Path | None, list[Path]]:
    """The directory that may be made for it, and where each artifact goes.

    One artifact may go to a file, in a directory that is there; several, and whatever ends with `/`, go into a directory.
    """
    names = plan_names(chosen, encrypted=encrypted)
    whole = len(chosen) == len(record.artifacts)
    if not output:
        directory = Path(f"{record.project}-{record.service}-{record.id}") if whole else Path()
        return directory, [directory / name for name in names]
    given = Path(output).expanduser()
    if len(chosen) == 1 and not output.endswith("/") and not given.is_dir():
        return None, [given]
    return given, [given / name for name in names]


async def _save_all(
    call: Call,
    client: ControlClient,
    ref: RunRef,
    chosen: Sequence[ArtifactRecord],
    paths: Sequence[Path],
    targets: TargetFiles,
    view: DownloadView,
    *,
    encrypted: bool,
) -> None:
    # Imported late: listing backups needs neither an HTTP client nor a decompressor.
    from daemon.cli.downloading import ArtifactDownload
    from daemon.cli.object_reader import open_http

    async with open_http() as http:
        for artifact, path in zip(chosen, paths, strict=True):
            view.begin(artifact)
            try:
                with targets.open(path) as file:
                    one = ArtifactDownload(client, http, ref, artifact, encrypted=encrypted, actor=call.actor)
                    await one.save(file, path, view.heard)
            except StrongroomError as exc:
                if len(chosen) > 1 and exc.detail is None:
                    exc.detail = f"nothing was kept; --artifact NAME downloads the others of {ref} one by one"
                raise
            view.end(artifact)


def _warn_of_room(call: Call, chosen: Sequence[ArtifactRecord], paths: Sequence[Path], *, encrypted: bool) -> None:
    """A warning only: a file system that compresses may take more than it says."""
    needed = sum(each.stored_bytes if encrypted else each.plain_bytes for each in chosen)
    directory = paths[0].parent if paths[0].parent.is_dir() else paths[0].parent.parent
    try:
        free = shutil.disk_usage(directory).free
    except OSError:
        return
    if free < needed:
        call.terminal.say(Text(f"{directory} has {size(free)} free, and {size(needed)} are to come.", style="odd"))


def _saved(artifact: ArtifactRecord, path: Path, *, encrypted: bool) -> SavedFile:
    return SavedFile(
        artifact=artifact.name,
        path=str(path),
        size_bytes=artifact.stored_bytes if encrypted else artifact.plain_bytes,
        encrypted=encrypted,
        sha256=artifact.sha256 if encrypted else None,
    )


def _draw(console: Console, saved: Saved) -> None:
    print_table(
        console,
        [Column("FILE"), Column("SIZE", rank=1, align="right"), Column("ARTIFACT", rank=2)],
        [(Text(visible(file.path), style="name"), size(file.size_bytes), file.artifact) for file in saved.files],
    )
