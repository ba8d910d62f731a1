"""Bech32 (BIP 173) between bytes and text, without its limit of 90 characters, as age uses it.

The checksum finds any four wrong characters, so a mistyped recipient is refused instead of becoming a backup that nobody
can open.  Errors never quote the text: it may be a secret key.
"""

from __future__ import annotations

from typing import Final

from contracts.age.errors import BadKey

_ALPHABET: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_VALUE_OF: Final = {character: value for value, character in enumerate(_ALPHABET)}
_GENERATOR: Final = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_CHECKSUM_LENGTH: Final = 6


def encode(prefix: str, raw: bytes) -> str:
    """`prefix`, `1`, the data and six characters of checksum, all in the case of `prefix`.

    Raises: ValueError if `prefix` is empty, mixed in case or not printable ASCII.
    """
    if not _is_prefix(prefix) or (prefix.lower() != prefix and prefix.upper() != prefix):
        raise ValueError("a bech32 prefix is 1 or more printable ASCII characters of one case")
    words = _to_words(raw)
    lower = prefix.lower()
    checksum = _polymod([*_expand(lower), *words, *([0] * _CHECKSUM_LENGTH)]) ^ 1
    words += [(checksum >> 5 * (_CHECKSUM_LENGTH - 1 - i)) & 31 for i in range(_CHECKSUM_LENGTH)]
    text = lower + "1" + "".join(_ALPHABET[word] for word in words)
    return text if prefix == lower else text.upper()


def decode(text: str) -> tuple[str, bytes]:
    """The prefix in the case it was written in, and the bytes.

    Raises: BadKey for mixed case, a foreign character, a missing part, a wrong checksum or stray bits at the end.
    """
    if not text.isascii():
        # Before any change of case: lower() would turn the Kelvin sign into a `k` and accept a second spelling.
        raise BadKey("a character outside the bech32 alphabet")
    lower = text.lower()
    if text not in (lower, text.upper()):
        raise BadKey("upper and lower case are mixed")
    # The last `1` separates: the prefix may hold further ones, the data cannot.
    at = text.rfind("1")
    if at < 1 or at + 1 + _CHECKSUM_LENGTH > len(text):
        raise BadKey("the prefix or the checksum is missing")
    prefix = text[:at]
    if not _is_prefix(prefix):
        raise BadKey("the prefix has a character that is not printable ASCII")
    words = [_VALUE_OF.get(character, -1) for character in lower[at + 1 :]]
    if -1 in words:
        raise BadKey("a character outside the bech32 alphabet")
    if _polymod([*_expand(prefix.lower()), *words]) != 1:
        raise BadKey("the checksum is wrong: a character is mistyped or missing")
    return prefix, _from_words(words[:-_CHECKSUM_LENGTH])


def _is_prefix(prefix: str) -> bool:
    return bool(prefix) and all("!" <= character <= "~" for character in prefix)


def _polymod(words: list[int]) -> int:
    """The checksum polynomial of BIP 173 over 5-bit words."""
    state = 1
    for word in words:
        top = state >> 25
        state = (state & 0x1FFFFFF) << 5 ^ word
        for bit, generator in enumerate(_GENERATOR):
            if top >> bit & 1:
                state ^= generator
    return state


def _expand(lower_prefix: str) -> list[int]:
    codes = lower_prefix.encode("ascii")
    return [*(code >> 5 for code in codes), 0, *(code & 31 for code in codes)]


def _to_words(raw: bytes) -> list[int]:
    """5-bit words, most significant bit first; the last is filled up with zero bits."""
    count = (len(raw) * 8 + 4) // 5
    number = int.from_bytes(raw, "big") << (count * 5 - len(raw) * 8)
    return [(number >> 5 * (count - 1 - i)) & 31 for i in range(count)]


def _from_words(words: list[int]) -> bytes:
    """Raises: BadKey if the bits beyond the last whole byte are not fewer than five zeros (a second spelling)."""
    number = 0
    for word in words:
        number = number << 5 | word
    stray_bits = len(words) * 5 % 8
    if stray_bits > 4 or number & ((1 << stray_bits) - 1):
        raise BadKey("stray bits follow the last byte")
    return (number >> stray_bits).to_bytes(len(words) * 5 // 8, "big")
