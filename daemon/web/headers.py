"""What browsers are told about our pages: run nothing but our own files, show us in no frame, tell nobody where we are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from daemon.http.backend import Backend

_ALWAYS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def page_headers(store_origin: str = "") -> Mapping[str, str]:
    """For pages and fragments; `store_origin` is where scripts may load backups from."""
    policy = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "font-src": "'self'",
        "connect-src": f"'self' {store_origin}".strip(),
        "manifest-src": "'self'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
    }
    csp = "; ".join(f"{name} {value}" for name, value in policy.items())
    return {**_ALWAYS, "Content-Security-Policy": csp, "Cache-Control": "no-store"}


def static_headers() -> Mapping[str, str]:
    return _ALWAYS


async def store_origin(backend: Backend) -> str:
    """Where signed URLs lead, such as `https://s3.example.org`; nothing is asked of the store."""
    url = urlsplit(await backend.store.sign_get("strongroom/v1/origin"))
    return f"{url.scheme}://{url.netloc}"
