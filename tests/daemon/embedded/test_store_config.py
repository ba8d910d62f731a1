"""How SeaweedFS is configured, without running it."""

from __future__ import annotations

import json
import stat
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from daemon.embedded.object_store import StoreCredentials
from daemon.embedded.ports import free_ports
from daemon.embedded.store_config import (
    StoreFiles,
    StoreLimits,
    StorePorts,
    render_identities,
    server_arguments,
    stray_sockets,
    volume_size_mb,
)
from daemon.embedded.store_security import write_security

NOW = datetime(2026, 11, 22, tzinfo=UTC)
GIB = 1024**3
PORTS = StorePorts.of(range(20001, 20009))


def arguments() -> list[str]:
    return server_arguments(PORTS, StoreFiles(base=Path("/data")), StoreLimits(volume_size_mb=64))


def test_every_port_is_chosen_and_none_twice() -> None:
    chosen = [int(value) for flag, _, value in (text.partition("=") for text in arguments()) if ".port" in flag]
    assert sorted(port for port in chosen if port) == list(range(20001, 20009))


def test_nothing_listens_beyond_loopback_or_calls_home() -> None:
    given = arguments()
    assert {"-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false"} <= set(given)
    assert {"-webdav=false", "-sftp=false", "-iam=false", "-s3.iam=false", "-mq.broker=false"} <= set(given)
    assert {"-s3.port.iceberg=0", "-s3.port.lance=0"} <= set(given)
    assert not any(text.startswith("-metricsPort") for text in given)


def test_only_the_coordinator_is_known() -> None:
    (identity,) = json.loads(render_identities("AKIA", "secret"))["identities"]
    assert identity["name"] == "coordinator"
    assert identity["credentials"] == [{"accessKey": "AKIA", "secretKey": "secret"}]


def test_sockets_outside_the_directory_are_known_by_their_ports() -> None:
    names = {path.name for path in stray_sockets(PORTS)}
    assert f"seaweedfs-filer-grpc-{PORTS.filer_grpc}.sock" in names
    assert len(names) == 4


@pytest.mark.parametrize(
    ("free", "size_mb"),
    [
        (0, 32),
        (GIB, 32),
        (20 * GIB, 32),
        (80 * GIB, 128),
        (200 * GIB, 512),
        (1024 * GIB, 2048),
        (100_000 * GIB, 4096),
    ],
)
def test_volumes_grow_with_the_disk(free: int, size_mb: int) -> None:
    assert volume_size_mb(free) == size_mb


def test_the_secret_key_is_not_shown() -> None:
    credentials = StoreCredentials(access_key="AKIA", secret_key="very-secret")
    assert "very-secret" not in repr(credentials)
    assert "very-secret" not in f"{credentials}"


def test_inner_ports_are_closed_by_secrets_made_anew(tmp_path: Path) -> None:
    write_security(tmp_path, NOW)
    first = tomllib.loads((tmp_path / "security.toml").read_text())
    write_security(tmp_path, NOW)
    second = tomllib.loads((tmp_path / "security.toml").read_text())
    for config in (first, second):
        tokens = [config["jwt"][name] for name in ("signing", "filer_signing")]
        assert all(len(token["key"]) >= 32 for token in tokens)
        assert all(len(token["read"]["key"]) >= 32 for token in tokens)
        for role in ("master", "volume", "filer", "s3", "client"):
            assert config["grpc"][role] == {
                "cert": str(tmp_path / "certificate.pem"),
                "key": str(tmp_path / "private_key.pem"),
            }
    assert first["jwt"] != second["jwt"]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in tmp_path.iterdir())


def test_the_certificate_is_the_authoritys(tmp_path: Path) -> None:
    write_security(tmp_path, NOW)
    authority = x509.load_pem_x509_certificate((tmp_path / "authority.pem").read_bytes())
    certificate = x509.load_pem_x509_certificate((tmp_path / "certificate.pem").read_bytes())
    certificate.verify_directly_issued_by(authority)
    assert certificate.not_valid_before_utc < NOW < certificate.not_valid_after_utc
    assert certificate.not_valid_after_utc.year == 2036


def test_eight_ports_make_a_set() -> None:
    ports = StorePorts.of(free_ports(StorePorts.COUNT))
    assert len({ports.s3, ports.filer, ports.volume, ports.master}) == 4
