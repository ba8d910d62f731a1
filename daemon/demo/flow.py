"""The round: servers, data, backup, proof, restore, comparison.  Each step calls the part that does it, and tells of it."""

from __future__ import annotations

import os
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
from contracts.records import BackupRecord, RestoreRecord
from daemon.cli.bus_client import connect_operator
from daemon.cli.client import ControlClient
from daemon.cli.config import load_operator_settings
from daemon.cli.figures import count, ratio, size
from daemon.demo.compare import Comparison, compare_snapshots
from daemon.demo.engines.base import DemoEngine, DemoServer, Room
from daemon.demo.engines.kinds import demo_engine
from daemon.demo.folder import demo_folder
from daemon.demo.interrupts import stoppable
from daemon.demo.proof import Proof, download, open_artifact, write_recovery_key
from daemon.demo.result import DemoOptions, DemoResult, Transfer
from daemon.demo.sample_data import check_size
from daemon.demo.snapshot import DatabaseSnapshot
from daemon.demo.steps import Steps
from daemon.demo.stock_programs import StockPrograms, find_stock_programs
from daemon.demo.waiting import wait_engine, wait_run
from daemon.embedded.private_files import write_private
from daemon.embedded.up import Stack, UpOptions, running_stack

PROJECT: Final = "demo"
_ACTOR: Final = "strongroom demo"


@dataclass(frozen=True, kw_only=True)
class _World:
    """What runs, and how to reach it."""

    servers: Stack
    client: ControlClient
    engine: DemoEngine
    server: DemoServer
    stock: StockPrograms
    folder: Path

    @property
    def proof_dir(self) -> Path:
        return self.folder / "proof"

    @property
    def service(self) -> str:
        return self.engine.kind


async def run_demo(options: DemoOptions, console: Console | None = None, *, live: bool = False) -> DemoResult:
    """The whole round; steps are shown on `console`, with moving progress when `live`, and nothing without one.

    A copy that is not like its original is a result (`passed` is false); whatever keeps the round from its end is raised.
    Failed, cancelled or told to end by SIGTERM, it stops what it started and removes the folder, unless that is to be kept.
    Raises: StrongroomError, KeyboardInterrupt after SIGTERM and SIGHUP.
    """
    check_size(options.size_bytes)
    engine, stock = demo_engine(options.engine), find_stock_programs()
    engine.check()
    steps = Steps(console, live=live, count=8)
    # Run by root, servers that refuse root run as somebody else, who has to get to their data.
    passable = os.geteuid() == 0
    with demo_folder(options.directory, keep=options.keep, size_bytes=options.size_bytes, passable=passable) as path:
        if console is not None and options.keep:
            console.print(Text(f"Everything lies in {path}"))
        try:
            return await stoppable(_go_round(steps, options, engine, stock, path))
        except StrongroomError:
            if console is not None and not options.keep:
                console.print(Text("        with --keep the folder stays, with the servers' logs", style="dim"))
            raise


async def _go_round(
    steps: Steps, options: DemoOptions, engine: DemoEngine, stock: StockPrograms, folder: Path
) -> DemoResult:
    began = time.monotonic()
    async with AsyncExitStack() as stack:
        world = await _start(stack, steps, engine, stock, folder, keep=options.keep)
        original, data_bytes = await _make_data(world, steps, options.size_bytes)
        key_file = await _set_up(world, steps)
        backup = await _back_up(world, steps)
        proof = await _prove(world, steps, backup, key_file)
        room = await world.server.make_room()
        restore = await _restore(world, steps, backup, room)
        comparison = await _compare(world, steps, original)
        restored = [one for one in backup.artifacts if not room.artifacts or one.name in room.artifacts]
        made = _transfer(backup, backup.plain_bytes)
        return DemoResult(
            engine=engine.kind,
            passed=comparison.equal,
            data_bytes=data_bytes,
            backup=made,
            restore=_transfer(restore, sum(artifact.plain_bytes for artifact in restored)),
            ratio=round(made.native_bytes / made.stored_bytes, 3),
            proof=proof,
            comparison=comparison,
            warnings=[*backup.warnings, *restore.warnings],
            steps=steps.results,
            elapsed_s=round(time.monotonic() - began, 3),
            folder=str(folder) if options.keep else "",
        )


async def _start(
    stack: AsyncExitStack, steps: Steps, engine: DemoEngine, stock: StockPrograms, folder: Path, *, keep: bool
) -> _World:
    with steps.step("Start nats-server, an object store, a coordinator and an agent") as step:
        servers = await stack.enter_async_context(running_stack(UpOptions(data=folder / "strongroom", throwaway=not keep)))
        settings = load_operator_settings(servers.operator_config, {})  # whatever the environment says of other ones
        assert settings.nats is not None, "it was written for these very servers"
        client = await stack.enter_async_context(connect_operator(settings.nats))
        step.outcome = f"{servers.nats_url}, and the bucket {servers.bucket} at {servers.s3_url}"
    with steps.step(f"Prepare {engine.title}") as step:
        server = await stack.enter_async_context(engine.running(folder / engine.kind))
        step.outcome = server.place
    return _World(servers=servers, client=client, engine=engine, server=server, stock=stock, folder=folder)


async def _make_data(world: _World, steps: Steps, size_bytes: int) -> tuple[DatabaseSnapshot, int]:
    with steps.step(f"Fill {world.engine.data_title}") as step:

        def told(done_bytes: int) -> None:
            if done_bytes < size_bytes:
                step.progress(done_bytes, size_bytes)
            else:
                step.show("the rest of it")

        data_bytes = await world.server.fill(size_bytes, told)
        step.show("noting what is in it")
        snapshot = await world.server.snapshot()
        records = sum(table.rows for table in snapshot.tables.values())
        step.outcome = f"{records:,} records in {count(len(snapshot.tables), 'object')}, {size(data_bytes)} on disk"
    return snapshot, data_bytes


async def _set_up(world: _World, steps: Steps) -> Path:
    with steps.step("Create a project with a recovery key of ours, and a service in it") as step:
        key_file, recipient = write_recovery_key(world.proof_dir)
        await world.client.ask(control.PROJECT_CREATE, control.ProjectCreate(name=PROJECT, recovery_recipients=[recipient]))
        service = control.ServiceAdd(
            project=PROJECT, name=world.service, options=world.server.options, nodes=[world.servers.node]
        )
        await world.client.ask(control.SERVICE_ADD, service)
        # What an administrator would write on the engine's host, see `agents.services`.
        document = {"service": f"{PROJECT}/{world.service}", "connection": dict(world.server.connection)}
        write_private(world.servers.services_dir / f"{PROJECT}.{world.service}.toml", tomli_w.dumps(document))
        step.show("the agent looks at it")
        health = await wait_engine(world.client, world.servers.node, f"{PROJECT}/{world.service}")
        step.outcome = f"{PROJECT}/{world.service}, version {health.version}; recipient {recipient}"
    return key_file


async def _back_up(world: _World, steps: Steps) -> BackupRecord:
    with steps.step("Back it up: dump, compress, encrypt and upload in one stream") as step:
        wanted = control.BackupCreate(project=PROJECT, service=world.service, actor=_ACTOR)
        backup = await wait_run(world.client, await world.client.ask(control.BACKUP_CREATE, wanted), step)
        sizes = f"{size(backup.plain_bytes)} became {size(backup.size_bytes)}"
        step.outcome = (
            f"{count(len(backup.artifacts), 'artifact')}, {sizes} ({ratio(backup.plain_bytes, backup.size_bytes)})"
        )
    return backup


async def _prove(world: _World, steps: Steps, backup: BackupRecord, key_file: Path) -> Proof:
    artifact = world.server.choose(backup.artifacts)
    opener = world.server.opener(artifact)
    with steps.step(f"Open a stored object with the stock age, zstd and {opener.command.split()[0]}") as step:
        wanted = control.BackupDownload(project=PROJECT, service=world.service, id=backup.id, artifact=artifact.name)
        file = await download(await world.client.ask(control.BACKUP_DOWNLOAD, wanted), world.proof_dir, step.progress)
        step.show(f"age -d {file.name} | zstd -d | {opener.command}")
        proof = await open_artifact(file, key_file, artifact, world.stock, opener)
        step.outcome = f"{proof.command}\n{proof.contents}"
    return proof


async def _restore(world: _World, steps: Steps, backup: BackupRecord, room: Room) -> RestoreRecord:
    with steps.step(f"Restore it {room.words}") as step:
        wanted = control.RestoreCreate(
            project=PROJECT,
            service=world.service,
            id=backup.id,
            artifacts=room.artifacts,
            rename=room.rename,
            replace=room.replace,
            directory=room.directory,
            actor=_ACTOR,
        )
        restore = await wait_run(world.client, await world.client.ask(control.RESTORE_CREATE, wanted), step)
        step.outcome = f"{size(restore.size_bytes)} fetched"
    return restore


async def _compare(world: _World, steps: Steps, original: DatabaseSnapshot) -> Comparison:
    with steps.step("Compare the two, record by record") as step:
        comparison = compare_snapshots(original, await world.server.snapshot_restored())
        if comparison.equal:
            objects = sum(comparison.objects.values())
            besides = f", and {count(objects, 'definition')}" if objects else ""
            step.outcome = f"{comparison.rows:,} records of {count(len(comparison.tables), 'object')}{besides}: all equal"
        else:
            step.fail(count(len(comparison.differences), "difference"))
    return comparison


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
