"""The proof with the stock programs: it opens what is whole, and refuses what is not."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
import zstandard
from aiohttp import web
from aiohttp.test_utils import TestServer

from contracts.age import Encryptor, Identity, Recipient
from contracts.control import Download
from contracts.errors import Corrupt, RunFailed
from contracts.records import ArtifactRecord
from daemon.demo.engines.base import Opener
from daemon.demo.engines.postgresql import describe_listing
from daemon.demo.processes import run_program
from daemon.demo.programs import Programs
from daemon.demo.proof import download, open_artifact, write_recovery_key
from daemon.demo.psql import Psql
from daemon.demo.stock_programs import find_stock_programs

STOCK = find_stock_programs()


def opener(programs: Programs) -> Opener:
    return Opener(argv=[programs.pg_restore, "-l"], command="pg_restore -l", magic=b"PGDMP", describe=describe_listing)


@dataclass(frozen=True, kw_only=True)
class Stored:
    """An artifact as an agent makes it, and the key to it."""

    data: bytes
    record: ArtifactRecord
    key_file: Path
    url: str

    @property
    def grant(self) -> Download:
        return Download(artifact=self.record, url=self.url, expires_at=datetime(2030, 1, 1, tzinfo=UTC))

    def write(self, directory: Path, data: bytes | None = None) -> Path:
        path = directory / "shop.pgdump.zst.age"
        path.write_bytes(self.data if data is None else data)
        return path


def record_of(data: bytes, plain_bytes: int) -> ArtifactRecord:
    return ArtifactRecord(
        name="shop",
        kind="database",
        format="pg_dump-custom",
        object_key="demo/postgres/20261122T000512Z-k7xq/1/shop.pgdump.zst.age",
        stored_bytes=len(data),
        plain_bytes=plain_bytes,
        sha256=hashlib.sha256(data).hexdigest(),
    )


@pytest.fixture
async def stored(shop: Psql, programs: Programs, tmp_path: Path) -> AsyncIterator[Stored]:
    environment = shop.cluster.environment(shop.database)
    ended, dump = await run_program([programs.pg_dump, "-Fc", "-Z0"], environment=environment)
    assert ended.status == 0, ended.stderr_tail
    key_file, recipient = write_recovery_key(tmp_path / "keys")
    encryptor = Encryptor([Identity.generate().recipient, Recipient.parse(recipient)])
    data = encryptor.preamble + encryptor.update(zstandard.ZstdCompressor().compress(dump)) + encryptor.finish()

    async def serve(request: web.Request) -> web.Response:
        if "signature" not in request.query:
            raise web.HTTPForbidden
        return web.Response(body=data[: int(request.query.get("cut", len(data)))])

    app = web.Application()
    app.router.add_get("/object", serve)
    async with TestServer(app) as server:
        url = str(server.make_url("/object?signature=s3cr3t"))
        yield Stored(data=data, record=record_of(data, len(dump)), key_file=key_file, url=url)


async def test_the_stock_programs_open_what_was_downloaded(stored: Stored, programs: Programs, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    file = await download(stored.grant, tmp_path / "proof", lambda *amounts: told.append(amounts))
    assert file.read_bytes() == stored.data
    assert file.stat().st_mode & 0o777 == 0o600
    assert told[-1] == (len(stored.data), len(stored.data))
    proof = await open_artifact(file, stored.key_file, stored.record, STOCK, opener(programs))
    assert proof.plain_bytes == stored.record.plain_bytes
    # All but the two materialised views, which are filled from the tables when they are restored.
    assert proof.contents.endswith(" entries, the data of 17 tables among them")
    assert int(proof.contents.split()[0]) > 150
    assert proof.command == "age -d -i key.txt shop.pgdump.zst.age | zstd -d | pg_restore -l"


def test_the_recovery_key_is_an_age_key_file_for_its_owner_alone(tmp_path: Path) -> None:
    path, recipient = write_recovery_key(tmp_path / "proof")
    assert path.stat().st_mode & 0o777 == 0o600
    comment, identity = path.read_text().splitlines()
    assert comment == f"# public key: {recipient}"
    assert str(Identity.parse(identity).recipient) == recipient


@pytest.mark.parametrize("left", [-1, -70_000, 500])
async def test_a_truncated_file_is_refused(stored: Stored, programs: Programs, tmp_path: Path, left: int) -> None:
    file = stored.write(tmp_path, stored.data[:left])
    with pytest.raises(Corrupt, match="cannot be opened: age ended with status 1") as caught:
        await open_artifact(file, stored.key_file, stored.record, STOCK, opener(programs))
    assert "age: error:" in str(caught.value.detail)


async def test_a_changed_byte_is_refused(stored: Stored, programs: Programs, tmp_path: Path) -> None:
    data = bytearray(stored.data)
    data[len(data) // 2] ^= 1
    with pytest.raises(Corrupt, match="cannot be opened: age"):
        await open_artifact(stored.write(tmp_path, bytes(data)), stored.key_file, stored.record, STOCK, opener(programs))


async def test_another_key_does_not_open_it(stored: Stored, programs: Programs, tmp_path: Path) -> None:
    other, _ = write_recovery_key(tmp_path / "other")
    with pytest.raises(Corrupt) as caught:
        await open_artifact(stored.write(tmp_path), other, stored.record, STOCK, opener(programs))
    assert "no identity matched" in str(caught.value.detail)


async def test_another_size_than_went_in_is_refused(stored: Stored, programs: Programs, tmp_path: Path) -> None:
    record = msgspec.structs.replace(stored.record, plain_bytes=stored.record.plain_bytes + 1)
    with pytest.raises(Corrupt, match="bytes went into 'shop', but"):
        await open_artifact(stored.write(tmp_path), stored.key_file, record, STOCK, opener(programs))


async def test_something_else_than_a_dump_is_refused(stored: Stored, programs: Programs, tmp_path: Path) -> None:
    recipient = Identity.parse(stored.key_file.read_text().splitlines()[1]).recipient
    encryptor = Encryptor([recipient])
    data = encryptor.preamble + encryptor.update(zstandard.ZstdCompressor().compress(b"SELECT 1;")) + encryptor.finish()
    with pytest.raises(Corrupt, match="does not begin like a dump"):
        await open_artifact(stored.write(tmp_path, data), stored.key_file, record_of(data, 9), STOCK, opener(programs))


async def test_an_object_that_is_not_its_records_is_refused(stored: Stored, tmp_path: Path) -> None:
    short = msgspec.structs.replace(stored.grant, url=f"{stored.url}&cut=1000")
    with pytest.raises(Corrupt, match="not the one that its record describes"):
        await download(short, tmp_path / "proof", _nobody)


async def test_a_refused_download_does_not_tell_the_url(stored: Stored, tmp_path: Path) -> None:
    refused = msgspec.structs.replace(stored.grant, url=stored.url.replace("signature=", "other="))
    with pytest.raises(RunFailed, match="answered 403") as caught:
        await download(refused, tmp_path / "proof", _nobody)
    gone = msgspec.structs.replace(stored.grant, url="http://127.0.0.1:1/object?signature=s3cr3t")
    with pytest.raises(RunFailed, match="broke off") as also:
        await download(gone, tmp_path / "proof", _nobody)
    assert "s3cr3t" not in f"{caught.value!r} {also.value!r} {caught.value.detail} {also.value.detail}"


def _nobody(*_: int) -> None:
    """Tells nobody."""
