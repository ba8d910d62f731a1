"""The master key as a ring, and the places that it comes from."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_encrypt

from contracts.errors import Conflict, Denied, InvalidInput
from daemon.keys.master import MasterKey
from daemon.keys.sources import FileSource, choose_source

SECRETS = st.binary(min_size=32, max_size=32)


@given(secrets=st.lists(SECRETS, min_size=1, max_size=5, unique=True), plain=st.binary(), context=st.binary())
def test_whatever_any_key_of_the_ring_has_sealed_opens_and_with_none_of_them_nothing(
    secrets: list[bytes], plain: bytes, context: bytes
) -> None:
    ring, stranger = MasterKey(*secrets), MasterKey.generate()
    for secret in secrets:
        sealed = MasterKey(secret).seal(plain, context)
        assert ring.open(sealed, context) == plain
        assert ring.is_current(sealed) == (secret == secrets[0])
        with pytest.raises(Denied):
            stranger.open(sealed, context)
        with pytest.raises(Denied):
            ring.open(sealed, context + b"x")


@given(
    secrets=st.lists(SECRETS, min_size=1, max_size=5, unique=True),
    plain=st.binary(),
    nonce=st.binary(min_size=20, max_size=20),
)
def test_what_was_sealed_before_keys_had_ids_still_opens_whatever_its_nonce_looks_like(
    secrets: list[bytes], plain: bytes, nonce: bytes
) -> None:
    for first in (b"srmk", b"\0\1\2\3"):
        whole = first + nonce
        sealed = whole + crypto_aead_xchacha20poly1305_ietf_encrypt(plain, b"c", whole, secrets[-1])
        assert MasterKey(*secrets).open(sealed, b"c") == plain


@given(secrets=st.lists(SECRETS, min_size=1, max_size=5, unique=True))
def test_a_ring_reads_back_what_it_reveals_and_its_repr_holds_no_secret(secrets: list[bytes]) -> None:
    ring = MasterKey(*secrets)
    again = MasterKey.parse("# a remark\n\n" + ring.reveal() + "\n", where="here", field="master_key_file")
    assert again.key_ids == ring.key_ids
    assert len(set(ring.key_ids)) == len(secrets)
    assert all(line.partition(":")[2] not in repr(ring) for line in ring.reveal().splitlines())


@given(sealed=st.binary(max_size=100))
def test_noise_is_refused_with_a_code(sealed: bytes) -> None:
    with pytest.raises(Denied) as refused:
        MasterKey(bytes(32)).open(sealed, b"")
    assert refused.value.code == "key.unavailable"


def test_a_malformed_line_is_named_and_not_repeated(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    path.write_text(MasterKey.generate().reveal() + "\nstrongroom-master-1:c2VjcmV0\n")
    with pytest.raises(InvalidInput) as refused:
        FileSource(path).read()
    assert "line 2" in refused.value.message
    assert "c2VjcmV0" not in str(refused.value)


def test_a_file_is_replaced_whole_for_its_owner_alone_and_its_former_blocks_are_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    before, after = MasterKey.generate(), MasterKey.generate()
    path.write_text(before.reveal())
    former = os.open(path, os.O_RDONLY)
    try:
        FileSource(path).write(after)
        left = os.pread(former, 4096, 0)
    finally:
        os.close(former)
    assert FileSource(path).read().key_ids == after.key_ids
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert before.reveal().encode() not in left
    assert list(tmp_path.iterdir()) == [path]


def test_a_key_from_the_environment_is_not_left_there_for_children() -> None:
    keys = MasterKey.generate().with_new()
    environ = {"KEY": " ".join(keys.reveal().split())}
    source = choose_source(file="", credential="", env="KEY", environ=environ)
    assert environ == {}
    assert source.read().key_ids == keys.key_ids
    with pytest.raises(Conflict) as refused:
        source.write(keys)
    assert refused.value.code == "key.not_rotated"


def test_a_credential_is_read_from_where_systemd_puts_it(tmp_path: Path) -> None:
    keys = MasterKey.generate()
    (tmp_path / "master").write_text(keys.reveal())
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    source = choose_source(file="", credential="master", env="", environ=environ)
    assert source.read().key_ids == keys.key_ids
    assert not source.is_rewritable
    with pytest.raises(InvalidInput, match="LoadCredential"):
        choose_source(file="", credential="master", env="", environ={})


@pytest.mark.parametrize(("file", "env"), [("", ""), ("a", "B")])
def test_exactly_one_source_has_to_be_named(file: str, env: str) -> None:
    with pytest.raises(InvalidInput, match="exactly one"):
        choose_source(file=file, credential="", env=env, environ={})
