"""Why a message did not arrive, in words of our own: what libraries say of it names addresses and secrets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_UNKNOWN: Final = "the service did not take the message, and did not say why"
_STATUS: Final = re.compile(r"error=(\d{3})\b|\bHTTP (\d{3})\b|Status Code:? (\d{3})\b")
_SMTP: Final = re.compile(r"\((\d{3}), b['\"]|was refused: (\d{3}) ")
_WORDS_OF_STATUS: Final = {
    400: "it does not understand the message or the address",
    401: "it refuses the credentials in the address",
    403: "it refuses the credentials in the address",
    404: "it knows no such address",
    410: "it knows no such address any more",
    413: "the message is too large for it",
    429: "it was sent too much in a short time",
}
_SENTENCES: Final[tuple[tuple[str, str], ...]] = (
    (r"allow_private", "the coordinator's settings allow public addresses only (`[notifications] allow_private`)"),
    (r"never sent to", "link-local, multicast and unspecified addresses are never sent to"),
    (r"a message must not|a message goes over the network", "the address asks for what a message may not do here"),
    (r"Name or service not known|name resolution|getaddrinfo|NameResolutionError|No address assoc",
     "the host's name cannot be resolved"),
    (r"CERTIFICATE_VERIFY_FAILED|certificate verify failed", "the certificate of the host is not trusted here"),
    (r"WRONG_VERSION_NUMBER|SSLError|SSLV3|\[SSL|STARTTLS", "no encrypted connection could be made: is the scheme right?"),
    (r"Connection refused|Errno 111", "nothing listens there: the connection was refused"),
    (r"No route to host|Network is unreachable|Host is unreachable", "the host cannot be reached from here"),
    (r"[Tt]imed? ?out|TIMEOUT", "the host did not answer in time"),
    (r"no \w+ recipients|are no .*(recipients|targets)", "the address names nobody to send to"),
    (r"Connection reset|Connection aborted|RemoteDisconnected|unexpectedly closed|Broken pipe", "the host hung up"),
)  # fmt: skip


def reason_of(lines: Sequence[str]) -> str:
    """A sentence without a full stop, from what was said while the message was sent, the newest last."""
    for line in reversed(lines):
        if match := _SMTP.search(line):
            return _of_smtp(int(match[1] or match[2]))
        if match := _STATUS.search(line):
            return of_status(int(match[1] or match[2] or match[3]))
        for pattern, sentence in _SENTENCES:
            if re.search(pattern, line):
                return sentence
    return _UNKNOWN


def of_status(status: int) -> str:
    """Of an HTTP status that is no success."""
    words = _WORDS_OF_STATUS.get(status) or ("it has trouble of its own" if status >= 500 else "it does not take it")
    return f"the service answered {status}: {words}"


def _of_smtp(status: int) -> str:
    """Source: RFC 5321, section 4.2.3; RFC 4954, section 6."""
    if status in (530, 534, 535, 538):
        return f"the mail server answered {status}: it refuses user name and password"
    if status in (550, 551, 553):
        return f"the mail server answered {status}: it does not take mail of this sender or for a recipient"
    return f"the mail server answered {status}: it does not take the message" + (" for now" if status < 500 else "")
