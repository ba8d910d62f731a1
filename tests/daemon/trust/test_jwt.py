"""NATS JWTs and the keys that sign them."""

from __future__ import annotations

import string
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import Corrupt, InvalidInput
from daemon.trust import jwt
from daemon.trust.keys import KeyKind, KeyPair, check_public_key, is_public_key

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SIGNER = KeyPair.generate(KeyKind.ACCOUNT)
USER = KeyPair.generate(KeyKind.USER).public


def token(*, expires_at: datetime | None = None) -> str:
    return jwt.encode(SIGNER, type_="user", subject=USER, name="n", claims={"a": 1}, issued_at=NOW, expires_at=expires_at)


def test_what_was_signed_is_read_again() -> None:
    claims = jwt.decode(token(expires_at=NOW + timedelta(hours=1)))
    assert (claims["iss"], claims["sub"], claims["name"]) == (SIGNER.public, USER, "n")
    assert claims["nats"] == {"a": 1, "type": "user", "version": 2}
    assert claims["exp"] - claims["iat"] == 3600
    assert jwt.expiry(token(expires_at=NOW + timedelta(hours=1))) == NOW + timedelta(hours=1)
    assert jwt.expiry(token()) is None


def test_equal_claims_give_equal_text() -> None:
    assert token() == token()
    assert token() != token(expires_at=NOW)


@given(st.integers(min_value=0), st.sampled_from(string.ascii_letters + string.digits))
def test_a_changed_jwt_is_refused(place: int, character: str) -> None:
    original = token()
    place %= len(original) - 1  # the last character of base64 has bits that say nothing
    changed = original[:place] + character + original[place + 1 :]
    if changed == original:
        return
    with pytest.raises(Corrupt):
        jwt.decode(changed)


@given(st.text(max_size=200))
def test_anything_else_is_no_jwt(text: str) -> None:
    with pytest.raises(Corrupt) as refused:
        jwt.decode(text)
    assert refused.value.code == "key.invalid"


@pytest.mark.parametrize("kind", list(KeyKind))
def test_a_key_is_known_by_its_kind(kind: KeyKind) -> None:
    pair = KeyPair.generate(kind)
    assert pair.public.startswith(kind.letter)
    assert pair.reveal().startswith(f"S{kind.letter}")
    assert KeyPair(pair.reveal(), kind).public == pair.public
    assert [other for other in KeyKind if is_public_key(pair.public, other)] == [kind]
    for other in KeyKind:
        if other is not kind:
            with pytest.raises(InvalidInput, match="this kind"):
                KeyPair(pair.reveal(), other)


def test_a_mistyped_public_key_is_refused() -> None:
    wrong = USER[:20] + ("A" if USER[20] != "A" else "B") + USER[21:]
    for key in (wrong, USER[:-1], USER.lower(), "", "U" * 56, "Ü" * 56):
        with pytest.raises(InvalidInput) as refused:
            check_public_key(key, KeyKind.USER)
        assert (refused.value.code, refused.value.field) == ("key.invalid", "public_key")


def test_a_seed_shows_in_no_text() -> None:
    assert SIGNER.reveal() not in f"{SIGNER} {SIGNER!r}"
    with pytest.raises(InvalidInput) as refused:
        KeyPair(SIGNER.reveal()[:-2] + "AA", KeyKind.ACCOUNT)
    assert SIGNER.reveal()[:20] not in str(refused.value)


def test_a_seed_file_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.nk"
    made = KeyPair.ensure(path, KeyKind.ACCOUNT)
    assert path.stat().st_mode & 0o777 == 0o600
    assert KeyPair.ensure(path, KeyKind.ACCOUNT).public == made.public
    path.write_text("rubbish")
    with pytest.raises(InvalidInput) as refused:
        KeyPair.ensure(path, KeyKind.ACCOUNT)
    assert (refused.value.code, refused.value.field) == ("config.invalid", str(path))
