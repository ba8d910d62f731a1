"""Downloads by the command line: plain or as stored, whole or not at all, through cuts, expired signatures and damage."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from contracts.object_keys import backup_prefix
from contracts.records import BackupRecord
from daemon.settings import CoordinatorSettings
from tests.agents.datapath.faulty_store import EXPIRED, FaultyStore, Passage, cut_answers_after
from tests.daemon.cli.calling import Strongroom, Zygote
from tests.daemon.cli.conftest import write_operator_config
from tests.daemon.cli.stored import Vault, running_vault, seal
from tests.servers.nats import NatsServer
from tests.servers.postgres import Database
from tests.servers.s3 import Bucket
from tests.servers.tools import pg_bin
from tests.servers.waiting import eventually_blocking

ORDERS = os.urandom(900_000) + bytes(2_000_000)
ROLES = b"CREATE ROLE app;\n"


@dataclass(frozen=True)
class Place:
    """A backup of two artifacts in a store whose front may fail, and the command of an operator."""

    vault: Vault
    front: FaultyStore
    backup: BackupRecord
    strongroom: Strongroom

    @property
    def name(self) -> str:
        return f"acme/orders/{self.backup.id}"

    def files(self) -> dict[str, bytes]:
        """Whatever the operator has but the configuration."""
        found = [path for path in self.strongroom.home.rglob("*") if path.is_file() and path.suffix not in (".toml", ".key")]
        return {str(path.relative_to(self.strongroom.home)): path.read_bytes() for path in found}


@asynccontextmanager
async def _place(
    directory: Path, settings: CoordinatorSettings, nats_server: NatsServer, bucket: Bucket, zygote: Zygote
) -> AsyncIterator[Place]:
    async with FaultyStore(bucket.server.endpoint_url).running() as front:
        store = msgspec.structs.replace(settings.store, public_endpoint_url=front.url)
        async with running_vault(msgspec.structs.replace(settings, store=store), nats_server) as vault:
            backup = await vault.store(globals=ROLES, orders=ORDERS)
            front.ranges.clear()
            home = directory / "home"
            home.mkdir()
            config = write_operator_config(directory / "operator.toml", nats_server)
            yield Place(vault, front, backup, Strongroom(zygote, home, config))


@pytest.fixture
async def place(
    tmp_path: Path, settings: CoordinatorSettings, nats_server: NatsServer, bucket: Bucket, zygote: Zygote
) -> AsyncIterator[Place]:
    async with _place(tmp_path, settings, nats_server, bucket, zygote) as created:
        yield created


async def test_everything_is_written_plain_into_a_directory_named_like_the_backup(place: Place) -> None:
    ended = (await place.strongroom.beside("backup", "download", "acme/orders/latest")).ok()
    directory = f"acme-orders-{place.backup.id}"
    assert place.files() == {f"{directory}/globals.pgdump": ROLES, f"{directory}/orders.pgdump": ORDERS}
    assert f"{directory}/orders.pgdump" in ended.out
    assert "downloading orders" in ended.err


async def test_one_artifact_goes_where_it_is_told(place: Place) -> None:
    (place.strongroom.home / "there").mkdir()
    for output, path in (("mine.dump", "mine.dump"), ("there", "there/orders.pgdump"), ("new/", "new/orders.pgdump")):
        argv = ("backup", "download", place.name, "--artifact", "orders", "--output", output, "--json")
        ended = (await place.strongroom.beside(*argv)).ok()
        assert ended.err == ""
        assert [each["path"] for each in ended.document["files"]] == [path]
        assert place.files()[path] == ORDERS
    (await place.strongroom.beside("backup", "download", place.name, "--artifact", "globals")).ok()
    assert place.files()["globals.pgdump"] == ROLES


async def test_what_is_there_is_only_replaced_when_told(place: Place) -> None:
    (place.strongroom.home / "globals.pgdump").write_bytes(b"precious")
    argv = ("backup", "download", place.name, "--artifact", "globals")
    refused = (await place.strongroom.beside(*argv, "--json")).failed(2, "input.invalid")
    assert refused.error["field"] == "output"
    assert place.files() == {"globals.pgdump": b"precious"}
    (await place.strongroom.beside(*argv, "--force")).ok()
    assert place.files() == {"globals.pgdump": ROLES}


async def test_encrypted_files_are_the_objects_themselves(place: Place, bucket: Bucket) -> None:
    argv = ("backup", "download", place.name, "--encrypted", "--output", "vault", "--json")
    document = (await place.strongroom.beside(*argv)).ok().document
    prefix = f"{backup_prefix('acme', 'orders', place.backup.id)}1/"
    expected = {f"vault/{key.removeprefix(prefix)}": bucket.read(key) for key in bucket.list_keys(prefix)}
    assert place.files() == expected
    for file in document["files"]:
        assert file["sha256"] == hashlib.sha256(expected[file["path"]]).hexdigest()


async def test_a_connection_that_is_cut_is_resumed(place: Place) -> None:
    place.front.on_answer = cut_answers_after(200_000, times=3)
    (await place.strongroom.beside("backup", "download", place.name, "--artifact", "orders")).ok()
    assert place.files() == {"orders.pgdump": ORDERS}
    assert len(place.front.ranges) >= 4
    assert place.front.ranges[0] == "bytes=0-"
    assert place.front.ranges[-1] != "bytes=0-"


async def test_a_signature_that_expired_is_asked_for_anew(place: Place) -> None:
    async def expired(passage: Passage) -> web.Response | None:
        return web.Response(status=403, text=EXPIRED) if passage.number == 1 else None

    place.front.on_get = expired
    (await place.strongroom.beside("backup", "download", place.name, "--artifact", "orders")).ok()
    assert place.files() == {"orders.pgdump": ORDERS}


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
async def test_damage_in_the_bucket_ends_with_status_8_and_leaves_nothing(
    place: Place, bucket: Bucket, *, encrypted: bool
) -> None:
    stored = place.backup.artifacts[1]
    data = bytearray(bucket.read(stored.object_key))
    data[-100_000] ^= 1
    bucket.write(stored.object_key, bytes(data))
    argv = ("backup", "download", place.name, *(["--encrypted"] if encrypted else []))
    ended = (await place.strongroom.beside(*argv)).failed(8, "artifact.corrupt")
    assert "'orders' is damaged" in ended.err
    assert "--artifact" in ended.err
    assert place.files() == {}
    assert list(place.strongroom.home.iterdir()) == []


async def test_an_object_that_somebody_replaced_is_not_taken_for_the_backup(place: Place, bucket: Bucket) -> None:
    """It opens with the project's key and has the right size inside: only the record's digest tells."""
    stored = place.backup.artifacts[1]
    forged = seal(ORDERS[::-1], place.backup.recipients)
    bucket.write(stored.object_key, forged)
    (await place.strongroom.beside("backup", "download", place.name, "--artifact", "orders")).failed(8, "artifact.corrupt")
    assert place.files() == {}


async def test_an_object_that_is_gone_is_missing(place: Place, bucket: Bucket) -> None:
    bucket.server.blocking_client.delete_object(Bucket=bucket.name, Key=place.backup.artifacts[0].object_key)
    (await place.strongroom.beside("backup", "download", place.name)).failed(8, "store.missing")
    (await place.strongroom.beside("backup", "download", place.name, "--encrypted")).failed(8, "store.missing")
    assert list(place.strongroom.home.iterdir()) == []


async def test_names_that_are_not_there_are_told_with_those_that_are(place: Place) -> None:
    argv = ("backup", "download", place.name, "--artifact", "nothing", "--json")
    assert "'globals', 'orders'" in (await place.strongroom.beside(*argv)).failed(3, "artifact.not_found").error["message"]


def test_an_interrupted_download_leaves_nothing(strongroom: Strongroom, service: str, database: Database) -> None:
    database.query(
        "CREATE TABLE noise AS SELECT i, gen_random_uuid() a, gen_random_uuid() b FROM generate_series(1, 200000) i"
    )
    strongroom("backup", "create", service).ok()
    with strongroom.started("backup", "download", f"{service}/latest", "--output", "here/") as downloading:
        eventually_blocking(lambda: any((strongroom.home / "here").glob(".*.part")) or downloading.is_over)
        assert not downloading.is_over, "it was too quick to be interrupted"
        downloading.interrupt()
        downloading.wait().failed(130)
    assert not (strongroom.home / "here").exists()


def test_a_real_dump_is_downloaded_as_postgresql_wrote_it(strongroom: Strongroom, service: str, orders: Database) -> None:
    strongroom("backup", "create", service).ok()
    strongroom("backup", "download", f"{service}/latest", "--artifact", orders.name, "--output", "x.dump").ok()
    listed = subprocess.run(
        [pg_bin("pg_restore"), "--list", strongroom.home / "x.dump"], capture_output=True, text=True, check=True
    )
    assert "TABLE DATA public orders" in listed.stdout
