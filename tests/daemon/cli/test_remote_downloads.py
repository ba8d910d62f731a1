"""Downloads by the command over HTTP: from the store where that is in reach, else by way of the coordinator; with TLS."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import msgspec
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from contracts.access import Role
from contracts.records import BackupRecord
from daemon.embedded.ports import free_ports
from daemon.http.settings import HttpSettings
from daemon.settings import CoordinatorSettings
from tests.agents.datapath.faulty_store import FaultyStore, Passage
from tests.daemon.cli.calling import Ended, Strongroom, Zygote
from tests.daemon.cli.stored import Vault, running_vault
from tests.daemon.http.reading import make_token
from tests.servers.nats import NatsServer
from tests.servers.s3 import Bucket

ORDERS = os.urandom(900_000) + bytes(2_000_000)
ROLES = b"CREATE ROLE app;\n"


@dataclass(frozen=True)
class Place:
    """A backup of two artifacts, and somebody who may download it over HTTP."""

    vault: Vault
    backup: BackupRecord
    strongroom: Strongroom

    async def __call__(self, *argv: str) -> Ended:
        return await self.strongroom.beside(*argv)

    def files(self) -> dict[str, bytes]:
        found = [path for path in self.strongroom.home.rglob("*") if path.is_file() and ".config" not in path.parts]
        return {str(path.relative_to(self.strongroom.home)): path.read_bytes() for path in found if path.name != "token"}


@asynccontextmanager
async def _place(
    settings: CoordinatorSettings,
    nats_server: NatsServer,
    zygote: Zygote,
    home: Path,
    *,
    store_url: str = "",
    http: HttpSettings | None = None,
    login: tuple[str, ...] = (),
) -> AsyncIterator[Place]:
    """`store_url`: what the store is said to be at, if that is not true."""
    home.mkdir()
    settings = msgspec.structs.replace(settings, http=http or HttpSettings(port=0))
    async with running_vault(settings, nats_server) as vault:
        backup = await vault.store(globals=ROLES, orders=ORDERS)
    if store_url:
        store = msgspec.structs.replace(settings.store, public_endpoint_url=store_url)
        settings = msgspec.structs.replace(settings, store=store)
    async with running_vault(settings, nats_server, is_new=False) as vault:
        token = await make_token(vault.operator, Role.OPERATOR)
        (home / "token").write_text(token.token)
        strongroom = Strongroom(zygote, home, None)
        (await strongroom.beside("login", vault.url, "--token-file", "token", *login)).ok()
        yield Place(vault, backup, strongroom)


@pytest.fixture
async def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


async def test_what_is_in_reach_comes_from_the_store_itself(
    settings: CoordinatorSettings, nats_server: NatsServer, zygote: Zygote, home: Path, bucket: Bucket
) -> None:
    async with (
        FaultyStore(bucket.server.endpoint_url).running() as front,
        _place(settings, nats_server, zygote, home, store_url=front.url) as place,
    ):
        (await place("backup", "download", "acme/orders/latest", "--output", "here/")).ok()
        assert place.files() == {"here/globals.pgdump": ROLES, "here/orders.pgdump": ORDERS}
        assert front.ranges == ["bytes=0-", "bytes=0-"]


async def test_a_store_out_of_reach_is_read_by_way_of_the_coordinator(
    settings: CoordinatorSettings, nats_server: NatsServer, zygote: Zygote, home: Path, bucket: Bucket
) -> None:
    (port,) = free_ports(1)
    async with _place(settings, nats_server, zygote, home, store_url=f"http://127.0.0.1:{port}") as place:
        (await place("backup", "download", "acme/orders/latest", "--output", "here/")).ok()
        assert place.files() == {"here/globals.pgdump": ROLES, "here/orders.pgdump": ORDERS}
        (await place("backup", "download", "acme/orders/latest", "--encrypted", "--output", "vault/")).ok()
        stored = {record.object_key.rpartition("/")[2]: bucket.read(record.object_key) for record in place.backup.artifacts}
        assert {name: data for name, data in place.files().items() if name.startswith("vault/")} == {
            f"vault/{name}": data for name, data in stored.items()
        }
        bucket.write(place.backup.artifacts[0].object_key, b"x" * place.backup.artifacts[0].stored_bytes)
        argv = ("backup", "download", "acme/orders/latest", "--artifact", "globals", "--output", "again", "--encrypted")
        (await place(*argv)).failed(8, "artifact.corrupt")
        assert "again" not in place.files()


@pytest.mark.parametrize("answer", ["404", "page"])
async def test_something_else_at_the_stores_address_is_not_taken_for_the_store(
    settings: CoordinatorSettings, nats_server: NatsServer, zygote: Zygote, home: Path, bucket: Bucket, answer: str
) -> None:
    async def strange(_: Passage) -> web.Response:
        return web.Response(status=404) if answer == "404" else web.Response(text="<h1>It works!</h1>")

    async with FaultyStore(bucket.server.endpoint_url).running() as front:
        front.on_get = strange
        async with _place(settings, nats_server, zygote, home, store_url=front.url) as place:
            (await place("backup", "download", "acme/orders/latest", "--output", "here/")).ok()
            assert place.files() == {"here/globals.pgdump": ROLES, "here/orders.pgdump": ORDERS}


async def test_a_private_authority_has_to_be_named_and_is_then_trusted_everywhere(
    settings: CoordinatorSettings, nats_server: NatsServer, zygote: Zygote, home: Path, tmp_path: Path
) -> None:
    certificate, key = _self_signed(tmp_path)
    (port,) = free_ports(1)
    http = HttpSettings(port=0, tls_cert_file=str(certificate), tls_key_file=str(key))
    unreachable = f"http://127.0.0.1:{port}"
    login = ("--ca-file", str(certificate))
    async with _place(settings, nats_server, zygote, home, store_url=unreachable, http=http, login=login) as place:
        assert place.vault.url.startswith("https://")
        (await place("whoami")).ok()
        (await place("backup", "download", "acme/orders/latest", "--output", "here/")).ok()
        assert place.files() == {"here/globals.pgdump": ROLES, "here/orders.pgdump": ORDERS}
        argv = ("login", place.vault.url, "--token-file", "token", "--profile", "strict")
        refused = (await place(*argv)).failed(2, "config.invalid").err
        assert "certificate" in refused
        assert "--ca-file" in refused
        plain = place.vault.url.replace("https://", "http://")
        (await place("login", plain, "--token-file", "token")).failed(6, "http.unavailable")


def _self_signed(directory: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = directory / "cert.pem", directory / "key.pem"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate_file, key_file
