"""Recipients, identities and file keys: exact text forms, strict parsing, and nothing secret shown by accident."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.age import BadKey, FileKey, Identity, Recipient, bech32
from tests.contracts.age.samples import HOLDER, READER

HOLDER_TEXT = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX"
HOLDER_RECIPIENT = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj"
PRIME = 2**255 - 19


def test_the_example_of_the_specification_parses_and_derives() -> None:
    identity = Identity.parse(HOLDER_TEXT)
    assert str(identity.recipient) == HOLDER_RECIPIENT
    assert identity.reveal() == HOLDER_TEXT
    assert Recipient.parse(HOLDER_RECIPIENT) == identity.recipient


@settings(max_examples=25, deadline=None)
@given(raw=st.binary(min_size=32, max_size=32))
def test_every_identity_and_its_recipient_come_back_from_their_text(raw: bytes) -> None:
    identity = Identity(raw)
    assert Identity.parse(identity.reveal()) == identity
    assert Recipient.parse(str(identity.recipient)) == identity.recipient


def test_generated_keys_differ() -> None:
    assert len({Identity.generate() for _ in range(20)}) == 20
    assert len({FileKey.generate() for _ in range(20)}) == 20


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (HOLDER_RECIPIENT.upper(), "lower case"),
        (HOLDER_RECIPIENT.replace("age1z", "age1Z"), "mixed"),
        (HOLDER_RECIPIENT + " ", "alphabet"),
        (HOLDER_RECIPIENT[:-1], "checksum"),
        (HOLDER_TEXT, "keep it secret"),
        (bech32.encode("age", bytes(31)), "32 bytes, not 31"),
        (bech32.encode("age", bytes(33)), "32 bytes, not 33"),
        (bech32.encode("age1pq", bytes(32)), "X25519"),
        ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN", "mixed"),
        ("", "missing"),
    ],
)
def test_a_text_that_is_no_recipient_is_refused_with_the_reason(text: str, complaint: str) -> None:
    with pytest.raises(BadKey, match=complaint) as caught:
        Recipient.parse(text)
    assert caught.value.code == "age.bad_key"


@pytest.mark.parametrize(
    "text",
    [
        HOLDER_TEXT.lower(),
        HOLDER_TEXT.replace("AGE", "age"),
        HOLDER_TEXT + "\n",
        HOLDER_TEXT[:-1],
        HOLDER_TEXT[:30] + "Q" + HOLDER_TEXT[31:],
        HOLDER_RECIPIENT,
        bech32.encode("AGE-SECRET-KEY-", bytes(31)),
        bech32.encode("AGE-SECRET-KEY-PQ-", bytes(32)),
        bech32.encode("AGE-PLUGIN-X-", bytes(32)),
        "",
    ],
)
def test_a_text_that_is_no_identity_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(BadKey) as caught:
        Identity.parse(text)
    chain = [
        caught.value,
        caught.value.__cause__,
        caught.value.__context__ if not caught.value.__suppress_context__ else None,
    ]
    shown = " ".join(str(exc) for exc in chain).upper()
    data = text.upper().rpartition("1")[2]
    assert not any(data[at : at + 8] in shown for at in range(len(data) - 7))


# The points of order 1, 2, 4 and 8 of the curve and its twist (canonical forms), for which all shared secrets are zero.
LOW_ORDER = [
    bytes(32),
    (1).to_bytes(32, "little"),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    (PRIME - 1).to_bytes(32, "little"),
]


@pytest.mark.parametrize("point", LOW_ORDER)
def test_a_recipient_that_would_let_everybody_read_is_refused(point: bytes) -> None:
    with pytest.raises(BadKey, match="low order"):
        Recipient.parse(bech32.encode("age", point))


@pytest.mark.parametrize(
    "number",
    [PRIME, PRIME + 9, 2**255 - 1, 2**255 + int.from_bytes(HOLDER.recipient.public_key, "little")],
)
def test_a_recipient_that_no_identity_could_open_is_refused(number: int) -> None:
    """A second spelling of a point: X25519 accepts it, but the stanza binds the spelling, and the identity has the other."""
    with pytest.raises(BadKey, match="canonical"):
        Recipient(number.to_bytes(32, "little"))


@pytest.mark.parametrize("value", [HOLDER, FileKey(b"sixteen bytes ok")])
def test_secrets_do_not_show_and_do_not_leave_the_process(value: Identity | FileKey) -> None:
    secret = value.reveal()
    texts = [repr(value), str(value), f"{value}", f"{value!r:>80}", repr([value]), repr({value: value})]
    for text in texts:
        assert str(secret) not in text
        assert repr(value._raw)[2:-1] not in text
        assert value._raw.hex() not in text
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(value)
    with pytest.raises(TypeError):
        msgspec.json.encode(value)
    assert not hasattr(value, "__dict__")


def test_the_repr_of_an_identity_names_its_recipient() -> None:
    assert repr(HOLDER) == f"Identity(<hidden>, recipient='{HOLDER_RECIPIENT}')"
    assert repr(HOLDER.recipient) == f"Recipient('{HOLDER_RECIPIENT}')"


def test_keys_are_values_equal_and_hashable_by_their_bytes() -> None:
    again = Identity.parse(HOLDER_TEXT)
    assert again == HOLDER
    assert again != READER
    assert {again, HOLDER, READER} == {HOLDER, READER}
    assert {Recipient.parse(HOLDER_RECIPIENT), HOLDER.recipient} == {HOLDER.recipient}
    assert FileKey(bytes(16)) == FileKey(bytes(16))
    assert FileKey(bytes(16)) != FileKey(bytes(15) + b"\x01")
    others: list[Any] = [bytes(16), Identity(bytes(32)), None]
    assert all(FileKey(bytes(16)) != other for other in others)
    assert copy.copy(HOLDER) == copy.deepcopy(HOLDER) == HOLDER


@pytest.mark.parametrize("value", [HOLDER, HOLDER.recipient, FileKey(bytes(16))])
@pytest.mark.parametrize("name", ["_raw", "public_key", "recipient", "new"])
def test_keys_are_frozen(value: object, name: str) -> None:
    with pytest.raises((AttributeError, TypeError)):
        setattr(value, name, bytes(32))
    with pytest.raises((AttributeError, TypeError)):
        delattr(value, name)


@pytest.mark.parametrize("size", [0, 15, 17, 32])
def test_a_file_key_has_sixteen_bytes(size: int) -> None:
    with pytest.raises(BadKey, match="16 bytes"):
        FileKey(bytes(size))


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_an_identity_has_thirty_two_bytes(size: int) -> None:
    with pytest.raises(BadKey, match="32 bytes"):
        Identity(bytes(size))
    with pytest.raises(BadKey, match="32 bytes"):
        Recipient(bytes(size))
