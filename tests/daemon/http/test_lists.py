"""Lists in pages: all of it, once, in order, though it changes meanwhile."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import httpx

from daemon.catalog.buckets import key
from daemon.catalog.catalog import Catalog
from tests.daemon.http.calling import Door, a_backup, fill, store_backups
from tests.servers.nats import NatsServer


async def pages(door: Door, path: str) -> list[httpx.Response]:
    """All of them, by following `Link`."""
    found = [await door.call("GET", path)]
    while "link" in found[-1].headers:
        target, _, relation = found[-1].headers["link"].partition(">; ")
        assert relation == 'rel="next"'
        found.append(await door.call("GET", target.removeprefix("</api/v1")))
    return found


async def test_five_hundred_backups_come_once_each_and_in_order(door: Door, nats_server: NatsServer) -> None:
    await fill(door)
    records = await store_backups(nats_server, 500)
    answers = await pages(door, "/backups?project=acme&service=orders&limit=64")
    assert [len(each.json()["backups"]) for each in answers] == [64] * 7 + [52]
    assert [backup["id"] for each in answers for backup in each.json()["backups"]] == [run.id for run in reversed(records)]
    assert {each.json()["total"] for each in answers} == {500}
    assert answers[-1].json()["next_cursor"] == ""


async def test_the_next_page_keeps_what_was_asked_for(door: Door, nats_server: NatsServer) -> None:
    await fill(door)
    await store_backups(nats_server, 6, tags=["a b"])
    first = await door.call("GET", "/backups?project=acme&states=completed&states=failed&tag=a%20b&limit=4")
    query = parse_qs(urlsplit(first.headers["link"].partition(">")[0].removeprefix("<")).query)
    assert query == {
        "project": ["acme"],
        "states": ["completed", "failed"],
        "tag": ["a b"],
        "limit": ["4"],
        "cursor": [first.json()["next_cursor"]],
    }
    assert [len(each.json()["backups"]) for each in await pages(door, "/backups?project=acme&tag=a%20b&limit=4")] == [4, 2]


async def test_what_comes_and_goes_between_two_pages_neither_repeats_nor_hides_others(
    door: Door, nats_server: NatsServer
) -> None:
    await fill(door)
    records = await store_backups(nats_server, 10)
    first = await door.call("GET", "/backups?project=acme&limit=5")
    async with nats_server.connect_coordinator() as client:
        backups = Catalog(client, client.jetstream()).backups
        newer = a_backup(11)
        await backups.create(key("acme", "orders", newer.id), newer)
        shown = await backups.get(key("acme", "orders", records[-1].id))
        assert shown is not None
        await backups.delete(shown.key, shown.revision)
    rest = await door.call("GET", f"/backups?project=acme&limit=5&cursor={first.json()['next_cursor']}")
    ids = [backup["id"] for answer in (first, rest) for backup in answer.json()["backups"]]
    assert ids == [run.id for run in reversed(records)]
    assert [backup["id"] for backup in (await door.call("GET", "/backups?project=acme&limit=1")).json()["backups"]] == [
        newer.id
    ]


async def test_services_come_in_pages_too(door: Door) -> None:
    await fill(door)
    for name in ("files", "mail"):
        body = {"name": name, "options": {"kind": "shared-storage"}, "nodes": ["node-1"]}
        assert (await door.call("POST", "/projects/acme/services", json=body)).status_code == 201
    answers = await pages(door, "/services?limit=2")
    names = [[view["record"]["name"] for view in each.json()["services"]] for each in answers]
    assert names == [["files", "mail"], ["orders"]]
