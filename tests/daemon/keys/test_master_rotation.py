"""Rotation of the master key on a real server, cut off at every step."""

from __future__ import annotations

import ast
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from contracts import records
from contracts.bus import connect
from contracts.errors import Conflict, Denied
from contracts.notifications import ChannelRecord, PingRecord
from contracts.settings import NatsSettings
from contracts.wire import utc_now
from daemon.catalog.catalog import Catalog
from daemon.catalog.topology import ensure_topology
from daemon.coordinator import INBOX
from daemon.embedded.private_files import write_private
from daemon.keys.custody import identity_context
from daemon.keys.master import MasterKey
from daemon.keys.moving import BESIDE, find_sealed
from daemon.keys.presence import Presence
from daemon.keys.rotation import MasterRotation
from daemon.keys.sealed import sealed_kinds
from daemon.keys.signing import Signer
from daemon.keys.sources import FileSource
from daemon.runs.events import EventPublisher
from tests.servers.nats import NatsServer

STEPS = ("begin", "confirm", "rewrap", "beside", "erase", "place", "forget", "destroy", "tell")
ROOT = Path(__file__).parents[3]


class CutOff(Exception):
    """The process ends here."""


class Bench:
    """A catalogue with something sealed in it, and rotations of its master key."""

    def __init__(self, client: object, js: object, path: Path) -> None:
        self.client, self.js, self.path = client, js, path
        write_private(path, MasterKey.generate().reveal())
        self.source = FileSource(path)
        self.ring = self.source.read()
        self.catalog = Catalog(client, js)  # type: ignore[arg-type]
        self.former = self.source.read()

    def presence(self, source: FileSource | None = None, ring: MasterKey | None = None) -> Presence:
        return Presence(self.client, self.js, source or self.source, ring or self.ring)  # type: ignore[arg-type]

    def rotation(self, presence: Presence, cut: str = "", confirm_s: float = 20) -> MasterRotation:
        def step(name: str) -> None:
            if name == cut:
                raise CutOff(name)

        return MasterRotation(
            self.client,  # type: ignore[arg-type]
            self.js,  # type: ignore[arg-type]
            self.catalog,
            self.ring,
            self.source,
            presence,
            EventPublisher(self.js),  # type: ignore[arg-type]
            utc_now,
            confirm_s=confirm_s,
            step=step,
        )

    async def fill(self) -> None:
        now = utc_now()
        for name in ("k1", "k2"):
            record = records.KeyRecord(
                project="acme",
                key_id=name,
                recipient="age1",
                sealed_identity=self.ring.seal(f"identity {name}".encode(), identity_context("acme", name)),
                created_at=now,
            )
            await self.catalog.keys.create(f"acme.{name}", record)
        await Signer(self.catalog, self.ring, utc_now).public()

    async def opens(self, ring: MasterKey) -> list[bool]:
        found: list[bool] = []
        for kind in sealed_kinds(self.catalog):
            for stored in await kind.bucket.select():
                try:
                    ring.open(getattr(stored.value, kind.field), kind.context(stored.value))
                except Denied:
                    found.append(False)
                else:
                    found.append(True)
        return found


@asynccontextmanager
async def _bench(nats_server: NatsServer, directory: Path) -> AsyncIterator[Bench]:
    settings = NatsSettings(url=nats_server.url, nkey_file=str(nats_server.coordinator_seed))
    client = await connect(settings, name="keys", inbox_prefix=INBOX)
    try:
        js = client.jetstream(timeout=5)
        await ensure_topology(js, replicas=1)
        bench = Bench(client, js, directory / "master.key")
        await bench.fill()
        yield bench
    finally:
        await client.close()


async def test_after_a_rotation_the_old_key_opens_nothing_and_the_new_one_everything(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    async with _bench(nats_server, tmp_path) as bench:
        public = await Signer(bench.catalog, bench.ring, utc_now).public()
        key_id = await bench.rotation(bench.presence()).rotate(reason="a test", actor="eve")
        assert bench.source.read().key_ids == bench.ring.key_ids == (key_id,)
        assert await bench.opens(bench.ring) == [True, True, True]
        assert await bench.opens(bench.former) == [False, False, False]
        assert await Signer(bench.catalog, bench.ring, utc_now).public() == public


@pytest.mark.parametrize("cut", STEPS)
async def test_a_rotation_cut_off_at_any_step_loses_nothing_and_is_finished_at_the_next_start(
    nats_server: NatsServer, tmp_path: Path, cut: str
) -> None:
    async with _bench(nats_server, tmp_path) as bench:
        with pytest.raises(CutOff):
            await bench.rotation(bench.presence(), cut).rotate(reason="a test", actor="eve")
        # Whoever reads meanwhile finds every identity.
        held = bench.source.read()
        for name in ("k1", "k2"):
            stored = await find_sealed(bench.catalog.keys, f"acme.{name}")
            assert stored is not None
            assert held.open(stored.value.sealed_identity, identity_context("acme", name)) == f"identity {name}".encode()
        rotation = bench.rotation(bench.presence())
        resumed = await rotation.resume()
        assert (resumed is None) == (cut in ("begin", "tell"))
        if cut == "begin":
            await rotation.rotate(reason="again", actor="eve")
        assert len(bench.source.read().key_ids) == 1
        assert await bench.catalog.keys.select(BESIDE) == []
        assert await bench.opens(bench.source.read()) == [True, True, True]
        assert await bench.opens(bench.former) == [False, False, False]


async def test_nothing_is_sealed_anew_before_every_living_coordinator_holds_the_new_key(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    async with _bench(nats_server, tmp_path) as bench:
        elsewhere = tmp_path / "other.key"
        write_private(elsewhere, bench.former.reveal())
        other = bench.presence(FileSource(elsewhere), FileSource(elsewhere).read())
        await other.state()
        with pytest.raises(Conflict, match="1 of the living coordinators"):
            await bench.rotation(bench.presence(), confirm_s=0.3).rotate(reason="a test", actor="eve")
        assert await bench.opens(bench.former) == [True, True, True]
        write_private(elsewhere, bench.path.read_text())
        await other.state()
        assert await bench.rotation(bench.presence()).resume() == bench.source.read().key_id
        assert await bench.opens(bench.former) == [False, False, False]


async def test_two_rotations_at_once_are_one(nats_server: NatsServer, tmp_path: Path) -> None:
    async with _bench(nats_server, tmp_path) as bench:
        first = bench.rotation(bench.presence())
        await first._lock()
        with pytest.raises(Conflict, match="under way"):
            await bench.rotation(bench.presence()).rotate(reason="a test", actor="eve")
        await first._unlock()
        assert bench.source.read().key_ids == bench.former.key_ids


def test_every_sealed_value_is_known_to_the_rotation() -> None:
    """Both from the records' side, and from that of whoever calls `seal`."""
    structs: list[type[msgspec.Struct]] = [
        each for each in vars(records).values() if isinstance(each, type) and issubclass(each, msgspec.Struct)
    ]
    structs += [ChannelRecord, PingRecord]
    fields = {
        (struct.__name__, name) for struct in structs for name in struct.__struct_fields__ if name.startswith("sealed")
    }
    assert fields == {
        ("KeyRecord", "sealed_identity"),
        ("SigningKeyRecord", "sealed_key"),
        ("ChannelRecord", "sealed_url"),
        ("PingRecord", "sealed_url"),
    }
    callers = set()
    for path in (ROOT / "daemon").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "seal"):
                continue
            if "master_key" in ast.unparse(node.func.value):
                callers.add(path.relative_to(ROOT).as_posix())
    assert callers == {
        "daemon/keys/custody.py",
        "daemon/keys/erasure.py",  # witnesses, which have to open no more
        "daemon/keys/signing.py",
        "daemon/notifications/channels.py",
        "daemon/notifications/pings.py",
    }
