"""Restoring accounts: those that are missing, and with `replace` those that exist, too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import structlog

from agents.drivers.base import Confirm
from agents.drivers.mariadb.account_script import (
    Account,
    AccountPlan,
    Step,
    parse_account,
    parse_accounts,
    plan_accounts,
    undo_accounts,
)
from agents.drivers.mariadb.client import Client
from agents.drivers.mariadb.databases import patiently
from agents.drivers.mariadb.dump import missing_dump_mark
from agents.drivers.mariadb.errors import error_number, redactor
from agents.drivers.mariadb.option_file import login
from agents.drivers.mariadb.server import look_at_server
from agents.drivers.mariadb.tools import find_program
from agents.drivers.pipes import PipedRestore, PipeReader, piped_restore
from agents.processes import Command, OutputTooLargeError, run, uncancelled
from contracts.errors import Corrupt, RunFailed, StrongroomError
from contracts.records import ArtifactRecord, Attributes, RestoreTarget

log = structlog.get_logger()

MAX_SCRIPT_BYTES: Final = 64 * 1024 * 1024
"""The script is held in memory, since it has passwords' hashes; this is about 100,000 accounts."""
_TIMEOUT_S: Final = 600.0
_NO_SUCH_OBJECT: Final = frozenset({1054, 1146, 1305})
_MAY_NOT_GIVE: Final = 1698
_MAX_WARNINGS: Final = 20
_SERVERS_OWN: Final = Account("mariadb.sys", "localhost")
_ACCOUNTS: Final = """
SELECT JSON_OBJECT('user', user, 'host', IF(JSON_VALUE(priv, '$.is_role') = 1, '', host)) FROM mysql.global_priv
"""


class _UsersRestore:
    def __init__(self, client: Client, artifact: ArtifactRecord, target: RestoreTarget) -> None:
        self._client = client
        self._artifact = artifact
        self._target = target
        self._steps: list[Step] = []
        self._before: list[Step] = []
        self._plan: AccountPlan | None = None
        self._ourselves = Account("", "")
        self._warnings: list[str] = []

    async def consume(self, pipe: PipeReader) -> None:
        script = bytearray()
        while data := await pipe.read():
            script += data
            if len(script) > MAX_SCRIPT_BYTES:
                raise too_long(self._artifact)
        why = missing_dump_mark(len(script), bytes(script[-1024:]))
        if why:
            raise self._damaged(why)
        try:
            self._steps = await asyncio.to_thread(parse_accounts, script.decode())
        except ValueError as exc:
            raise self._damaged(str(exc)) from exc

    async def place(self) -> Attributes:
        facts = await look_at_server(self._client)
        rows = await self._client.rows(_ACCOUNTS, dict[str, str], "listing its accounts")
        ourselves = parse_account(facts.account)
        self._ourselves = ourselves
        if self._target.replace:
            self._before = await asyncio.to_thread(parse_accounts, (await self._present_accounts()).decode())
        plan = plan_accounts(
            self._steps,
            self._before,
            existing={Account(row["user"], row["host"]) for row in rows},
            protected={ourselves, _SERVERS_OWN},
            ourselves=ourselves,
            replace=self._target.replace,
        )
        self._plan = plan
        try:
            await uncancelled(self._apply(plan), name="restore:accounts")
        except StrongroomError:
            await uncancelled(self.undo(), name="restore:accounts:undo")
            raise
        log.info("restore.accounts_created", created=len(plan.created), replaced=len(plan.replaced), kept=len(plan.kept))
        return {
            "accounts_created": [str(account) for account in plan.created],
            "accounts_replaced": [str(account) for account in plan.replaced],
            "accounts_kept": [str(account) for account in plan.kept],
            "warnings": self._warnings[:_MAX_WARNINGS],
        }

    async def undo(self) -> None:
        """Patient with a server that restarts.  Never raises."""
        plan, self._plan = self._plan, None
        if plan is None:
            return
        exc = await patiently(lambda: self._apply(undo_accounts(plan, self._before, self._ourselves)))
        if exc is not None:
            names = [str(account) for account in (*plan.created, *plan.replaced)]
            log.error("restore.accounts_left_behind", accounts=names, code=exc.code, reason=exc.message)

    async def _apply(self, plan: AccountPlan) -> None:
        await self._execute(plan.statements)
        try:
            await self._execute([step.statement for step in plan.grants])
        except RunFailed:
            for step in plan.grants:
                await self._grant_if_possible(step)

    async def _grant_if_possible(self, grant: Step) -> None:
        """A right on a table or routine that is not there (yet) cannot be given: the others shall be, nevertheless."""
        try:
            await self._execute([grant.statement])
        except RunFailed as exc:
            number = error_number(exc.detail or "")
            if number == _MAY_NOT_GIVE:
                what = f"role {grant.role!r}" if grant.role else f"PROXY right on {grant.on}"
                self._warnings.append(f"{grant.account} did not get the {what}, which the restoring account may not give")
            elif number in _NO_SUCH_OBJECT:
                self._warnings.append(f"{grant.account} got no right on {grant.on}, which does not exist here")
            else:
                raise

    async def _execute(self, statements: Sequence[str]) -> None:
        await self._client.execute(statements, "making accounts", timeout_s=_TIMEOUT_S, hide_statements=True)

    async def _present_accounts(self) -> bytes:
        with login(self._client.connection, self._client.runtime_dir) as given:
            command = Command(
                argv=[
                    find_program("mariadb-dump", self._client.connection.bin_dir),
                    given.argument,
                    "--system=users",
                    "--insert-ignore",
                ],
                package="mariadb-client",
                pass_fds=given.pass_fds,
                redact=redactor(given.secret),
            )
            try:
                finished = await run(command, timeout_s=_TIMEOUT_S, limit_bytes=MAX_SCRIPT_BYTES)
            except (TimeoutError, OutputTooLargeError) as exc:
                raise RunFailed("restore.failed", f"the target's present accounts cannot be read: {exc}") from exc
        if not finished.status.ok:
            what = "the target's present accounts, which a failed restore would have to bring back, cannot be read"
            raise RunFailed("restore.failed", what, detail=finished.stderr or None)
        return finished.stdout

    def _damaged(self, why: str) -> Corrupt:
        return Corrupt(
            "artifact.corrupt", f"artifact {self._artifact.name!r} is not a whole script of accounts by mariadb-dump: {why}"
        )


@asynccontextmanager
async def start_users_restore(
    client: Client, artifact: ArtifactRecord, target: RestoreTarget, *, confirm: Confirm
) -> AsyncIterator[PipedRestore]:
    """Leaving before `finish` returned leaves the accounts as they were."""
    restore = _UsersRestore(client, artifact, target)
    sink: PipedRestore | None = None
    try:
        async with piped_restore(restore.consume, restore.place, name=artifact.name, confirm=confirm) as sink:
            yield sink
    finally:
        if sink is None or not sink.is_finished:
            await uncancelled(restore.undo(), name="restore:accounts:leave")


@asynccontextmanager
async def start_users_check(artifact: ArtifactRecord, *, confirm: Confirm) -> AsyncIterator[PipedRestore]:
    """For accounts that come with a data directory, which has them already: only looked at."""
    seen = {"size": 0}
    tail = bytearray()

    async def consume(pipe: PipeReader) -> None:
        while data := await pipe.read():
            seen["size"] += len(data)
            tail.extend(data[-1024:])
            del tail[:-1024]
        why = missing_dump_mark(seen["size"], bytes(tail))
        if why:
            raise Corrupt("artifact.corrupt", f"artifact {artifact.name!r} is not whole: {why}")

    async def place() -> Attributes:
        return {"accounts": "in the data directory", "warnings": []}

    async with piped_restore(consume, place, name=artifact.name, confirm=confirm) as sink:
        yield sink


def too_long(artifact: ArtifactRecord) -> RunFailed:
    limit = MAX_SCRIPT_BYTES // (1024 * 1024)
    return RunFailed(
        "restore.failed", f"artifact {artifact.name!r} is longer than the {limit} MiB that a restore of accounts takes"
    )
