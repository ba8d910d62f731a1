"""Errors that travel hold no secrets and no rows."""

from __future__ import annotations

import pytest

from agents.drivers.postgresql.redaction import redactor
from agents.drivers.secret_files import Secret


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Command was: ALTER ROLE x PASSWORD 'top''secret' VALID;", "Command was: ALTER ROLE x PASSWORD '…' VALID;"),
        ("OPTIONS (user 'x', password 'topsecret')", "OPTIONS (user 'x', password '…')"),
        ("CONNECTION 'host=a password=topsecret port=1'", "CONNECTION 'host=a password=… port=1'"),
        ("hash SCRAM-SHA-256$4096:ab$cd:ef here", "hash … here"),
        ("md5" + "0af3" * 8, "…"),
        ('CONTEXT:  COPY t, line 7, column note: "topsecret"', "CONTEXT:  COPY t, line 7, column note: …"),
        ('CONTEXT:  COPY t, line 7: "1 topsecret"', "CONTEXT:  COPY t, line 7: …"),
        ("DETAIL:  Key (email)=(top@secret) already exists.", "DETAIL:  Key (email)=(…) already exists."),
        ("DETAIL:  Failing row contains (1, topsecret).", "DETAIL:  Failing row contains (…)"),
        ('FATAL:  password authentication failed for user "x"', 'FATAL:  password authentication failed for user "x"'),
        ('ERROR:  relation "orders" does not exist', 'ERROR:  relation "orders" does not exist'),
    ],
)
def test_secrets_and_rows_are_cut_out_of_what_tools_say(said: str, shown: str) -> None:
    assert redactor(None)(said) == shown


def test_our_own_password_is_cut_out_wherever_it_stands() -> None:
    password = Secret("correct horse")
    assert redactor(password)("x correct horse y") == "x … y"
    assert "correct" not in f"{password!r} {password}"
