"""The script of `mariadb-dump --system=users`, statement by statement, and what of it a restore has to do.  Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from agents.drivers.mariadb.quoting import quote_literal

_TOKEN: Final = re.compile(
    r"""'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*"|`(?:[^`]|``)*`|;|--[^\n]*\n|[^'"`;-]+|-""", re.DOTALL
)
_NAME: Final = r"""(?:'(?:[^'\\]|\\.|'')*'|`(?:[^`]|``)*`|PUBLIC)"""
_ACCOUNT: Final = rf"(?P<user>{_NAME})(?:@(?P<host>{_NAME}))?"
_CREATE: Final = re.compile(rf"CREATE (?P<what>USER|ROLE) IF NOT EXISTS {_ACCOUNT}(?P<rest>.*)", re.DOTALL)
_DEFAULT_ROLE: Final = re.compile(rf"SET DEFAULT ROLE (?P<role>.+) FOR {_ACCOUNT}\s*", re.DOTALL)
_TO: Final = re.compile(rf"{_ACCOUNT}(?P<rest>.*)", re.DOTALL)
_ROLE: Final = re.compile(rf"GRANT (?P<name>{_NAME}) ")
ADMINISTRATOR: Final = "root"
_END: Final = ";"
_OBJECT: Final = re.compile(r" ON (?:[A-Z ]+ )?(?P<what>`(?:[^`]|``)*`[.@]`(?:[^`]|``)*`) $")
_IMPORT_ROLE: Final = "mariadb_dump_import_role"
_FOR_MARIADB: Final = re.compile(r"/\*M!\d+ (?P<inside>.*?)\s*\*/", re.DOTALL)


@dataclass(frozen=True, order=True)
class Account:
    """A user, or a role if `host` is empty."""

    user: str
    host: str

    @property
    def sql(self) -> str:
        return f"{quote_literal(self.user)}@{quote_literal(self.host)}" if self.host else quote_literal(self.user)

    @property
    def is_role(self) -> bool:
        return not self.host

    @property
    def kind(self) -> str:
        return "ROLE" if self.is_role else "USER"

    @property
    def is_public(self) -> bool:
        return not self.host and self.user.upper() == "PUBLIC"

    def __str__(self) -> str:
        return f"{self.user}@{self.host}" if self.host else self.user


@dataclass(frozen=True)
class Step:
    """One statement, and whose account it is about."""

    account: Account
    statement: str
    creates: bool = False
    on: str = ""
    """The table, routine or account that it gives a right on, if it has to exist."""
    role: str = ""
    """The role that it gives."""


@dataclass(frozen=True, kw_only=True)
class AccountPlan:
    created: list[Account]
    replaced: list[Account]
    kept: list[Account]
    statements: list[str]
    grants: list[Step]
    """Those that are only possible where something exists, or for whoever has the right himself: tables, routines, PROXY."""


def parse_accounts(script: str) -> list[Step]:
    """Raises: ValueError for a statement that mariadb-dump would not write there."""
    steps: dict[Step, None] = {}
    for raw in _statements(script):
        wrapped = _FOR_MARIADB.fullmatch(raw)
        statement = wrapped["inside"] if wrapped else raw
        step = _step(statement)
        if step is not None:
            steps[step] = None
        elif not _is_known(statement):
            raise ValueError(f"it has a statement that does not belong there: {_head(statement)}")
    return list(steps)


def plan_accounts(
    steps: Sequence[Step],
    before: Sequence[Step],
    *,
    existing: Collection[Account],
    protected: Collection[Account],
    ourselves: Account,
    replace: bool,
) -> AccountPlan:
    """What to do: accounts that are missing are made; those that exist stay, or become as they were with `replace`.

    `before` is the target's own script.  `protected` stay in any case, as do administrators, without whom nobody could put
    right what went wrong.  `ourselves` gets no role by having created it.
    """
    named = list(dict.fromkeys(step.account for step in steps))
    existing = frozenset(existing)
    created = [account for account in named if account not in existing]
    replaced = [
        account
        for account in named
        if replace and account in existing and account not in protected and account.user != ADMINISTRATOR
    ]
    made = {*created, *replaced}
    kept = [account for account in named if account not in made]
    statements, grants = _make(steps, before, created, replaced, ourselves)
    return AccountPlan(created=created, replaced=replaced, kept=kept, statements=statements, grants=grants)


def undo_accounts(plan: AccountPlan, before: Sequence[Step], ourselves: Account) -> AccountPlan:
    """What brings back what was; `before` is the target's own script from before."""
    drops = [f"DROP {account.kind} IF EXISTS {account.sql}" for account in plan.created if not account.is_public]
    statements, grants = _make(before, before, [], plan.replaced, ourselves)
    return AccountPlan(created=[], replaced=plan.replaced, kept=[], statements=[*drops, *statements], grants=grants)


def _make(
    steps: Sequence[Step],
    before: Sequence[Step],
    created: Collection[Account],
    replaced: Collection[Account],
    ourselves: Account,
) -> tuple[list[str], list[Step]]:
    """(statements, grants): accounts first, then rights, then rights that may not be possible.

    One that exists is replaced in one statement, so that it is never missing.  A replaced role is taken from everybody by
    that, so it is given again to those who are not replaced themselves.
    """
    replaced = frozenset(replaced)
    chosen = {*created, *replaced}
    made_roles = {account.user for account in chosen if account.is_role and not account.is_public}
    making = [
        step.statement.replace("CREATE ROLE IF NOT EXISTS", "CREATE OR REPLACE ROLE").replace(
            "CREATE USER IF NOT EXISTS", "CREATE OR REPLACE USER"
        )
        if step.account in replaced
        else step.statement
        for step in steps
        if step.creates and step.account in chosen
    ]
    given = [step for step in steps if not step.creates and step.account in chosen]
    given_again = [step for step in before if step.role in made_roles and step.account not in chosen]
    certain = [step for step in given if not step.on and (not step.role or step.role in made_roles)]
    uncertain = [step for step in given if step.on or (step.role and step.role not in made_roles)]
    ours = {step.role for step in before if step.account == ourselves}
    revokes = [f"REVOKE {quote_literal(role)} FROM {ourselves.sql}" for role in sorted(made_roles - ours)]
    order = sorted(certain, key=lambda step: not step.role)  # a default role has to be given before it is set
    return [*making, *(step.statement for step in (*order, *given_again)), *revokes], uncertain


def parse_account(text: str) -> Account:
    """Of what CURRENT_USER() gives, such as `app@10.%`."""
    user, _, host = text.rpartition("@")
    return Account(user, host)


def _statements(script: str) -> Iterator[str]:
    collected: list[str] = []
    for found in _TOKEN.finditer(script):
        token = found[0]
        if token.startswith("--"):
            continue
        if token != _END:
            collected.append(token)
            continue
        statement = "".join(collected).strip()
        collected.clear()
        if statement:
            yield statement.removeprefix("/*M!999999\\- enable the sandbox mode */").strip()


def _step(statement: str) -> Step | None:
    if _IMPORT_ROLE in statement and not statement.startswith("CREATE ROLE IF NOT EXISTS '"):
        return None
    if found := _CREATE.fullmatch(statement):
        account = _account(found)
        rest = "" if found["what"] == "ROLE" else found["rest"]
        return Step(account, f"CREATE {found['what']} IF NOT EXISTS {account.sql}{rest}", creates=True)
    if found := _DEFAULT_ROLE.fullmatch(statement):
        return Step(_account(found), statement.strip())
    if statement.startswith("GRANT "):
        return _grant(statement)
    return None


def _grant(statement: str) -> Step | None:
    at = 0
    for token in _TOKEN.findall(statement):
        if token[0] not in "'\"`":
            to = token.find(" TO ")
            if to >= 0:
                found = _TO.fullmatch(statement[at + to + len(" TO ") :])
                if found is None:
                    return None
                given = statement[: at + to + 1]
                on, role = _OBJECT.search(given), _ROLE.fullmatch(given)
                return Step(
                    _account(found),
                    statement,
                    on=on["what"] if on else "",
                    role=_unquoted(role["name"]) if role else "",
                )
        at += len(token)
    return None


def _account(found: re.Match[str]) -> Account:
    return Account(_unquoted(found["user"]), _unquoted(found["host"] or ""))


def _unquoted(name: str) -> str:
    if name.startswith("`"):
        return name[1:-1].replace("``", "`")
    if name.startswith("'"):
        return re.sub(r"\\(.)|''", lambda found: found[1] or "'", name[1:-1])
    return name


def _is_known(statement: str) -> bool:
    return (
        statement.startswith(("SET ", "/*!", "SELECT COALESCE(CURRENT_ROLE()", "EXECUTE IMMEDIATE CONCAT('SET ROLE "))
        or _IMPORT_ROLE in statement
    )


def _head(statement: str) -> str:
    return " ".join(statement.split()[:3])
