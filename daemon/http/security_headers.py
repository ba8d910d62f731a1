"""What every answer says to the browser that may get it, unless its own route says otherwise."""

from __future__ import annotations

from typing import Final

from litestar.types import Message, Scope

_DEFAULTS: Final = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    # An answer of the API that a browser is made to show as a page loads and runs nothing, and stands in no frame.
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}
_ENCODED: Final = tuple((name.encode(), value.encode()) for name, value in _DEFAULTS.items())


async def add_security_headers(message: Message, _: Scope) -> None:
    """For Litestar's `before_send`: answers to paths that there are not, and errors, get them too."""
    if message["type"] != "http.response.start":
        return
    headers = list(message["headers"])
    present = {name.lower() for name, _ in headers}
    headers += [each for each in _ENCODED if each[0] not in present]
    message["headers"] = headers
