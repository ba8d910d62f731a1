"""The header's grammar, its MAC, and who can open it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.age import (
    MAX_HEADER_SIZE,
    BadRecipients,
    FileKey,
    HeaderMacMismatch,
    LowOrderPoint,
    Malformed,
    NoIdentityMatches,
    Oversized,
    ParsedHeader,
    Stanza,
    UnsupportedVersion,
    header_size,
    make_header,
    parse_header,
    unwrap_file_key,
)
from contracts.age.encoding import encode_base64
from contracts.age.x25519 import wrap_file_key
from tests.contracts.age.samples import HOLDER, READER, STRANGER, header_of

FILE_KEY = FileKey(b"YELLOW SUBMARINE")
VERSION = b"age-encryption.org/v1\n"
GOOD = make_header(FILE_KEY, [HOLDER.recipient, READER.recipient])


def written(*stanzas: Stanza | bytes) -> bytes:
    """A header around the given stanzas, with the MAC that belongs to it."""
    lines = [stanza.encode() if isinstance(stanza, Stanza) else stanza for stanza in stanzas]
    authenticated = b"".join([VERSION, *lines, b"---"])
    return authenticated + b" " + encode_base64(FILE_KEY.header_mac(authenticated)) + b"\n"


def for_holder() -> Stanza:
    return wrap_file_key(FILE_KEY, HOLDER.recipient)


def test_a_header_opens_for_each_of_its_recipients_and_for_nobody_else() -> None:
    header = header_of(GOOD)
    assert header.size == len(GOOD) == header_size(2)
    assert [stanza.type for stanza in header.stanzas] == ["X25519", "X25519"]
    assert unwrap_file_key(header, [HOLDER]) == FILE_KEY
    assert unwrap_file_key(header, [STRANGER, READER]) == FILE_KEY
    for identities in ([STRANGER], []):
        with pytest.raises(NoIdentityMatches):
            unwrap_file_key(header, identities)


@pytest.mark.parametrize("count", [1, 2, 3, 20])
def test_the_size_of_a_header_is_known_before_it_is_made(count: int) -> None:
    assert len(make_header(FILE_KEY, [HOLDER.recipient] * count)) == header_size(count)


def test_two_stanzas_for_one_recipient_have_nothing_in_common() -> None:
    one, other = (wrap_file_key(FILE_KEY, HOLDER.recipient) for _ in range(2))
    assert one.arguments != other.arguments
    assert one.body != other.body


def test_a_header_needs_recipients_and_has_room_for_668() -> None:
    with pytest.raises(BadRecipients):
        make_header(FILE_KEY, [])
    assert header_size(668) <= MAX_HEADER_SIZE
    with pytest.raises(BadRecipients, match="669"):
        make_header(FILE_KEY, [HOLDER.recipient] * 669)


def test_every_proper_prefix_needs_more_and_what_follows_is_not_looked_at() -> None:
    for size in range(len(GOOD)):
        assert parse_header(GOOD[:size]) is None
    assert parse_header(GOOD + b"\xff\n--- \n") == parse_header(memoryview(GOOD)) == header_of(GOOD)


def test_stanzas_of_other_types_are_skipped() -> None:
    grease = Stanza(("Xw-grease", "!~", "#"), bytes(200))
    wordless = Stanza(("x25519",), b"")
    header = header_of(written(grease, for_holder(), wordless))
    assert header.stanzas[0] == grease
    assert unwrap_file_key(header, [HOLDER]) == FILE_KEY


@settings(max_examples=60, deadline=None)
@given(
    arguments=st.lists(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1), min_size=1, max_size=4),
    body=st.binary(max_size=200) | st.integers(0, 3).map(lambda lines: bytes(48 * lines)),
)
def test_every_stanza_comes_back(arguments: list[str], body: bytes) -> None:
    stanza = Stanza(tuple(arguments), body)
    lines = stanza.encode().split(b"\n")
    assert all(len(line) == 64 for line in lines[1:-2])
    assert len(lines[-2]) < 64
    assert lines[-1] == b""
    assert header_of(written(stanza)).stanzas == (stanza,)


STANZA = b"-> X25519 " + b"A" * 43 + b"\n" + b"A" * 43 + b"\n"
MAC = b"--- " + b"A" * 43 + b"\n"
MALFORMED = {
    "no stanza": VERSION + MAC,
    "stanza without arguments": VERSION + b"->\n\n" + MAC,
    "stanza with an empty argument": VERSION + b"-> \n\n" + MAC,
    "two spaces between arguments": VERSION + b"-> a  b\n\n" + MAC,
    "space after the arguments": VERSION + b"-> a \n\n" + MAC,
    "tab between arguments": VERSION + b"-> a\tb\n\n" + MAC,
    "no space after the arrow": VERSION + b"->a\n\n" + MAC,
    "other arrow": VERSION + b"=> a\n\n" + MAC,
    "control character in an argument": VERSION + b"-> a\x7f\n\n" + MAC,
    "argument that is not ASCII": VERSION + b"-> \xc3\xa4\n\n" + MAC,
    "blank line before the stanza": VERSION + b"\n" + STANZA + MAC,
    "no body line": VERSION + b"-> a\n" + MAC,
    "no body line before the next stanza": VERSION + b"-> a\n" + STANZA + MAC,
    "full last line without a short one": VERSION + b"-> a\n" + b"A" * 64 + b"\n" + MAC,
    "line of 65 columns": VERSION + b"-> a\n" + b"A" * 65 + b"\n\n" + MAC,
    "line of 68 columns": VERSION + b"-> a\n" + b"A" * 68 + b"\n\n" + MAC,
    "two short lines": VERSION + b"-> a\nAAAA\nAAAA\n" + MAC,
    "blank line after the stanza": VERSION + STANZA + b"\n" + MAC,
    "padded body": VERSION + b"-> a\nAA==\n" + MAC,
    "body with stray bits": VERSION + b"-> a\nAB\n" + MAC,
    "body of an impossible length": VERSION + b"-> a\nA\n" + MAC,
    "body with a foreign character": VERSION + b"-> a\nA-AA\n" + MAC,
    "white space in the body": VERSION + b"-> a\nAA A\n" + MAC,
    "CRLF after the version": VERSION[:-1] + b"\r\n" + STANZA + MAC,
    "CRLF after the arguments": VERSION + STANZA.replace(b"\n", b"\r\n", 1) + MAC,
    "CRLF after the body": VERSION + STANZA[:-1] + b"\r\n" + MAC,
    "CRLF after the MAC": VERSION + STANZA + MAC[:-1] + b"\r\n",
    "MAC without a space": VERSION + STANZA + MAC.replace(b" ", b""),
    "MAC with two spaces": VERSION + STANZA + MAC.replace(b" ", b"  "),
    "space after the MAC": VERSION + STANZA + MAC[:-1] + b" \n",
    "no MAC": VERSION + STANZA + b"---\n",
    "MAC of 31 bytes": VERSION + STANZA + b"--- " + b"A" * 42 + b"\n",
    "MAC of 33 bytes": VERSION + STANZA + b"--- " + b"A" * 44 + b"\n",
    "padded MAC": VERSION + STANZA + b"--- " + b"A" * 43 + b"=\n",
    "MAC with stray bits": VERSION + STANZA + b"--- " + b"A" * 42 + b"B\n",
    "four dashes": VERSION + STANZA + b"-" + MAC,
    "passphrase beside a recipient": VERSION + b"-> scrypt A 1\n\n" + STANZA + MAC,
    "two passphrases": VERSION + b"-> scrypt A 1\n\n" * 2 + MAC,
    "blank line first": b"\n" + GOOD,
    "byte order mark": b"\xef\xbb\xbf" + GOOD,
    "upper-case version line": VERSION.upper() + STANZA + MAC,
    "another kind of file": b"PGDMP\x01\x0e\x00",
}


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED.keys())
def test_whatever_breaks_the_grammar_is_refused(text: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        parse_header(text)
    assert caught.value.code == "age.malformed"


@pytest.mark.parametrize("line", [b"age-encryption.org/v2\n", b"age-encryption.org/v10\n", b"age-encryption.org/v1.1"])
def test_another_version_is_named_as_such(line: bytes) -> None:
    with pytest.raises(UnsupportedVersion) as caught:
        parse_header(line)
    assert caught.value.code == "age.unsupported_version"


def test_armor_is_named_as_such() -> None:
    with pytest.raises(Malformed, match="armor"):
        parse_header(b"-----BEGIN AGE ENCRYPTED FILE-----\n")


def test_a_header_may_fill_the_limit_but_not_pass_it() -> None:
    room = MAX_HEADER_SIZE - len(written(Stanza(("a",), b"")))
    full = written(Stanza(("a" * (room + 1),), b""))
    assert len(full) == MAX_HEADER_SIZE
    assert header_of(full + b"payload").size == MAX_HEADER_SIZE
    for oversized in (written(Stanza(("a" * (room + 2),), b"")), VERSION + STANZA * 1000, VERSION + b"-> " + b"a" * 2**20):
        with pytest.raises(Oversized):
            parse_header(oversized)


def body_and_arguments(stanza: Stanza) -> dict[str, Stanza]:
    share = stanza.arguments[1]
    return {
        "no share": Stanza(("X25519",), stanza.body),
        "a third argument": Stanza(("X25519", share, "x"), stanza.body),
        "padded share": Stanza(("X25519", share + "="), stanza.body),
        "share with stray bits": Stanza(("X25519", share[:-1] + "B"), stanza.body),
        "share of 31 bytes": Stanza(("X25519", "A" * 42), stanza.body),
        "share of 33 bytes": Stanza(("X25519", "A" * 44), stanza.body),
        "no body": Stanza(stanza.arguments, b""),
        "body of 31 bytes": Stanza(stanza.arguments, stanza.body[:-1]),
        "body of 33 bytes": Stanza(stanza.arguments, stanza.body + b"\x00"),
    }


@pytest.mark.parametrize("broken", body_and_arguments(for_holder()).values(), ids=body_and_arguments(for_holder()).keys())
def test_a_broken_x25519_stanza_is_an_error_even_beside_a_good_one(broken: Stanza) -> None:
    for header in (written(broken), written(for_holder(), broken)):
        with pytest.raises(Malformed):
            unwrap_file_key(header_of(header), [HOLDER])


def test_a_share_of_low_order_is_an_error_and_not_somebody_elses_stanza() -> None:
    header = header_of(written(Stanza(("X25519", "A" * 43), bytes(32))))
    with pytest.raises(LowOrderPoint) as caught:
        unwrap_file_key(header, [HOLDER])
    assert caught.value.code == "age.low_order_point"


def test_a_body_that_does_not_open_counts_as_somebody_elses() -> None:
    stanza = for_holder()
    header = header_of(written(Stanza(stanza.arguments, bytes(32))))
    with pytest.raises(NoIdentityMatches):
        unwrap_file_key(header, [HOLDER])


def test_a_changed_header_is_found_by_its_mac() -> None:
    mine, grease = for_holder(), Stanza(("grease",), b"abc")
    mac_line = written(mine, grease)[-48:]
    changed = {
        "a stanza removed": VERSION + mine.encode() + mac_line,
        "a stanza added": VERSION + mine.encode() + grease.encode() * 2 + mac_line,
        "stanzas exchanged": VERSION + grease.encode() + mine.encode() + mac_line,
        "a body changed": VERSION + mine.encode() + Stanza(("grease",), b"abd").encode() + mac_line,
        "the MAC of another header": VERSION + mine.encode() + grease.encode() + GOOD[-48:],
    }
    for text in changed.values():
        with pytest.raises(HeaderMacMismatch) as caught:
            unwrap_file_key(header_of(text), [HOLDER])
        assert caught.value.code == "age.header_mac"


def test_a_header_is_verified_with_its_own_file_key_only() -> None:
    header: ParsedHeader = header_of(GOOD)
    header.verify(FILE_KEY)
    with pytest.raises(HeaderMacMismatch):
        header.verify(FileKey.generate())


def test_errors_do_not_quote_the_input() -> None:
    with pytest.raises(Malformed) as caught:
        parse_header(VERSION + b"-> s3cret\n==s3cret==\n")
    assert re.search("s3cret", str(caught.value)) is None
