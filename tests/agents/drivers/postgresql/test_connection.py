"""Connection settings, as they stand in a service's TOML file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from agents.drivers.postgresql.connection import PostgreSQLConnection, session
from contracts.errors import InvalidInput


def decode(text: str) -> PostgreSQLConnection:
    return msgspec.toml.decode(text, type=PostgreSQLConnection)


def test_settings_are_read_from_toml() -> None:
    found = decode(
        'kind = "postgresql"\nuser = "backup"\nhost = "db.example.org"\nport = 6432\npassword_file = "/run/p"\n'
        'sslmode = "verify-full"\nsslrootcert = "/ca.pem"\nextra = {channel_binding = "require"}\n'
    )
    assert (found.user, found.host, found.port, found.database) == ("backup", "db.example.org", 6432, "postgres")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('pasword_file = "/x"', "unknown field `pasword_file`"),
        ("port = 0", "port"),
        ('sslmode = "verify"', "sslmode"),
        ('extra = {password = "x"}', "extra"),
        ('password_file = "/a"\npassfile = "/b"', "exclude each other"),
        ('kind = "mariadb"', "kind"),
        ('user = ""', "user"),
    ],
)
def test_what_is_unknown_or_malformed_is_refused(line: str, words: str) -> None:
    settings = {"kind": '"postgresql"', "user": '"backup"'}
    settings |= dict(part.split(" = ", 1) for part in line.splitlines())
    with pytest.raises(msgspec.ValidationError, match=words):
        decode("\n".join(f"{key} = {value}" for key, value in settings.items()))


def make(directory: Path, password: bytes = b"secret\n", **settings: Any) -> PostgreSQLConnection:
    path = directory / "password"
    path.write_bytes(password)
    return PostgreSQLConnection(user="a:b\\c", password_file=str(path), **settings)


def test_the_password_is_in_an_unnamed_private_file_while_the_session_lasts(tmp_path: Path) -> None:
    runtime = tmp_path / "runtime"
    runtime.mkdir()
    with session(make(tmp_path, b"s:e\\cret\r\n"), "db=x", runtime) as opened:
        assert opened.env["PGDATABASE"] == "db=x"
        assert not any("cret" in value for value in opened.env.values())
        assert "cret" not in repr(opened)
        assert list(runtime.iterdir()) == []
        passfile = Path(opened.env["PGPASSFILE"])
        assert passfile.stat().st_mode & 0o777 == 0o600
        assert passfile.read_text() == "*:*:*:a\\:b\\\\c:s\\:e\\\\cret\n"
    assert not passfile.exists()


def test_a_native_passfile_is_used_as_it_is(tmp_path: Path) -> None:
    connection = PostgreSQLConnection(user="x", passfile="/etc/pgpass")
    with session(connection, "postgres", tmp_path) as opened:
        assert opened.env["PGPASSFILE"] == "/etc/pgpass"


def test_all_parameters_become_variables_that_libpq_knows(tmp_path: Path) -> None:
    connection = PostgreSQLConnection(
        user="x",
        host="/run/pg",
        sslmode="require",
        sslrootcert="/ca",
        extra={"channel_binding": "require", "sslcert": "/c", "target_session_attrs": "primary"},
    )
    with session(connection, "postgres", tmp_path) as opened:
        assert opened.env == {
            "PGHOST": "/run/pg",
            "PGPORT": "5432",
            "PGUSER": "x",
            "PGDATABASE": "postgres",
            "PGAPPNAME": "strongroom",
            "PGCONNECT_TIMEOUT": "10",
            "PGSSLMODE": "require",
            "PGSSLROOTCERT": "/ca",
            "PGCHANNELBINDING": "require",
            "PGSSLCERT": "/c",
            "PGTARGETSESSIONATTRS": "primary",
        }


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe\n"])
def test_a_useless_password_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "password"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match="password") as caught:
        _open_session(path, tmp_path)
    assert (caught.value.code, caught.value.field) == ("config.invalid", "connection.password_file")


def test_a_missing_password_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read: No such file"):
        _open_session(tmp_path / "nothing", tmp_path)


def _open_session(password_file: Path, runtime_dir: Path) -> None:
    with session(PostgreSQLConnection(user="x", password_file=str(password_file)), "postgres", runtime_dir):
        pass


def test_a_runtime_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(InvalidInput, match=r"runtime_dir .*nothing cannot be written to: No such file") as caught,
        session(make(tmp_path), "x", tmp_path / "nothing"),
    ):
        pass
    assert (caught.value.code, caught.value.field) == ("config.invalid", "runtime_dir")


def test_a_password_with_a_line_break_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="line break") as caught, session(make(tmp_path, b"se\ncret"), "x", tmp_path):
        pass
    assert "cret" not in str(caught.value)
