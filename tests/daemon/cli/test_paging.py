"""Lists are read page by page, to as many things as are wanted, whatever fits into one answer."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import InvalidInput
from daemon.cli.paging import pages
from tests.daemon.cli.calling import Strongroom
from tests.integration.platform import Platform


class Answer(msgspec.Struct, frozen=True):
    numbers: list[int]
    next_cursor: str


class Shelf:
    """So many numbers, of which an answer holds no more than a few."""

    def __init__(self, there: int, fits: int) -> None:
        self._there = there
        self._fits = fits
        self.asked: list[int] = []

    async def ask(self, cursor: str, wanted: int) -> Answer:
        self.asked.append(wanted)
        if wanted > self._fits:
            raise InvalidInput("input.invalid", "ask for less", field="limit")
        begin = int(cursor or 0)
        end = min(begin + wanted, self._there)
        return Answer(list(range(begin, end)), str(end) if end < self._there else "")


async def gathered(shelf: Shelf, limit: int | None, size: int) -> list[int]:
    found = [answer async for answer in pages(shelf.ask, lambda answer: len(answer.numbers), limit, size)]
    return [number for answer in found for number in answer.numbers]


@given(there=st.integers(0, 200), fits=st.integers(20, 300), limit=st.none() | st.integers(1, 300), size=st.integers(1, 100))
async def test_what_is_wanted_is_had_in_order_and_once(there: int, fits: int, limit: int | None, size: int) -> None:
    shelf = Shelf(there, fits)
    assert await gathered(shelf, limit, size) == list(range(there if limit is None else min(there, limit)))
    assert max(shelf.asked) <= size


async def test_where_too_much_was_asked_for_less_is_asked_for_from_then_on() -> None:
    shelf = Shelf(100, 30)
    assert len(await gathered(shelf, None, 100)) == 100
    assert shelf.asked == [100, 50, 25, 25, 25, 25]


def test_services_are_found_by_words_and_by_how_they_stand(strongroom: Strongroom, project: str, node: str) -> None:
    for name in ("orders", "orders-eu", "invoices"):
        strongroom("service", "add", f"{project}/{name}", "--kind", "postgresql", "--node", node).ok()

    def names(*argv: str) -> list[str]:
        return [view["record"]["name"] for view in strongroom.json("service", "list", project, *argv)["services"]]

    assert names() == ["invoices", "orders", "orders-eu"]
    assert names("--search", "ORDERS eu") == ["orders-eu"]
    assert names("--search", "mariadb") == []
    assert names("--level", "problem") == ["invoices", "orders", "orders-eu"]
    assert names("--level", "good") == []
    assert names("--limit", "2") == ["invoices", "orders"]
    some = strongroom("service", "list", project, "--limit", "1", "--worst-first").ok()
    assert "These are 1 of 3" in some.err
    assert "No service is like that" in strongroom("service", "list", project, "--level", "good").ok().err
    assert strongroom("service", "list", project, "--level", "awful", "--json").failed(2).error["field"] == "level"


def test_backups_are_found_by_their_state_and_tag(strongroom: Strongroom, serving: Platform, service: str) -> None:
    first = strongroom.json("backup", "create", service, "--tag", "before")["id"]
    second = strongroom.json("backup", "create", service)["id"]

    def ids(*argv: str) -> list[str]:
        return [record["id"] for record in strongroom.json("backup", "list", service, *argv)["backups"]]

    assert ids() == [second, first]
    assert ids("--tag", "before") == [first]
    assert ids("--state", "completed", "--state", "failed") == [second, first]
    assert ids("--state", "failed") == []
    some = strongroom("backup", "list", service, "--limit", "1").ok()
    assert second in some.out
    assert "These are the newest 1 of 2: --limit shows more." in some.err
    assert "No backup is like that" in strongroom("backup", "list", service, "--tag", "after").ok().err
    assert strongroom("backup", "list", service, "--state", "lost", "--json").failed(2).error["field"] == "state"
