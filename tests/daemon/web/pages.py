"""A browser as far as HTTP goes: cookies, forms with their hidden fields, and no scripts."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from html import unescape
from typing import Any

import httpx

from contracts.access import Role
from tests.e2e.stage import Stage

PAGE = {"Accept": "text/html,application/xhtml+xml"}


class Browsing:
    """One person's cookies."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.http.get(path, headers={**PAGE, **headers})

    async def post(
        self, path: str, *, csrf: bool = True, headers: Mapping[str, str] | None = None, **fields: Any
    ) -> httpx.Response:
        """A form with the session's CSRF token, unless it is to lack that."""
        if csrf:
            fields["csrf"] = await self.csrf()
        return await self.http.post(path, data=fields, headers={**PAGE, **(headers or {})})

    async def log_in(self, token: str) -> httpx.Response:
        return await self.post("/login", csrf=False, token=token)

    async def csrf(self) -> str:
        page = await self.get("/settings")
        found = re.search(r'name="csrf" value="([^"]+)"', page.text)
        assert found, page.text
        return found[1]


def words(page: httpx.Response) -> str:
    """What somebody reads: the text without markup, blanks as one."""
    body = re.sub(r"<(script|style|template)\b.*?</\1>", " ", page.text, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


@asynccontextmanager
async def browsing(stage: Stage, role: Role | None = Role.ADMIN, *, project: str = "") -> AsyncIterator[Browsing]:
    """Logged in with a token of that role; None: not at all."""
    async with httpx.AsyncClient(base_url=stage.url, follow_redirects=False, timeout=20) as http:
        person = Browsing(http)
        if role is not None:
            answer = await person.log_in((await stage.token(role, project=project)).token)
            assert answer.status_code == 303, answer.text
        yield person
