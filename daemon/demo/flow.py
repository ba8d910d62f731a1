"""The round: servers, data, backup, proof, restore, comparison.  Each step calls the part that does it, and tells of it."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import tomli_w
from rich.console import Console
from rich.text import Text

from contracts import control
from contracts.errors import StrongroomError
from contracts.records import ArtifactRecord, BackupRecord, RestoreRecord
from contracts.services import PostgreSQLOptions
from daemon.cli.client import ControlClient, connect_operator
from daemon.cli.config import load_operator_settings
from daemon.cli.figures import count, ratio, size
from daemon.demo.compare import Comparison, compare_snapshots
from daemon.demo.folder import demo_folder
from daemon.demo.interrupts import stoppable
from daemon.demo.programs import Programs, find_programs
from daemon.demo.proof import Proof, download, open_artifact, write_recovery_key
from daemon.demo.psql import Psql
from daemon.demo.result import DemoOptions, DemoResult, Transfer
from daemon.demo.sample_data import DATABASE, SampleData, check_size, make_sample_data
from daemon.demo.scratch_postgres import Cluster, check_reachable, scratch_postgres
from daemon.demo.snapshot import DatabaseSnapshot, take_snapshot
from daemon.demo.steps import Steps
from daemon.demo.waiting import wait_backup, wait_engine, wait_restore
from daemon.embedded.private_files import write_private
from daemon.embedded.up import Stack, UpOptions, running_stack

PROJECT: Final = "demo"
SERVICE: Final = "postgres"
RESTORED: Final = f"{DATABASE}_restored"
_ACTOR: Final = "strongroom demo"


@dataclass(frozen=True, kw_only=True)
class _World:
    """What runs, and how to reach it."""

    servers: Stack
    client: ControlClient
    cluster: Cluster
    programs: Programs
    folder: Path

    @property
    def proof_dir(self) -> Path:
        return self.folder / "proof"

    def database(self, name: str) -> Psql:
        return Psql(program=self.programs.psql, cluster=self.cluster, database=name)


async def run_demo(options: DemoOptions, console: Console | None = None, *, live: bool = False) -> DemoResult:
    """The whole round; steps are shown on `console`, with moving progress when `live`, and nothing without one.

    A copy that is not like its original is a result (`passed` is false); whatever keeps the round from its end is raised.
    Failed, cancelled or told to end by SIGTERM, it stops what it started and removes the folder, unless that is to be kept.
    Raises: StrongroomError, KeyboardInterrupt after SIGTERM and SIGHUP.
    """
    check_size(options.size_bytes)
    programs = find_programs()
    steps = Steps(console, live=live, count=8)
    passable = programs.server_user is not None
    folder = demo_folder(options.directory, keep=options.keep, size_bytes=options.size_bytes, passable=passable)
    with folder as path:
        await check_reachable(path, programs)
        if console is not None and options.keep:
            console.print(Text(f"Everything lies in {path}"))
        try:
            return await stoppable(_go_round(steps, options, programs, path))
        except StrongroomError:
            if console is not None and not options.keep:
                console.print(Text("        with --keep the folder stays, with the servers' logs", style="dim"))
            raise


async def _go_round(steps: Steps, options: DemoOptions, programs: Programs, folder: Path) -> DemoResult:
    began = time.monotonic()
    async with AsyncExitStack() as stack:
        world = await _start(stack, steps, programs, folder, keep=options.keep)
        data, original = await _make_data(world, steps, options.size_bytes)
        key_file = await _set_up(world, steps)
        backup = await _back_up(world, steps)
        artifact = next(one for one in backup.artifacts if one.name == data.database)
        proof = await _prove(world, steps, backup, artifact, key_file)
        restore = await _restore(world, steps, backup)
        comparison = await _compare(world, steps, original)
        made, put_back = _transfer(backup, backup.plain_bytes), _transfer(restore, artifact.plain_bytes)
        return DemoResult(
            passed=comparison.equal,
            database_bytes=data.database_bytes,
            backup=made,
            restore=put_back,
            ratio=round(made.native_bytes / made.stored_bytes, 3),
            proof=proof,
            comparison=comparison,
            warnings=[*backup.warnings, *restore.warnings],
            steps=steps.results,
            elapsed_s=round(time.monotonic() - began, 3),
            folder=str(folder) if options.keep else "",
        )


async def _start(stack: AsyncExitStack, steps: Steps, programs: Programs, folder: Path, *, keep: bool) -> _World:
    with steps.step("Start nats-server, an object store, a coordinator and an agent") as step:
        servers = await stack.enter_async_context(running_stack(UpOptions(data=folder / "strongroom", throwaway=not keep)))
        settings = load_operator_settings(servers.operator_config, {})  # whatever the environment says of other ones
        client = await stack.enter_async_context(connect_operator(settings.nats))
        step.outcome = f"{servers.nats_url}, and the bucket {servers.bucket} at {servers.s3_url}"
    with steps.step("Start a PostgreSQL server") as step:
        cluster = await stack.enter_async_context(scratch_postgres(folder / "postgres", programs))
        step.outcome = f"{cluster.host}:{cluster.port}"
    return _World(servers=servers, client=client, cluster=cluster, programs=programs, folder=folder)


async def _make_data(world: _World, steps: Steps, size_bytes: int) -> tuple[SampleData, DatabaseSnapshot]:
    with steps.step("Fill the database of a small shop") as step:

        def told(done_bytes: int) -> None:
            if done_bytes < size_bytes:
                step.progress(done_bytes, size_bytes)
            else:
                step.show("indexes, views, functions and grants")

        data = await make_sample_data(world.database("postgres"), size_bytes, told)
        step.show("noting what is in it")
        snapshot = await take_snapshot(world.database(data.database))
        rows = sum(table.rows for table in snapshot.tables.values())
        step.outcome = f"{count(len(snapshot.tables), 'table')}, {rows:,} rows, {size(data.database_bytes)} on disk"
    return data, snapshot


async def _set_up(world: _World, steps: Steps) -> Path:
    with steps.step("Create a project with a recovery key of ours, and a service in it") as step:
        key_file, recipient = write_recovery_key(world.proof_dir)
        await world.client.ask(control.PROJECT_CREATE, control.ProjectCreate(name=PROJECT, recovery_recipients=[recipient]))
        service = control.ServiceAdd(project=PROJECT, name=SERVICE, options=PostgreSQLOptions(), nodes=[world.servers.node])
        await world.client.ask(control.SERVICE_ADD, service)
        write_private(world.servers.services_dir / f"{PROJECT}.{SERVICE}.toml", _service_file(world))
        step.show("the agent looks at the server")
        health = await wait_engine(world.client, world.servers.node, f"{PROJECT}/{SERVICE}")
        step.outcome = f"{PROJECT}/{SERVICE}, PostgreSQL {health.version}; recipient {recipient}"
    return key_file


async def _back_up(world: _World, steps: Steps) -> BackupRecord:
    with steps.step("Back it up: dump, compress, encrypt and upload in one stream") as step:
        wanted = control.BackupCreate(project=PROJECT, service=SERVICE, actor=_ACTOR)
        backup = await wait_backup(world.client, await world.client.ask(control.BACKUP_CREATE, wanted), step)
        sizes = f"{size(backup.plain_bytes)} became {size(backup.size_bytes)}"
        step.outcome = (
            f"{count(len(backup.artifacts), 'artifact')}, {sizes} ({ratio(backup.plain_bytes, backup.size_bytes)})"
        )
    return backup


async def _prove(world: _World, steps: Steps, backup: BackupRecord, artifact: ArtifactRecord, key_file: Path) -> Proof:
    with steps.step("Open the stored object with the stock age, zstd and pg_restore") as step:
        wanted = control.BackupDownload(project=PROJECT, service=SERVICE, id=backup.id, artifact=artifact.name)
        file = await download(await world.client.ask(control.BACKUP_DOWNLOAD, wanted), world.proof_dir, step.progress)
        step.show(f"age -d {file.name} | zstd -d | pg_restore -l")
        proof = await open_artifact(file, key_file, artifact, world.programs)
        step.outcome = f"{proof.command}\n{proof.entries} entries, the data of {count(proof.tables, 'table')} among them"
    return proof


async def _restore(world: _World, steps: Steps, backup: BackupRecord) -> RestoreRecord:
    with steps.step(f"Restore it as {RESTORED}, beside the original") as step:
        wanted = control.RestoreCreate(
            project=PROJECT,
            service=SERVICE,
            id=backup.id,
            artifacts=[DATABASE],
            rename={DATABASE: RESTORED},
            actor=_ACTOR,
        )
        restore = await wait_restore(world.client, await world.client.ask(control.RESTORE_CREATE, wanted), step)
        step.outcome = f"{size(restore.size_bytes)} fetched"
    return restore


async def _compare(world: _World, steps: Steps, original: DatabaseSnapshot) -> Comparison:
    with steps.step("Compare the two, row by row and object by object") as step:
        comparison = compare_snapshots(original, await take_snapshot(world.database(RESTORED)))
        if comparison.equal:
            objects = sum(comparison.objects.values())
            step.outcome = (
                f"{count(len(comparison.tables), 'table')}, {comparison.rows:,} rows, {objects} objects: all equal"
            )
        else:
            step.fail(count(len(comparison.differences), "difference"))
    return comparison


def _service_file(world: _World) -> str:
    """What an administrator would write on the database's host, see `agents.services`."""
    connection = {
        "kind": "postgresql",
        "host": world.cluster.host,
        "port": world.cluster.port,
        "user": world.cluster.user,
        "passfile": str(world.cluster.passfile),
        "bin_dir": str(Path(world.programs.pg_dump).parent),
    }
    return tomli_w.dumps({"service": f"{PROJECT}/{SERVICE}", "connection": connection})


def _transfer(run: BackupRecord | RestoreRecord, native_bytes: int) -> Transfer:
    assert run.started_at is not None, "a completed run has begun"
    assert run.finished_at is not None, "a completed run has ended"
    elapsed_s = (run.finished_at - run.started_at).total_seconds()
    return Transfer(
        id=run.id,
        native_bytes=native_bytes,
        stored_bytes=run.size_bytes,
        elapsed_s=elapsed_s,
        native_bytes_per_s=round(native_bytes / elapsed_s) if elapsed_s > 0 else 0,
    )
