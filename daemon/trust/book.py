"""The trust directory: the keys that sign, and the accounts that are always there.

    trust.json            the operator's JWT and the accounts SYS, CORE, OPS and ENROL: public
    operator-signing.nk   signs accounts                     ┐
    core-signing.nk       signs what others import from CORE │ the coordinator's: whoever has
    agents-signing.nk     signs the credentials of agents    │ them is the coordinator
    guests-signing.nk     signs the guests of join tokens    │
    system.nk, .jwt       the coordinator's way to the servers' system account ┘
    offline/              the operator's own key, and what signs operators and system users: the coordinator works without

The keys of the accounts themselves are needed for nothing and thrown away at their making.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from contracts.errors import InvalidInput
from daemon.embedded.private_files import make_private_dir, write_private
from daemon.trust import claims, jwt
from daemon.trust.keys import KeyKind, KeyPair


class FixedAccount(msgspec.Struct, frozen=True, kw_only=True):
    """An account that is there from the beginning."""

    account: str
    signing_key: str
    """Public: of whoever signs its users."""
    jwt: str


class TrustBook(msgspec.Struct, frozen=True, kw_only=True):
    """What is public of a trust directory; the servers are configured from it."""

    operator_jwt: str
    system: FixedAccount
    core: FixedAccount
    operators: FixedAccount
    guests: FixedAccount

    @property
    def accounts(self) -> tuple[FixedAccount, ...]:
        return self.system, self.core, self.operators, self.guests


@dataclass(frozen=True, kw_only=True)
class CoordinatorKeys:
    """The seeds that the coordinator works with."""

    operator: KeyPair
    core: KeyPair
    agents: KeyPair
    guests: KeyPair
    system: KeyPair
    system_jwt: str


class _Names:
    BOOK = "trust.json"
    OPERATOR = "operator-signing.nk"
    CORE = "core-signing.nk"
    AGENTS = "agents-signing.nk"
    GUESTS = "guests-signing.nk"
    SYSTEM = "system.nk"
    SYSTEM_JWT = "system.jwt"
    OFFLINE = "offline"
    ROOT = "operator.nk"
    SYSTEM_SIGNING = "system-signing.nk"
    OPERATORS_SIGNING = "operators-signing.nk"


def read_book(directory: Path) -> TrustBook:
    """Raises: InvalidInput `config.invalid` naming the file."""
    path = directory / _Names.BOOK
    try:
        return msgspec.json.decode(path.read_bytes(), type=TrustBook)
    except OSError as exc:
        hint = "make the directory with `strongroom nats trust`"
        raise InvalidInput("config.invalid", f"{path}: cannot be read: {exc.strerror}; {hint}", field=str(path)) from None
    except msgspec.MsgspecError as exc:
        raise InvalidInput("config.invalid", f"{path}: {exc}", field=str(path)) from None


def read_keys(directory: Path) -> CoordinatorKeys:
    """Raises: InvalidInput `config.invalid` naming the file that is absent or malformed."""
    path = directory / _Names.SYSTEM_JWT
    try:
        system_jwt = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        raise InvalidInput("config.invalid", f"{path}: cannot be read", field=str(path)) from None
    return CoordinatorKeys(
        operator=KeyPair.read(directory / _Names.OPERATOR, KeyKind.OPERATOR),
        core=KeyPair.read(directory / _Names.CORE, KeyKind.ACCOUNT),
        agents=KeyPair.read(directory / _Names.AGENTS, KeyKind.ACCOUNT),
        guests=KeyPair.read(directory / _Names.GUESTS, KeyKind.ACCOUNT),
        system=KeyPair.read(directory / _Names.SYSTEM, KeyKind.USER),
        system_jwt=system_jwt,
    )


def ensure_trust(directory: Path, *, now: datetime) -> TrustBook:
    """The trust directory, made whole when it is absent or was left half-made, never replaced.

    Raises: InvalidInput `config.invalid` naming a file that is malformed.
    """
    make_private_dir(directory)
    if (directory / _Names.BOOK).exists():
        return read_book(directory)
    offline = make_private_dir(directory / _Names.OFFLINE)
    root = KeyPair.ensure(offline / _Names.ROOT, KeyKind.OPERATOR)
    system_signing = KeyPair.ensure(offline / _Names.SYSTEM_SIGNING, KeyKind.ACCOUNT)
    operators_signing = KeyPair.ensure(offline / _Names.OPERATORS_SIGNING, KeyKind.ACCOUNT)
    signing = KeyPair.ensure(directory / _Names.OPERATOR, KeyKind.OPERATOR)
    core_signing = KeyPair.ensure(directory / _Names.CORE, KeyKind.ACCOUNT)
    KeyPair.ensure(directory / _Names.AGENTS, KeyKind.ACCOUNT)
    guests_signing = KeyPair.ensure(directory / _Names.GUESTS, KeyKind.ACCOUNT)
    system_user = KeyPair.ensure(directory / _Names.SYSTEM, KeyKind.USER)

    system, core, operators, guests = (KeyPair.generate(KeyKind.ACCOUNT).public for _ in range(4))
    exporter = claims.Exporter(account=core, signer=core_signing)

    def fixed(name: str, account: str, signing_key: str, content: dict[str, Any]) -> FixedAccount:
        text = jwt.encode(signing, type_="account", subject=account, name=name, claims=content, issued_at=now)
        return FixedAccount(account=account, signing_key=signing_key, jwt=text)

    operators_key, guests_key = operators_signing.public, guests_signing.public
    book = TrustBook(
        operator_jwt=jwt.encode(
            root,
            type_="operator",
            subject=root.public,
            name="strongroom",
            claims=claims.operator_claims(system, signing.public),
            issued_at=now,
        ),
        system=fixed(claims.SYS, system, system_signing.public, claims.system_claims(system_signing.public)),
        core=fixed(claims.CORE, core, core_signing.public, claims.core_claims(core_signing.public)),
        operators=fixed(
            claims.OPS, operators, operators_key, claims.operators_claims(operators, operators_key, exporter, now)
        ),
        guests=fixed(claims.ENROL, guests, guests_key, claims.guests_claims(guests, guests_key, exporter, now)),
    )
    system_jwt = jwt.encode(
        system_signing,
        type_="user",
        subject=system_user.public,
        name="coordinator",
        claims=claims.system_user_claims(system),
        issued_at=now,
    )
    write_private(directory / _Names.SYSTEM_JWT, system_jwt + "\n")
    # Last: whoever sees it finds everything else.
    write_private(directory / _Names.BOOK, msgspec.json.format(msgspec.json.encode(book)))
    return book


def coordinator_jwt(directory: Path, public_key: str, *, now: datetime) -> str:
    """For the coordinator's own user in CORE.  Raises: InvalidInput."""
    book, signer = read_book(directory), KeyPair.read(directory / _Names.CORE, KeyKind.ACCOUNT)
    return jwt.encode(
        signer,
        type_="user",
        subject=public_key,
        name="coordinator",
        claims=claims.user_claims(book.core.account),
        issued_at=now,
    )


def operator_jwt(directory: Path, public_key: str, *, now: datetime, name: str = "operator") -> str:
    """For an operator's user in OPS; needs the directory's `offline` part.  Raises: InvalidInput."""
    signer = KeyPair.read(directory / _Names.OFFLINE / _Names.OPERATORS_SIGNING, KeyKind.ACCOUNT)
    return jwt.encode(
        signer,
        type_="user",
        subject=public_key,
        name=name,
        claims=claims.scoped_user_claims(read_book(directory).operators.account),
        issued_at=now,
    )
