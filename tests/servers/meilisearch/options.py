"""The launch options of the program that matter, by flag or by environment variable, as Meilisearch names them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PKG_VERSION = "1.50.0"


@dataclass(frozen=True, kw_only=True)
class Options:
    host: str
    port: int
    db_path: Path
    dump_dir: Path
    import_dump: Path | None
    ignore_missing_dump: bool
    ignore_dump_if_db_exists: bool
    master_key: str
    version: str
    control: Path | None
    """Directory of files with which a test holds tasks up or makes them fail, see `tests.servers.meilisearch.control`."""


def parse(argv: Sequence[str]) -> Options:
    parser = argparse.ArgumentParser(prog="meilisearch", allow_abbrev=False)
    version = os.environ.get("FAKE_MEILI_VERSION", PKG_VERSION)
    parser.add_argument("-V", "--version", action="version", version=f"meilisearch {version}")
    parser.add_argument("--db-path", type=Path, default=os.environ.get("MEILI_DB_PATH", "./data.ms"))
    parser.add_argument("--http-addr", default=os.environ.get("MEILI_HTTP_ADDR", "localhost:7700"))
    parser.add_argument("--master-key", default=os.environ.get("MEILI_MASTER_KEY", ""))
    parser.add_argument("--env", choices=["development", "production"], default=os.environ.get("MEILI_ENV", "development"))
    parser.add_argument("--no-analytics", action="store_true")
    parser.add_argument("--dump-dir", type=Path, default=os.environ.get("MEILI_DUMP_DIR", "dumps/"))
    parser.add_argument("--snapshot-dir", type=Path, default=os.environ.get("MEILI_SNAPSHOT_DIR", "snapshots/"))
    parser.add_argument("--import-dump", type=Path, default=os.environ.get("MEILI_IMPORT_DUMP"))
    parser.add_argument("--ignore-missing-dump", action="store_true")
    parser.add_argument("--ignore-dump-if-db-exists", action="store_true")
    parser.add_argument("--max-indexing-memory")
    parser.add_argument("--max-indexing-threads", type=int)
    given = parser.parse_args(argv)
    if given.env == "production" and len(given.master_key.encode()) < 16:
        parser.exit(1, "Error: The master key must be at least 16 bytes in a production environment.\n")
    host, _, port = given.http_addr.rpartition(":")
    control = os.environ.get("FAKE_MEILI_CONTROL")
    return Options(
        host=host,
        port=int(port),
        db_path=Path(given.db_path),
        dump_dir=Path(given.dump_dir),
        import_dump=Path(given.import_dump) if given.import_dump else None,
        ignore_missing_dump=given.ignore_missing_dump,
        ignore_dump_if_db_exists=given.ignore_dump_if_db_exists,
        master_key=given.master_key,
        version=version,
        control=Path(control) if control else None,
    )
