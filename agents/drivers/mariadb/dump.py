"""A dump under way: mariadb-backup's or mariadb-dump's standard output, and whether it is whole."""

from __future__ import annotations

import re
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from agents.drivers.base import PlannedArtifact
from agents.drivers.mariadb.attributes import DATADIR_KIND, USERS_KIND
from agents.drivers.mariadb.client import Client
from agents.drivers.mariadb.errors import backup_failed, dump_failed, redactor, warnings_in
from agents.drivers.mariadb.health import replication_channels
from agents.drivers.mariadb.objects import broken_views
from agents.drivers.mariadb.option_file import login
from agents.drivers.mariadb.quoting import quote_account
from agents.drivers.mariadb.server import ServerFacts, look_at_grants, look_at_server
from agents.drivers.mariadb.tools import PACKAGES, find_program
from agents.drivers.programs import ProgramDump
from agents.processes import Child, Command, start
from contracts.errors import RunFailed
from contracts.services import MariaDBOptions

DUMP_MARK: Final = b"-- Dump completed"
BACKUP_MARK: Final = "completed OK!"
MBSTREAM_MAGIC: Final = b"XBSTCK01"
NotePosition = Callable[[dict[str, str]], None]
_POSITION: Final = re.compile(
    r"(?:binlog position:|binlog_pos =) filename '(?P<file>[^']*)', position '(?P<position>\d+)'"
    r"(?:, GTID of the last change '(?P<gtid>[^']*)')?"
)
_SHOWN: Final = 20


class MariaDBDump(ProgramDump):
    """`DumpSource` of one artifact."""

    def __init__(
        self, child: Child, artifact: PlannedArtifact, client: Client, broken: Sequence[str], note: NotePosition
    ) -> None:
        super().__init__(child)
        self._artifact = artifact
        self._client = client
        self._broken = broken
        self._note = note

    async def finish(self, plain_bytes: int, head: bytes, tail: bytes) -> list[str]:
        """The program's warnings.  Raises: RunFailed `dump.failed`, `dump.incomplete`, `engine.*`."""
        program, physical = self._child.command.name, self._artifact.kind == DATADIR_KIND
        status = await self.exit_status()
        words, connection = self._child.stderr, self._client.connection
        if not status.ok:
            raise (
                backup_failed(status, words, connection)
                if physical
                else dump_failed(status, words, connection, self._artifact.name)
            )
        why = missing_backup_mark(plain_bytes, head, words) if physical else missing_dump_mark(plain_bytes, tail)
        self.require_whole(f"dump of {self._artifact.name!r}", why)
        if physical:
            self._note(position_in(words))
        left_out = [
            f"view {view!r} of {self._artifact.name!r} is not in the backup: it refers to what does not exist any more"
            for view in self._broken[:_SHOWN]
        ]
        return left_out + ([] if physical else warnings_in(words, program))


def missing_dump_mark(plain_bytes: int, tail: bytes) -> str:
    """Why these cannot be the size and the end of a whole dump by mariadb-dump; empty when they can."""
    if plain_bytes == 0:
        return "it wrote nothing"
    return "" if tail.rstrip().rpartition(b"\n")[2].startswith(DUMP_MARK) else "the completion mark at the end is missing"


def missing_backup_mark(plain_bytes: int, head: bytes, words: str) -> str:
    """Why this cannot be a whole backup by mariadb-backup; `words` is the end of what it wrote to standard error."""
    if plain_bytes == 0:
        return "it wrote nothing"
    if not head.startswith(MBSTREAM_MAGIC):
        return "it does not begin as an mbstream"
    return "" if words.rstrip().endswith(BACKUP_MARK) else f"its last words are not {BACKUP_MARK!r}"


def position_in(words: str) -> dict[str, str]:
    """Where a physical backup is in the binary log, by the end of what mariadb-backup said; empty without a log."""
    found = _POSITION.search(words)
    if found is None:
        return {}
    gtid = {"gtid_slave_pos": found["gtid"]} if found["gtid"] else {}
    return {"binlog_file": found["file"], "binlog_position": found["position"], **gtid}


@asynccontextmanager
async def start_dump(
    client: Client, artifact: PlannedArtifact, options: MariaDBOptions, work_dir: Path, *, note: NotePosition
) -> AsyncIterator[MariaDBDump]:
    """The dump under way; leaving ends it.  Raises: RunFailed `engine.*`."""
    facts = await look_at_server(client)
    broken: list[str] = []
    with tempfile.TemporaryDirectory(prefix="mariadb-backup-", dir=work_dir) as empty:
        if artifact.kind == DATADIR_KIND:
            replica = bool(await replication_channels(client))
            program, arguments = "mariadb-backup", _back_up(facts, options, empty, replica=replica)
        elif artifact.kind == USERS_KIND:
            program, arguments = "mariadb-dump", ["--system=users", "--insert-ignore"]
        else:
            broken = await broken_views(client, artifact.name)
            if broken:
                await _require_to_be_broken(client, facts, artifact.name, broken)
            program, arguments = "mariadb-dump", _dump_database(facts, artifact.name, broken)
        with login(client.connection, client.runtime_dir) as given:
            command = Command(
                argv=[find_program(program, client.connection.bin_dir), given.argument, *arguments],
                package=PACKAGES[program],
                pass_fds=given.pass_fds,
                redact=redactor(given.secret),
                # mariadb-backup ignores SIGTERM, and would go on to its end.
                stop_signal=signal.SIGINT if artifact.kind == DATADIR_KIND else signal.SIGTERM,
            )
            async with start(command, stdout=True) as child:
                yield MariaDBDump(child, artifact, client, broken, note)


async def _require_to_be_broken(client: Client, facts: ServerFacts, database: str, views: Sequence[str]) -> None:
    """The server does not tell a view of what is gone from one of what the account may not use: that may not be left out."""
    missing = (await look_at_grants(client)).missing(["SELECT", "EXECUTE"])
    if missing:
        statement = f"GRANT {', '.join(missing)} ON *.* TO {quote_account(facts.account)}"
        raise RunFailed(
            "engine.permission",
            f"view {views[0]!r} of database {database!r} cannot be read: it refers to what does not exist any more, or to "
            f"what the account {facts.account!r} may not use: {statement}, or drop the view",
        )


def _back_up(facts: ServerFacts, options: MariaDBOptions, empty: str, *, replica: bool) -> Sequence[str]:
    """With `--stream` nothing is written into the target directory, but there has to be one."""
    return [
        "--backup",
        "--stream=mbstream",
        f"--target-dir={empty}",
        f"--parallel={options.parallel}",
        *(["--slave-info"] if replica else []),
        *(["--galera-info"] if facts.is_galera else []),
    ]


def _dump_database(facts: ServerFacts, name: str, broken: Sequence[str]) -> Sequence[str]:
    return [
        "--single-transaction",
        "--quick",
        "--routines",
        "--events",
        "--triggers",
        "--hex-blob",
        "--no-tablespaces",
        "--skip-add-locks",  # under them a table whose default comes from a sequence takes no rows (error 1100)
        "--default-character-set=utf8mb4",
        "--max-allowed-packet=1G",
        *(["--master-data=2", "--gtid"] if facts.log_bin else []),
        *(f"--ignore-table={name}.{view}" for view in broken),
        "--",
        name,
    ]
