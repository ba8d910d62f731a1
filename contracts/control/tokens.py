"""Verbs of tokens: what programs and people show to be let in over HTTP."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec

from contracts.access import Role, TokenId, TokenName, TokenState
from contracts.control.verb import Nothing, Verb


class TokenCreate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: TokenName
    role: Role
    project: str = ""
    """The only project it is good for; empty for all of them."""
    expires_in_days: Annotated[float, msgspec.Meta(gt=0, le=3650)] | None = 365
    """None: never."""
    actor: str = ""


class TokenRef(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: TokenId
    project: str = ""
    """Only if it is good for this project alone; empty for any."""
    actor: str = ""


class TokenList(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    project: str = ""


class TokenView(msgspec.Struct, frozen=True, kw_only=True):
    """A token without what would let anybody in."""

    id: TokenId
    name: TokenName
    role: Role
    project: str
    state: TokenState
    created_at: datetime
    created_by: str = ""
    expires_at: datetime | None = None
    revoked_at: datetime | None = None


class NewToken(msgspec.Struct, frozen=True, kw_only=True):
    view: TokenView
    token: str
    """Shown this once, and kept nowhere."""


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """The newest first; those that ended stay for a while."""

    tokens: list[TokenView]


TOKEN_CREATE = Verb(
    "token.create", TokenCreate, NewToken, "Make a token, which is shown once", role=Role.ADMIN, route="POST /tokens"
)
TOKEN_LIST = Verb("token.list", TokenList, Tokens, "All tokens, without their secrets", role=Role.ADMIN, route="GET /tokens")
TOKEN_REVOKE = Verb(
    "token.revoke", TokenRef, TokenView, "End a token, at once and for good", role=Role.ADMIN, route="DELETE /tokens/{id}"
)


class Self(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, as the coordinator sees it."""

    actor: str
    role: Role
    project: str = ""
    expires_at: datetime | None = None


ACCESS_SELF = Verb("access.self", Nothing, Self, "Who you are here", role=Role.VIEWER, route="GET /self")
