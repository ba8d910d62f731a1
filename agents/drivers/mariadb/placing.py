"""Putting a loaded database into its place, and taking that back.

    scratch: new tables      ┐  one RENAME   ┌ target: new tables, then what the dump has besides tables
    target:  old tables, … ──┘               └ replaced: old tables

What is no table cannot be moved: of the old database it is kept as a script of mariadb-dump, until all is well.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from agents.drivers.mariadb.attributes import DumpAttributes
from agents.drivers.mariadb.client import Client
from agents.drivers.mariadb.databases import (
    LOCK_WAIT_S,
    REPLACED,
    TIMEOUT_S,
    UNFINISHED,
    Names,
    charset_clause,
    create_statement,
    drop_statement,
    patiently,
)
from agents.drivers.mariadb.errors import StatementFailed
from agents.drivers.mariadb.objects import (
    Contents,
    RoutineRight,
    Schema,
    drop_all_but_tables,
    drop_triggers,
    fix_defaults,
    give_right,
    look_at_contents,
    look_at_schema,
    placeholder_views,
    referring_tables,
    rename_tables,
    rights_on_routines,
    script_of_others,
    script_of_triggers,
)
from agents.drivers.mariadb.quoting import qualified, quote_identifier
from agents.drivers.mariadb.splitting import DumpSplitter
from contracts.errors import Conflict, RunFailed, StrongroomError

log = structlog.get_logger()

_UNDO_LOCK_WAIT_S: Final = 300.0
"""Longer than `LOCK_WAIT_S`: what is not undone stays half replaced."""
_LOCK_TIMEOUT: Final = 1205
_DANGLING: Final = frozenset({1049, 1146, 1305, 1356})
_PREAMBLE: Final = b"""\
SET NAMES utf8mb4;
SET @OLD_CHARACTER_SET_CLIENT = @@character_set_client, @OLD_CHARACTER_SET_RESULTS = @@character_set_results;
SET @OLD_COLLATION_CONNECTION = @@collation_connection, @OLD_TIME_ZONE = @@time_zone, @OLD_SQL_MODE = @@sql_mode;
SET @OLD_UNIQUE_CHECKS = @@unique_checks, @OLD_FOREIGN_KEY_CHECKS = @@foreign_key_checks, @OLD_SQL_NOTES = @@sql_notes;
SET time_zone = '+00:00', unique_checks = 0, foreign_key_checks = 0, sql_mode = 'NO_AUTO_VALUE_ON_ZERO', sql_notes = 0;
"""
"""What mariadb-dump writes at the beginning: the parts of a dump that come later refer to it."""


@dataclass(frozen=True)
class Before:
    """What there was at the target, enough to bring it back."""

    schema: Schema
    contents: Contents
    script: bytes
    rights: list[RoutineRight]


async def require_replaceable(client: Client, name: str, *, replace: bool) -> Contents | None:
    """What is there now; None when there is no such database.

    Raises: Conflict `restore.target_not_empty`, RunFailed `restore.failed`.
    """
    schema = await look_at_schema(client, name)
    if schema is None:
        return None
    contents = await look_at_contents(client, name)
    if not contents.empty and not replace:
        if is_unfinished(schema):
            raise Conflict(
                "restore.target_not_empty",
                f"database {name!r} holds {contents}, which a restore that was cut off has left, as its comment says: "
                "restore with --replace if nobody has used it since",
            )
        raise Conflict(
            "restore.target_not_empty",
            f"database {name!r} holds {contents}: restore with --replace to lose that, or under another name with --rename",
        )
    referring = await referring_tables(client, name)
    if referring:
        raise RunFailed(
            "restore.failed",
            f"database {name!r} cannot be replaced while tables of other databases have foreign keys into it "
            f"({', '.join(referring[:10])}): drop those keys, or restore under another name with --rename",
        )
    return contents


class Placing:
    """One exchange.  `place` does it or leaves everything as it was; `undo` takes a finished one back."""

    def __init__(self, client: Client, names: Names, attributes: DumpAttributes, *, replace: bool) -> None:
        self._client = client
        self._names = names
        self._attributes = attributes
        self._replace = replace
        self._before: Before | None = None
        self._new_tables: list[str] = []
        self._begun = False
        self._placed = False
        self.warnings: list[str] = []
        self._mark = UNFINISHED + names.run_id
        """The comment of a target that did not exist, until it is whole."""

    @property
    def replaced_something(self) -> bool:
        return self._before is not None and not self._before.contents.empty

    @property
    def is_stuck(self) -> bool:
        """Whether `undo` could not do all: then the old tables must not be dropped, wherever they are."""
        return self._begun

    async def place(self, dump: DumpSplitter) -> None:
        """Raises: RunFailed `restore.failed`, `engine.*`, Conflict; the target is then as it was."""
        try:
            await self._place(dump)
        except StrongroomError:
            await self.undo()
            raise

    async def _place(self, dump: DumpSplitter) -> None:
        client, names = self._client, self._names
        # Looked at once more: hours may have passed since the check.
        existing = await require_replaceable(client, names.target, replace=self._replace)
        if await look_at_schema(client, names.scratch) is None:  # which would look like a dump of nothing
            raise RunFailed(
                "restore.failed",
                f"somebody has dropped database {names.scratch!r}, into which {names.target!r} was being restored: restore "
                "again, and look for another restore to the same database at the same time",
            )
        loaded = await look_at_contents(client, names.scratch)
        self._new_tables = loaded.tables
        triggers = await script_of_triggers(client, names.scratch) if loaded.triggers else b""
        if existing is not None:
            schema = await look_at_schema(client, names.target)
            assert schema is not None
            script = b"" if existing.empty else await script_of_others(client, names.target, existing.views)
            rights = await rights_on_routines(client, names.target) if existing.others else []
            self._before = Before(schema, existing, script, rights)
        self._begun = True
        await self._exchange(existing, loaded)
        # Events last: they begin to run at once.
        await self._load(triggers, b"\n", dump.routines(), b"\n", dump.events())
        await self._make_views(dump.views(), sorted(loaded.views))
        if existing is None or (self._before is not None and is_unfinished(self._before.schema)):
            unmark = f"ALTER DATABASE {quote_identifier(names.target)} COMMENT ''"
            await client.execute([unmark], f"putting database {names.target!r} in place")
        await self._give_rights_again()
        self._placed = True

    async def _exchange(self, existing: Contents | None, loaded: Contents) -> None:
        client, names, made = self._client, self._names, self._attributes
        charset = charset_clause(made.charset, made.collation)
        old = existing or Contents(tables=[], views=[], triggers=[], others=[])
        exchange = [
            *self._prepare_target(existing, charset),
            *([create_statement(names.replaced, REPLACED + names.run_id)] if old.tables else []),
            *drop_triggers(names.target, old),
            *drop_triggers(names.scratch, loaded),
            *rename_tables([(names.target, names.replaced, old.tables), (names.scratch, names.target, loaded.tables)]),
            *drop_all_but_tables(names.target, old),
        ]
        doing = f"putting database {names.target!r} in place"
        try:
            await client.execute(exchange, doing, timeout_s=TIMEOUT_S, lock_timeout_s=LOCK_WAIT_S)
        except StatementFailed as exc:
            if exc.number != _LOCK_TIMEOUT:
                raise
            what = f"sessions go on using tables of database {names.target!r}, so they could not be replaced"
            remedy = "end their transactions (SHOW PROCESSLIST), and restore again"
            raise RunFailed("restore.failed", f"{what} within {LOCK_WAIT_S:g} s: {remedy}", detail=exc.detail) from exc
        prepare = [
            *await fix_defaults(client, names.scratch, names.target),
            *(await placeholder_views(client, names.scratch, names.target) if loaded.views else []),
        ]
        await client.execute(prepare, doing, timeout_s=TIMEOUT_S, lock_timeout_s=LOCK_WAIT_S)

    async def _give_rights_again(self) -> None:
        """On routines that there were and are: dropping them has taken the rights away."""
        if self._before is None or not self._before.rights:
            return
        target = self._names.target
        present = {one.name for one in (await look_at_contents(self._client, target)).others}
        rights = [right for right in self._before.rights if right.routine in present]
        doing = f"giving rights on routines of {target!r} again"
        try:
            await self._client.execute([give_right(target, right) for right in rights], doing)
        except StatementFailed:
            for right in rights:
                try:
                    await self._client.execute([give_right(target, right)], doing)
                except StatementFailed:
                    what = f"{right.account} has no right on routine {right.routine!r} of database {target!r} any more"
                    self.warnings.append(f"{what}, and the restoring account may not give it: {give_right(target, right)}")

    async def _make_views(self, scripts: Sequence[bytes], names: Sequence[str]) -> None:
        """All of them; without those, with a warning, that refer to what does not exist outside of this database."""
        if not scripts:
            return
        target = self._names.target
        try:
            await self._load(scripts)
            return
        except StatementFailed as exc:
            if exc.number not in _DANGLING:
                raise
        for name in names:
            script = _script_of_view(scripts, name)
            try:
                if script is not None:
                    await self._load(script)
                    continue
            except StatementFailed as exc:
                if exc.number not in _DANGLING:
                    raise
            await self._client.execute([f"DROP VIEW IF EXISTS {qualified(target, name)}"], "dropping a view's placeholder")
            why = "it refers to a table, function or database that does not exist here"
            self.warnings.append(f"view {name!r} of database {target!r} could not be made: {why}")

    def _prepare_target(self, existing: Contents | None, charset: str) -> list[str]:
        if existing is None:
            return [create_statement(self._names.target, self._mark, charset)]
        return [f"ALTER DATABASE {quote_identifier(self._names.target)} {charset}"] if charset else []

    async def _load(self, *parts: bytes | Iterable[bytes], lock_timeout_s: float | None = None) -> None:
        """Into the target, whose tables are in use already."""
        await self._client.load(self._names.target, _joined(_PREAMBLE, *parts), lock_timeout_s=lock_timeout_s or LOCK_WAIT_S)

    async def undo(self) -> None:
        """The target as it was before `place`; patient with a server that restarts.  Never raises."""
        if not self._begun:
            return
        exc = await patiently(self._undo)
        if exc is None:
            self._begun = False
            return
        names = self._names
        log.error(
            "restore.not_undone",
            target=names.target,
            old_tables_in=names.replaced,
            code=exc.code,
            reason=exc.message,
        )

    async def _undo(self) -> None:
        client, names = self._client, self._names
        doing = f"taking back the restore of database {names.target!r}"
        if self._before is None:
            schema = await look_at_schema(client, names.target)
            # Somebody else may have made one of that name at the same moment: that one is not ours to drop.
            if schema is not None and (self._placed or schema.comment == self._mark):
                await client.execute(
                    [drop_statement(names.target)], doing, timeout_s=TIMEOUT_S, lock_timeout_s=_UNDO_LOCK_WAIT_S
                )
            return
        now = await look_at_contents(client, names.target)
        aside = await look_at_contents(client, names.replaced)
        in_scratch = await look_at_contents(client, names.scratch)
        # RENAME moves all or none, and the server that crashed meanwhile has decided by now which.
        was_moved = bool(aside.tables) or (bool(self._new_tables) and not in_scratch.tables)
        back = [
            f"ALTER DATABASE {quote_identifier(names.target)} "
            + charset_clause(self._before.schema.charset, self._before.schema.collation)
        ]
        if was_moved or not now.same_as(self._before.contents):
            back += [*drop_triggers(names.target, now), *drop_all_but_tables(names.target, now)]
            if was_moved:
                moves = [(names.target, names.scratch, now.tables), (names.replaced, names.target, aside.tables)]
                back += rename_tables(moves)
        await client.execute(back, doing, timeout_s=TIMEOUT_S, lock_timeout_s=_UNDO_LOCK_WAIT_S)
        if self._before.script and len(back) > 1:
            await self._load(self._before.script, lock_timeout_s=_UNDO_LOCK_WAIT_S)
            await self._give_rights_again()


def is_unfinished(schema: Schema) -> bool:
    """A target that did not exist before a restore that was cut off while it was being put in place."""
    return schema.comment.startswith(UNFINISHED)


def _script_of_view(scripts: Sequence[bytes], name: str) -> bytes | None:
    """That one; with the name as it was written by a server that tells `Taxed` from `taxed`, where this one does not."""
    wanted = f"view {quote_identifier(name)}\n"
    headed = [(script.partition(b"\n--\n\n")[0].decode(errors="replace") + "\n", script) for script in scripts]
    exact = (script for head, script in headed if wanted in head)
    return next(exact, None) or next((script for head, script in headed if wanted.lower() in head.lower()), None)


def _joined(*parts: bytes | Iterable[bytes]) -> Iterable[bytes]:
    for part in parts:
        if isinstance(part, bytes):
            yield part
        else:
            yield from part
