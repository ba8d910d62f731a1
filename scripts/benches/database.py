"""The database that is dumped: one half compresses like business data, the other hardly at all."""

from __future__ import annotations

import base64
import os
import random

import psycopg

from tests.servers.postgres import Database, PostgresCluster

_ROWS_AT_ONCE = 2_000
_STATES = ("new", "paid", "packed", "shipped", "delivered", "returned")


def fill(cluster: PostgresCluster, total_mib: int) -> Database:
    """A fresh database whose dump has about `total_mib`."""
    database = cluster.create_database("bench")
    half = total_mib * 1024 * 1024 // 2
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE orders (id bigint, customer int, state text, street text, note text, cents int, at timestamptz)"
        )
        connection.execute("CREATE TABLE documents (id bigint, body text)")
        with connection.cursor().copy("COPY orders FROM STDIN") as copy:
            _copy_orders(copy, half)
        with connection.cursor().copy("COPY documents FROM STDIN") as copy:
            _copy_documents(copy, half)
        connection.execute("ALTER TABLE orders ADD PRIMARY KEY (id)")
        connection.execute("VACUUM ANALYZE")
    return database


def dump_command(database: Database, program: str) -> tuple[list[str], dict[str, str]]:
    """The `pg_dump` that a person would write into the pipeline; our side runs the one of the driver."""
    argv = [program, "-Fc", "-Z0", "--no-password", "-h", database.host, "-p", str(database.port), "-U", database.user]
    return [*argv, database.name], {"PGPASSWORD": database.password}


def _copy_orders(copy: psycopg.Copy, size: int) -> None:
    dice = random.Random(1)  # noqa: S311 - the same data each time
    number = 0
    while size > 0:
        lines = []
        for _ in range(_ROWS_AT_ONCE):
            number += 1
            lines.append(
                f"{number}\t{dice.randrange(200_000)}\t{dice.choice(_STATES)}\t{dice.randrange(300)} Station Road\t"
                f"please ring {dice.randrange(4)} times, order {dice.getrandbits(40):x}\t{dice.randrange(1, 90_000)}\t"
                f"2026-{dice.randrange(1, 13):02}-{dice.randrange(1, 29):02} 12:{dice.randrange(60):02}:00+00\n"
            )
        block = "".join(lines)
        copy.write(block)
        size -= len(block)


def _copy_documents(copy: psycopg.Copy, size: int) -> None:
    number = 0
    while size > 0:
        lines = []
        for _ in range(200):
            number += 1
            lines.append(f"{number}\t{base64.b64encode(os.urandom(1500)).decode()}\n")
        block = "".join(lines)
        copy.write(block)
        size -= len(block)
