"""The text form of keys, against the vectors of BIP 173 and against its own inverse."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.age import BadKey, bech32

_ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_SPLIT = "split1checkupstagehandshakeupstreamerranterredcaperred2y9e3w"


@pytest.mark.parametrize(
    "text",
    [
        "A12UEL5L",
        "a12uel5l",
        "an83characterlonghumanreadablepartthatcontainsthenumber1andtheexcludedcharactersbio1tt5tgs",
        "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw",
        "11" + "q" * 82 + "c8247j",
        _SPLIT,
        "?1ezyfcl",
    ],
)
def test_the_valid_strings_of_bip_173_decode_and_encode_to_themselves(text: str) -> None:
    prefix, raw = bech32.decode(text)
    assert bech32.encode(prefix, raw) == text


def test_the_limit_of_90_characters_does_not_apply() -> None:
    text = "an84characterslonghumanreadablepartthatcontainsthenumber1andtheexcludedcharactersbio1569pvx"
    assert bech32.encode(*bech32.decode(text)) == text
    assert bech32.decode(bech32.encode("age", bytes(1000))) == ("age", bytes(1000))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("\x201nwldj5", "printable"),
        ("\x7f1axkwrx", "printable"),
        ("\x801eym55h", "alphabet"),
        ("pzry9x0s0muk", "missing"),
        ("1pzry9x0s0muk", "missing"),
        ("x1b4n0q5v", "alphabet"),
        ("li1dgmt3", "missing"),
        ("de1lg7wt\xff", "alphabet"),
        ("A1G7SGD8", "checksum"),
        ("10a06t8", "missing"),
        ("1qzzfhee", "missing"),
        ("split1cheo2y9e2w", "alphabet"),
        ("split1a2y9w", "missing"),
        (_SPLIT[5:], "missing"),
        (_SPLIT.replace("split", "s lit"), "printable"),
        (_SPLIT.replace("split", "SPLIT"), "mixed"),
        (_SPLIT.replace("checkup", "checkUp"), "mixed"),
        (_SPLIT + "\n", "alphabet"),
        (" " + _SPLIT, "printable"),
        ("", "missing"),
        ("1", "missing"),
    ],
)
def test_invalid_strings_are_refused_with_the_reason(text: str, complaint: str) -> None:
    with pytest.raises(BadKey, match=complaint):
        bech32.decode(text)


def test_a_character_that_becomes_ascii_in_lower_case_is_refused() -> None:
    """The Kelvin sign is upper case, and its lower case is the ASCII letter k: a second spelling of the same key."""
    text = bech32.encode("AGE", bytes(range(32)))
    assert "K" in text
    with pytest.raises(BadKey, match="alphabet"):
        bech32.decode(text.replace("K", "\N{KELVIN SIGN}"))


@pytest.mark.parametrize(
    "words",
    [
        [0],  # five bits are no byte: a whole word too many
        [0, 1],  # two stray bits that are not zero
        [0, 0, 0],  # seven stray bits
    ],
)
def test_stray_bits_are_refused_although_the_checksum_is_right(words: list[int]) -> None:
    checksum = bech32._polymod([*bech32._expand("age"), *words, 0, 0, 0, 0, 0, 0]) ^ 1
    words = [*words, *((checksum >> shift) & 31 for shift in (25, 20, 15, 10, 5, 0))]
    with pytest.raises(BadKey, match="stray"):
        bech32.decode("age1" + "".join(_ALPHABET[word] for word in words))


@settings(max_examples=60, deadline=None)
@given(raw=st.binary(max_size=80), upper=st.booleans())
def test_every_byte_string_comes_back(raw: bytes, upper: bool) -> None:
    prefix = "AGE-SECRET-KEY-" if upper else "age"
    text = bech32.encode(prefix, raw)
    assert text == (text.upper() if upper else text.lower())
    assert bech32.decode(text) == (prefix, raw)


@settings(max_examples=100, deadline=None)
@given(raw=st.binary(min_size=32, max_size=32), data=st.data())
def test_up_to_four_wrong_characters_are_always_found(raw: bytes, data: st.DataObject) -> None:
    text = bech32.encode("age", raw)
    places = data.draw(st.sets(st.integers(4, len(text) - 1), min_size=1, max_size=4))
    typed = list(text)
    for place in places:
        typed[place] = data.draw(st.sampled_from([c for c in _ALPHABET if c != typed[place]]))
    with pytest.raises(BadKey):
        bech32.decode("".join(typed))


@pytest.mark.parametrize("prefix", ["", "Age", "a b", "ä"])
def test_an_impossible_prefix_is_not_encoded(prefix: str) -> None:
    with pytest.raises(ValueError, match="prefix"):
        bech32.encode(prefix, b"")
