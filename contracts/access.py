"""Who may do what: roles, and the tokens that programs and people show."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final

import msgspec

TOKEN_ID_PATTERN: Final = r"\A[a-z2-7]{10}\Z"  # noqa: S105 - the part that is no secret

TokenId = Annotated[str, msgspec.Meta(pattern=TOKEN_ID_PATTERN)]
"""The part of a token that is no secret: it stands in records, lists and the audit log."""
TokenName = Annotated[str, msgspec.Meta(min_length=1, max_length=60, pattern=r"\A[^\x00-\x1f\x7f]+\Z")]
"""What people call it, such as `ci of acme`."""


class Role(StrEnum):
    """Each may do what those before it may."""

    VIEWER = "viewer"
    """Sees what there is and what became of it; opens nothing that was backed up."""
    OPERATOR = "operator"
    """Runs backups, restores and downloads."""
    ADMIN = "admin"
    """Changes policies, projects, nodes, tokens; deletes."""

    @property
    def rank(self) -> int:
        return tuple(Role).index(self)

    def covers(self, needed: Role) -> bool:
        return self.rank >= needed.rank


class TokenRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A token as it is kept: whoever reads this cannot use it."""

    id: TokenId
    name: TokenName
    role: Role
    project: Annotated[str, msgspec.Meta(max_length=40)] = ""
    """The only project it is good for; empty for all of them."""
    secret_sha256: bytes
    """Of 256 random bits, which nobody can guess through a digest, however fast that is."""
    created_at: datetime
    created_by: str = ""
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    revoked_by: str = ""

    def state_at(self, now: datetime) -> TokenState:
        if self.revoked_at is not None:
            return TokenState.REVOKED
        if self.expires_at is not None and self.expires_at <= now:
            return TokenState.EXPIRED
        return TokenState.ACTIVE


class TokenState(StrEnum):
    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


class EndedSession(msgspec.Struct, frozen=True, kw_only=True):
    """That somebody logged out: whoever still has the session's cookie is not let in by it."""

    ended_at: datetime
