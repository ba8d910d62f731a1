"""Scripts, styles and pictures: held in memory, found at an address that changes whenever one of them does.

The directory's digest stands in the path, `/static/<digest>/app.js`, so that files refer to each other by relative names and
browsers may keep all of them for good.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, Final

import structlog
from litestar import Response, get
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler

from daemon.web.headers import static_headers
from daemon.web.visits import AnyRequest, part

log = structlog.get_logger()

_DIRECTORY: Final = Path(__file__).parent / "static"
_TYPES: Final = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
    ".png": "image/png",
}
_FETCHED: Final = "vendor/htmx.min.js"
_FOR_GOOD: Final = "public, max-age=31536000, immutable"
_ASK_AGAIN: Final = "no-cache"


@dataclass(frozen=True, kw_only=True)
class Asset:
    data: bytes
    packed: bytes
    """The same, gzipped."""
    media_type: str
    etag: str


@dataclass(frozen=True)
class Assets:
    files: Mapping[str, Asset]
    """By path below the directory."""
    digest: str


@cache
def assets() -> Assets:
    """All files of the directory that browsers may have, as they are now."""
    files = {}
    whole = hashlib.sha256()
    for path in sorted(_DIRECTORY.rglob("*")):
        media_type = _TYPES.get(path.suffix)
        if media_type is None or not path.is_file():
            continue
        name, data = str(PurePosixPath(path.relative_to(_DIRECTORY))), path.read_bytes()
        own = hashlib.sha256(data).hexdigest()
        whole.update(f"{name} {own}\n".encode())
        files[name] = Asset(data=data, packed=gzip.compress(data, mtime=0), media_type=media_type, etag=f'"{own[:32]}"')
    return Assets(files, whole.hexdigest()[:16])


def asset_url(name: str) -> str:
    """Where a browser finds it."""
    return f"/static/{assets().digest}/{name}"


def warn_of_missing_assets() -> None:
    """Says so in the log when what scripts/setup fetches is not there: pages work, but nothing in them changes by itself."""
    if _FETCHED not in assets().files:
        log.warning("web.files_missing", file=_FETCHED, reason="run scripts/setup, or install a built package")


def static_routes() -> Sequence[HTTPRouteHandler]:
    @get("/static/{digest:str}/{name:path}", include_in_schema=False)
    async def static(request: AnyRequest) -> Response[bytes]:
        digest = part(request, "digest")
        name = part(request, "name")
        return _answer(request, name.lstrip("/"), for_good=digest == assets().digest)

    @get(["/favicon.svg", "/favicon.ico"], include_in_schema=False)
    async def favicon(request: AnyRequest) -> Response[bytes]:
        return _answer(request, "favicon.svg", for_good=False)

    return [static, favicon]


def _answer(request: AnyRequest, name: str, *, for_good: bool) -> Response[Any]:
    """An old address, from a page of an older version, gets the present file, but not for good."""
    asset = assets().files.get(name)
    if asset is None:
        raise NotFoundException
    headers = {
        **static_headers(),
        "ETag": asset.etag,
        "Cache-Control": _FOR_GOOD if for_good else _ASK_AGAIN,
        "Vary": "Accept-Encoding",
    }
    if asset.etag in request.headers.get("if-none-match", ""):
        return Response(b"", status_code=304, headers=headers)
    data = asset.data
    if "gzip" in request.headers.get("accept-encoding", "") and len(asset.packed) < len(asset.data):
        headers["Content-Encoding"] = "gzip"
        data = asset.packed
    return Response(data, media_type=asset.media_type, headers=headers)
