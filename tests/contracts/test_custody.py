"""Recipients that may change, and headers that are sealed anew where the identity is."""

from __future__ import annotations

import os

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import custody
from contracts.age import MAX_HEADER_SIZE, Decryptor, Encryptor, Identity, Recipient, parse_header
from contracts.custody import ArtifactHeader, changed_recipients, recipient_fingerprint, refusal_of_recipient
from contracts.errors import Corrupt, Denied, InvalidInput
from contracts.resealing import check_resealed, reseal_header

HOLDER, STRANGER, NODE = Identity.generate(), Identity.generate(), Identity.generate()
NAMES = [str(Identity.generate().recipient) for _ in range(6)]


def a_file(plain: bytes, *recipients: Recipient) -> bytes:
    encryptor = Encryptor(recipients)
    return encryptor.preamble + encryptor.update(plain) + encryptor.finish()


def header_of(data: bytes) -> ArtifactHeader:
    header = parse_header(data)
    assert header is not None
    return ArtifactHeader(artifact="orders", object_key="a/orders.age", header=header.encoded)


@pytest.mark.parametrize("holders", [1, 3, 40])
def test_a_resealed_header_opens_the_artifact_for_the_reader_and_nothing_for_anybody_else(holders: int) -> None:
    plain = os.urandom(200_000)
    others = [Identity.generate().recipient for _ in range(holders - 1)]
    data = a_file(plain, *others, HOLDER.recipient)
    found = header_of(data)
    made = reseal_header(found, [STRANGER, HOLDER], NODE.recipient)
    decryptor = Decryptor([NODE])
    assert decryptor.feed(made.header + data[len(found.header) :]) + decryptor.finish() == plain
    check_resealed(made, object_key="a/orders.age", reader=str(NODE.recipient), field="headers[0]")
    with pytest.raises(Denied, match="none of the given identities") as refused:
        reseal_header(ArtifactHeader(artifact="x", object_key="x", header=made.header), [HOLDER], STRANGER.recipient)
    assert refused.value.code == "key.unavailable"


def test_a_header_that_was_changed_on_its_way_is_not_resealed() -> None:
    found = header_of(a_file(b"data", HOLDER.recipient))
    grease = found.header.replace(b"--- ", b"-> grease\n\n--- ")
    with pytest.raises(Corrupt):
        reseal_header(msgspec.structs.replace(found, header=grease), [HOLDER], NODE.recipient)
    with pytest.raises(Corrupt):
        reseal_header(msgspec.structs.replace(found, header=found.header + b"more"), [HOLDER], NODE.recipient)


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("headers[0].object_key", {"object_key": "b/orders.age"}),
        ("headers[0].recipient", {"recipient": str(STRANGER.recipient)}),
        ("headers[0].header", {"header": b""}),
        ("headers[0].header", {"header": bytes(168)}),
        ("headers[0].header", {"header": header_of(a_file(b"", HOLDER.recipient, NODE.recipient)).header}),
    ],
)
def test_a_header_that_cannot_be_for_this_artifact_and_node_is_refused_by_its_field(
    field: str, changes: dict[str, object]
) -> None:
    made = reseal_header(header_of(a_file(b"data", HOLDER.recipient)), [HOLDER], NODE.recipient)
    changed = msgspec.structs.replace(made, **changes)
    with pytest.raises(InvalidInput) as refused:
        check_resealed(changed, object_key="a/orders.age", reader=str(NODE.recipient), field="headers[0]")
    assert refused.value.field == field


def test_the_longest_header_of_the_wire_is_the_longest_that_is_read() -> None:
    # Written out twice, so that types of messages need no cryptography.
    assert custody._MOST_HEADER_BYTES == MAX_HEADER_SIZE


def test_a_fingerprint_is_the_beginning_of_what_sha256sum_prints() -> None:
    # printf %s age1 | sha256sum
    assert recipient_fingerprint("age1") == "53b7 58d2 58da abe8 32a9 abd0 0e2f 3499"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("age1pq1qqqqqqqq", "post-quantum"),
        ("age1yubikey1qqqqqq", "plugins and hardware"),
        ("age1tag1qqqq", "plugins and hardware"),
        ("ssh-ed25519 AAAAC3", "SSH"),
        ("correct horse battery staple", "passphrases"),
        (HOLDER.reveal(), "secret"),
    ],
)
def test_recipients_of_other_kinds_are_refused_with_what_to_do(text: str, words: str) -> None:
    refusal = refusal_of_recipient(text)
    assert words in refusal
    assert "age-keygen" in refusal
    assert text not in refusal


def test_an_x25519_recipient_is_not_refused() -> None:
    assert all(refusal_of_recipient(name) == "" for name in NAMES)


@given(now=st.lists(st.sampled_from(NAMES), unique=True, min_size=1), add=st.lists(st.sampled_from(NAMES)), data=st.data())
def test_a_change_keeps_the_order_adds_at_the_end_and_never_leaves_a_project_without_recipients(
    now: list[str], add: list[str], data: st.DataObject
) -> None:
    remove = data.draw(st.lists(st.sampled_from(now), unique=True))
    fixed = data.draw(st.sampled_from(["", now[0]]))
    if fixed in remove or set(add) & set(remove) or not (set(now) | set(add)) - set(remove):
        with pytest.raises(InvalidInput) as refused:
            changed_recipients(now, fixed=fixed, add=add, remove=remove)
        assert refused.value.field == "remove"
        return
    after = changed_recipients(now, fixed=fixed, add=add, remove=remove)
    kept = [each for each in now if each not in remove]
    assert after[: len(kept)] == kept
    assert set(after[len(kept) :]) == set(add) - set(now)
    assert after
    assert not fixed or after[0] == fixed


def test_more_recipients_than_a_project_may_have_are_refused() -> None:
    many = [f"age1{number}" for number in range(custody.MOST_RECIPIENTS)]
    with pytest.raises(InvalidInput, match="at most") as refused:
        changed_recipients(many, fixed="", add=["age1more"], remove=[])
    assert refused.value.field == "add"
