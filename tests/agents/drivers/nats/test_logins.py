"""The ways to log in, and TLS: each on a server that lets nobody in otherwise."""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import nkeys  # type: ignore[import-untyped]
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agents.drivers.nats.connection import NATSConnection
from agents.drivers.nats.driver import NATSDriver
from contracts.records import EngineHealth
from daemon.embedded.binaries import NATS_SERVER, find_program
from daemon.embedded.ports import free_ports
from tests.servers.directories import server_directory
from tests.servers.process import ServerProcess

_OPERATOR: Final = nkeys.PREFIX_BYTE_OPERATOR
_ACCOUNT: Final = nkeys.PREFIX_BYTE_ACCOUNT
_USER: Final = nkeys.PREFIX_BYTE_USER


@pytest.fixture
def folder() -> Iterator[Path]:
    with server_directory("nats") as directory:
        yield directory


@contextmanager
def _server(folder: Path, settings: str) -> Iterator[str]:
    (port,) = free_ports(1)
    config = folder / "server.conf"
    store = f'jetstream {{ store_dir: "{folder / "js"}" }}'
    config.write_text(f"server_name: login\nlisten: 127.0.0.1:{port}\n{store}\n{settings}\n")
    process = ServerProcess("nats-login", [str(find_program(NATS_SERVER)), "-c", str(config)], directory=folder)
    try:
        process.start(lambda: "Server is ready" in process.log_path.read_text())
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()


async def _health(folder: Path, **settings: Any) -> EngineHealth:
    return await NATSDriver(NATSConnection(**settings), runtime_dir=folder, work_dir=folder).health()


def _file(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def _pair(prefix: int) -> tuple[Any, str, str]:
    """(key pair, public key, seed)."""
    seed = nkeys.encode_seed(os.urandom(32), prefix)
    pair = nkeys.from_seed(bytearray(seed))
    return pair, bytes(pair.public_key).decode(), bytes(seed).decode()


def _jwt(issuer: Any, subject: str, name: str, claims: dict[str, Any]) -> str:
    def packed(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    body = {"jti": name, "iat": int(time.time()), "iss": bytes(issuer.public_key).decode(), "name": name, "sub": subject}
    signed = f"{packed({'typ': 'JWT', 'alg': 'ed25519-nkey'})}.{packed({**body, 'nats': {'version': 2, **claims}})}"
    return f"{signed}.{base64.urlsafe_b64encode(issuer.sign(signed.encode())).decode().rstrip('=')}"


async def test_by_token(folder: Path) -> None:
    with _server(folder, 'authorization { token: "t0ken-of-the-test" }') as place:
        right = _file(folder, "right", "t0ken-of-the-test\n")
        assert (await _health(folder, url=[f"nats://{place}"], token_file=right)).error is None
        wrong = await _health(folder, url=[f"nats://{place}"], token_file=_file(folder, "wrong", "an0ther\n"))
        assert wrong.error is not None
        assert wrong.error.code == "engine.auth_failed"
        assert "an0ther" not in str(wrong.error)


async def test_by_nkey(folder: Path) -> None:
    _, public, seed = _pair(_USER)
    with _server(folder, f"authorization {{ users: [{{ nkey: {public} }}] }}") as place:
        assert (await _health(folder, url=[f"nats://{place}"], nkey_file=_file(folder, "seed", seed + "\n"))).error is None
        stranger = _file(folder, "stranger", _pair(_USER)[2])
        wrong = await _health(folder, url=[f"nats://{place}"], nkey_file=stranger)
        assert wrong.error is not None
        assert wrong.error.code == "engine.auth_failed"


async def test_by_credentials_of_nsc(folder: Path) -> None:
    operator, operator_key, _ = _pair(_OPERATOR)
    account, account_key, _ = _pair(_ACCOUNT)
    _, system_key, _ = _pair(_ACCOUNT)
    _, user_key, seed = _pair(_USER)
    most = dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn", "leaf"), -1)
    storage = dict.fromkeys(("mem_storage", "disk_storage", "streams", "consumer"), -1)
    operator_jwt = _jwt(operator, operator_key, "O", {"type": "operator", "system_account": system_key})
    accounts = {
        system_key: _jwt(operator, system_key, "S", {"type": "account", "limits": {**most, "wildcards": True}}),
        account_key: _jwt(operator, account_key, "A", {"type": "account", "limits": {**most, **storage, "wildcards": True}}),
    }
    user_jwt = _jwt(account, user_key, "U", {"type": "user", "subs": -1, "data": -1, "payload": -1})
    creds = (
        f"-----BEGIN NATS USER JWT-----\n{user_jwt}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )
    known = "\n".join(f"{key}: {token}" for key, token in accounts.items())
    settings = f"operator: {operator_jwt}\nsystem_account: {system_key}\nresolver: MEMORY\nresolver_preload {{\n{known}\n}}"
    with _server(folder, settings) as place:
        path = _file(folder, "user.creds", creds)
        health = await _health(folder, url=[f"nats://{place}"], creds_file=path)
        assert health.error is None
        other = _file(folder, "other.creds", creds.replace(seed, _pair(_USER)[2]))
        wrong = await _health(folder, url=[f"nats://{place}"], creds_file=other)
        assert wrong.error is not None
        assert wrong.error.code == "engine.auth_failed"


def _certificate(folder: Path) -> tuple[str, str]:
    """Files of a certificate that has signed itself, for 127.0.0.1, and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "the test")])
    now = dt.datetime.now(dt.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return (
        _file(folder, "cert.pem", certificate.public_bytes(pem).decode()),
        _file(folder, "key.pem", private.decode()),
    )


async def test_an_encrypted_key_is_told_and_nobody_is_asked_for_its_pass_phrase(folder: Path) -> None:
    cert, key = _certificate(folder)
    private = serialization.load_pem_private_key(Path(key).read_bytes(), None)
    encryption = serialization.BestAvailableEncryption(b"phrase")
    pem = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    locked = _file(folder, "locked.pem", pem.decode())
    health = await _health(folder, url=["tls://127.0.0.1:1"], cert_file=cert, key_file=locked)
    assert health.error is not None
    assert health.error.code == "config.invalid"
    assert "the key is encrypted" in health.error.message


async def test_by_certificates(folder: Path) -> None:
    cert, key = _certificate(folder)
    settings = f'tls {{ cert_file: "{cert}", key_file: "{key}", ca_file: "{cert}", verify: true }}'
    with _server(folder, settings) as place:
        url = [f"tls://{place}"]
        assert (await _health(folder, url=url, ca_file=cert, cert_file=cert, key_file=key)).error is None
        for lacking in ({"ca_file": cert}, {"cert_file": cert, "key_file": key}):
            wrong = await _health(folder, url=url, **lacking)
            assert not wrong.reachable
            assert wrong.error is not None
            assert wrong.error.code == "engine.unreachable"
