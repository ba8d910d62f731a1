"""The sample data: as large as was asked for, the same every time, and as hard to compress as real data."""

from __future__ import annotations

import itertools

import pytest
import zstandard

from contracts.errors import InvalidInput
from daemon.demo.processes import run_program
from daemon.demo.programs import Programs
from daemon.demo.psql import Psql
from daemon.demo.sample_data import DATABASE, check_size, make_sample_data, plan_batches
from daemon.demo.snapshot import DatabaseSnapshot, take_snapshot


async def dump_of(database: Psql, programs: Programs) -> bytes:
    environment = database.cluster.environment(database.database)
    ended, out = await run_program([programs.pg_dump, "-Fc", "-Z0"], environment=environment)
    assert ended.status == 0, ended.stderr_tail
    return out


@pytest.mark.parametrize("size_bytes", [4_000_000, 20_000_000])
async def test_the_dump_is_about_as_large_as_asked_for_and_compresses_like_real_data(
    other_server: Psql, programs: Programs, size_bytes: int
) -> None:
    told: list[int] = []
    data = await make_sample_data(other_server, size_bytes, told.append)
    dump = await dump_of(other_server.of(data.database), programs)
    assert 0.8 * size_bytes <= len(dump) <= 1.2 * size_bytes
    assert 3 <= len(dump) / len(zstandard.ZstdCompressor(level=3).compress(dump)) <= 6.5
    assert told == sorted(told)
    assert told[-1] == pytest.approx(size_bytes, rel=0.01)


async def test_the_same_size_gives_the_same_content_on_every_server(other_server: Psql, shop: Psql, shop_size: int) -> None:
    await make_sample_data(other_server, shop_size)
    assert await take_snapshot(other_server.of(DATABASE)) == await take_snapshot(shop)


def test_every_kind_of_object_and_content_is_in_it(shop_snapshot: DatabaseSnapshot) -> None:
    assert set(shop_snapshot.objects) >= {
        "cast",
        "collation",
        "column",
        "constraint",
        "default privilege",
        "function",
        "index",
        "large object",
        "policy",
        "publication",
        "relation",
        "rule",
        "schema",
        "sequence",
        "sequence value",
        "statistics",
        "text search configuration",
        "trigger",
        "type",
        "view",
    }
    assert shop_snapshot.tables["analytics.never_filled"].rows == 0
    assert shop_snapshot.tables["analytics.without_columns"].rows == 2
    assert shop_snapshot.tables['"ware house"."Größe & 価格"'].rows == 120


def test_what_a_row_holds_does_not_depend_on_how_many_there_are() -> None:
    small, large = list(plan_batches(20_000_000)), list(plan_batches(40_000_000))
    assert small[:-1] == large[: len(small) - 1]
    assert all(before[2] + 1 == after[1] for before, after in itertools.pairwise(large))


def test_a_size_below_the_fixed_part_is_refused() -> None:
    with pytest.raises(InvalidInput, match="at least") as caught:
        check_size(1000)
    assert caught.value.field == "size"
