"""Signed records: what was signed is what is read, by our own program and by stock ones."""

from __future__ import annotations

import base64
import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import Corrupt, InvalidInput
from contracts.signed_record import (
    HOW_TO_VERIFY,
    PAYLOAD_TYPE,
    PublicKey,
    SigningKey,
    content_as,
    read_unverified,
    sign,
    verify,
)
from tests.servers.tools import tool

MOMENT = datetime(2026, 3, 9, 1, 2, 3, 456789, UTC)
KEY = SigningKey(bytes(range(32)))


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something to sign."""

    project: str
    rows: int = 0
    at: datetime | None = None
    names: list[str] = []


FINDING = Finding(project="acme", rows=42, at=MOMENT, names=["orders", "Größe\u2028"])

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def signed(content: Any = FINDING, key: SigningKey = KEY) -> bytes:
    return sign(key, kind="finding", id="20260309T010203Z-aaaa", at=MOMENT, content=content)


@given(
    st.binary(min_size=32, max_size=32),
    st.text(),
    st.datetimes(timezones=st.just(UTC)),
    st.dictionaries(st.text(), json_values),
)
def test_whatever_is_signed_is_read_as_it_was(seed: bytes, id_: str, at: datetime, content: dict[str, Any]) -> None:
    key = SigningKey(seed)
    data = sign(key, kind="finding", id=id_, at=at, content=content)
    assert sign(key, kind="finding", id=id_, at=at, content=content) == data
    statement = verify(data, PublicKey.parse(str(key.public)))
    assert (statement.kind, statement.id, statement.signed_at, statement.content) == ("finding", id_, at, content)
    assert statement == read_unverified(data)


def test_a_content_comes_back_as_its_struct() -> None:
    assert content_as(verify(signed(), KEY.public), Finding) == FINDING
    with pytest.raises(Corrupt, match="no finding") as caught:
        content_as(verify(signed({"project": 3}), KEY.public), Finding)
    assert caught.value.code == "signature.invalid"


@given(st.data())
def test_no_bit_of_a_record_can_be_changed(data: st.DataObject) -> None:
    """Unless it says the very same: white space, or a character written in another way."""
    record = signed()
    at = data.draw(st.integers(0, len(record) - 1))
    changed = bytearray(record)
    changed[at] ^= 1 << data.draw(st.integers(0, 7))
    if bytes(changed) == record or _means(bytes(changed)) == _means(record):
        return
    with pytest.raises(Corrupt) as caught:
        verify(bytes(changed), KEY.public)
    assert caught.value.code in {"signature.invalid", "signature.other_key"}


def _means(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return None


def _each_field(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        return [found for name, inner in value.items() for found in _each_field(inner, (*path, name))]
    if isinstance(value, list):
        return [found for index, inner in enumerate(value) for found in _each_field(inner, (*path, index))]
    return [path]


def _with(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = _with(copy[path[0]], path[1:], new)
    return copy


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


def test_each_field_of_the_statement_and_of_the_envelope_is_held_by_the_signature() -> None:
    envelope = json.loads(signed())
    statement = json.loads(base64.b64decode(envelope["payload"]))
    tampered: list[bytes] = []
    for path in _each_field(statement):
        old = _at(statement, path)
        other = _with(statement, path, old + 1 if isinstance(old, int) else f"{old}x")
        payload = json.dumps(other, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        tampered.append(json.dumps(envelope | {"payload": base64.b64encode(payload).decode()}).encode())
    tampered.extend(json.dumps(_with(envelope, path, f"{_at(envelope, path)}x")).encode() for path in _each_field(envelope))
    tampered.append(json.dumps(envelope | {"note": "all is well"}).encode())
    tampered.append(json.dumps(envelope | {"signatures": envelope["signatures"] * 2}).encode())
    tampered.append(json.dumps(envelope | {"signatures": []}).encode())
    assert len(tampered) > 25
    for data in tampered:
        with pytest.raises(Corrupt):
            verify(data, KEY.public)
    assert verify(json.dumps(envelope).encode(), KEY.public).content["rows"] == 42


def test_another_key_is_refused_by_name_even_where_the_record_claims_to_be_from_it() -> None:
    stranger = SigningKey.generate()
    with pytest.raises(Corrupt, match=f"key {KEY.public.id} signed it, which is not the key {stranger.public.id}") as caught:
        verify(signed(), stranger.public)
    assert caught.value.code == "signature.other_key"
    forged = json.loads(signed(key=stranger))
    forged["signatures"][0]["keyid"] = KEY.public.id
    with pytest.raises(Corrupt, match="does not fit") as caught:
        verify(json.dumps(forged).encode(), KEY.public)
    assert caught.value.code == "signature.invalid"


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "no signed record"),
        (b"[]", "no signed record"),
        (b"\xff\xfe", "no signed record"),
        (b"[" * 100_000, "no signed record"),
        (b'{"payloadType":"text/plain","payload":"","signatures":[],"how_to_verify":[]}', "'text/plain'"),
    ],
)
def test_what_is_no_record_is_told_so(data: bytes, match: str) -> None:
    with pytest.raises(Corrupt, match=match):
        verify(data, KEY.public)


def test_a_record_of_a_newer_format_asks_for_a_newer_program() -> None:
    envelope = json.loads(signed())
    statement = json.loads(base64.b64decode(envelope["payload"])) | {"format": 2}
    envelope["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
    with pytest.raises(Corrupt, match="has format 2, and this program knows 1"):
        read_unverified(json.dumps(envelope).encode())


def test_a_public_key_is_read_from_its_line_and_from_a_pem_file_and_from_nothing_else() -> None:
    public = KEY.public
    assert PublicKey.parse(f"  {public}\n") == PublicKey.parse(public.pem) == public
    private = KEY.reveal()
    for text in (
        "",
        "age1abc",
        base64.b64encode(private).decode(),
        public.pem.replace("PUBLIC", "PRIVATE"),
        str(public)[:-4],
    ):
        with pytest.raises(InvalidInput) as caught:
            PublicKey.parse(text)
        assert caught.value.code == "key.invalid"
        assert not text or text not in caught.value.message
    assert repr(KEY) == "SigningKey(…)"


def _verify_by_the_records_own_text(directory: Path, lines: list[str]) -> subprocess.CompletedProcess[str]:
    commands = [line for line in lines if line.startswith(("jq -r", "{", "openssl"))]
    assert len(commands) == 4
    script = "set -e\n" + "\n".join(commands)
    return subprocess.run(["bash", "-c", script], cwd=directory, capture_output=True, text=True, check=False, timeout=30)


@pytest.mark.parametrize("tampered", [False, True])
def test_stock_tools_verify_a_record_by_what_its_own_text_says(tmp_path: Path, tampered: bool) -> None:
    for program in ("jq", "openssl"):
        tool(program)
    envelope = json.loads(signed())
    if tampered:
        payload = base64.b64decode(envelope["payload"]).replace(b'"rows":42', b'"rows":43')
        envelope["payload"] = base64.b64encode(payload).decode()
    (tmp_path / "record.json").write_text(json.dumps(envelope))
    (tmp_path / "signing-key.pem").write_text(KEY.public.pem)
    done = _verify_by_the_records_own_text(tmp_path, envelope["how_to_verify"])
    assert (done.returncode == 0) is not tampered, done
    assert ("Verified Successfully" in done.stdout) is not tampered, done


def test_the_text_on_verifying_names_the_type_that_is_signed() -> None:
    assert any(f"DSSEv1 {len(PAYLOAD_TYPE)} {PAYLOAD_TYPE} " in line for line in HOW_TO_VERIFY)
