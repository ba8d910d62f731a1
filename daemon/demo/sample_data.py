"""The demo's data: a small shop with every kind of object, and one large table that brings it to the wanted size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from contracts.errors import InvalidInput
from daemon.demo.psql import Psql
from daemon.demo.scripts import sql_script

DATABASE: Final = "shop"
DEFAULT_SIZE_BYTES: Final = 60_000_000
_FIXED_BYTES: Final = 3_100_000
"""What `pg_dump` makes of everything but the bulk table.  Measured, like the next."""
_ROW_BYTES: Final = 290
_BATCH_ROWS: Final = 25_000
"""A fixed number, so that a row does not depend on the wanted size; about 7 MB, for a lively progress."""


class SampleData(msgspec.Struct, frozen=True, kw_only=True):
    """What was made."""

    database: str
    bulk_rows: int
    database_bytes: int
    """On the server's disk, indexes included."""


def check_size(size_bytes: int) -> None:
    """Raises: InvalidInput for less than the fixed part of the data."""
    if size_bytes < _FIXED_BYTES:
        raise InvalidInput("input.invalid", f"size must be at least {_FIXED_BYTES / 1e6:.1f}MB", field="size")


def plan_batches(size_bytes: int) -> Iterator[tuple[int, int, int]]:
    """(batch, first row, last row) of the bulk table, for a native dump of about `size_bytes` in all."""
    rows = max(0, size_bytes - _FIXED_BYTES) // _ROW_BYTES
    for batch, first in enumerate(range(1, rows + 1, _BATCH_ROWS), 1):
        yield batch, first, min(first + _BATCH_ROWS - 1, rows)


async def make_sample_data(
    server: Psql, size_bytes: int, progress: Callable[[int], None] | None = None, *, database: str = DATABASE
) -> SampleData:
    """Creates the roles and the database with everything in it.  Its `pg_dump` has about `size_bytes` (±20 %).

    The same size gives the same content, on servers of one major version.  `progress` is told the bytes so far; all of them
    when the rows are in, and indexes, views and the rest are to follow.
    Raises: InvalidInput, SqlFailed.
    """
    check_size(size_bytes)
    tell = progress or _nobody
    await server.run(sql_script("roles"))
    await server.run(_create_database(database))
    shop = server.of(database)
    await shop.run(sql_script("schema"))
    await shop.run(sql_script("rows"))
    done_bytes, bulk_rows = _FIXED_BYTES, 0
    tell(done_bytes)
    bulk = sql_script("bulk")
    for batch, first, last in plan_batches(size_bytes):
        await shop.run(f"\\set batch {batch}\n\\set first {first}\n\\set last {last}\n{bulk}")
        bulk_rows = last
        done_bytes += (last - first + 1) * _ROW_BYTES
        tell(min(done_bytes, size_bytes))
    tell(size_bytes)
    await shop.run(sql_script("objects"))
    (size,) = await shop.rows("SELECT json_build_array(pg_database_size(current_database()))", tuple[int])
    return SampleData(database=database, bulk_rows=bulk_rows, database_bytes=size[0])


def _create_database(name: str) -> str:
    quoted = '"' + name.replace('"', '""') + '"'
    # From template0, and so UTF8 and empty, whatever the cluster's own template is.
    return f"""
CREATE DATABASE {quoted} OWNER shop_owner TEMPLATE template0 ENCODING 'UTF8';
COMMENT ON DATABASE {quoted} IS 'The demo''s shop 🏪';
ALTER DATABASE {quoted} SET search_path = shop, public;
ALTER DATABASE {quoted} SET work_mem = '8MB';
GRANT CONNECT ON DATABASE {quoted} TO shop_reader;
"""


def _nobody(_: int) -> None:
    """Tells nobody."""
