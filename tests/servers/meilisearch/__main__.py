"""The program: launch options, import of a dump, and then the API until it is told to end."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from aiohttp import web

import tests.servers.meilisearch.index_routes  # noqa: F401  # adds its routes
from tests.servers.meilisearch.app import Api
from tests.servers.meilisearch.dumps import DumpNotImportable, import_dump
from tests.servers.meilisearch.options import Options, parse
from tests.servers.meilisearch.queue import KIND_NAMES
from tests.servers.meilisearch.store import Store


def main(argv: Sequence[str]) -> int:
    options = parse(argv)
    is_new = not options.db_path.exists() or not any(options.db_path.iterdir())
    try:
        dump_wanted = _check_dump(options, is_new=is_new)
    except DumpNotImportable as exc:
        sys.stderr.write(f"Error: {exc}\n")
        return 1
    options.dump_dir.mkdir(parents=True, exist_ok=True)
    store = Store(options.db_path)
    if dump_wanted and options.import_dump is not None:
        try:
            import_dump(store, options.import_dump, KIND_NAMES)
        except DumpNotImportable as exc:
            sys.stderr.write(f"Error: {exc}\n")
            return 1
    api = Api(options, store, is_new=is_new and not dump_wanted)
    web.run_app(api.application(), host=options.host, port=options.port, print=None, shutdown_timeout=1)
    store.close()
    return 0


def _check_dump(options: Options, *, is_new: bool) -> bool:
    """Whether the dump is to be imported.  Raises: DumpNotImportable as the program does."""
    if options.import_dump is None:
        return False
    if not is_new:
        if options.ignore_dump_if_db_exists:
            return False
        raise DumpNotImportable(f'database already exists at "{options.db_path}", try to delete it or rename it')
    if not options.import_dump.exists():
        if options.ignore_missing_dump:
            return False
        raise DumpNotImportable(f'dump doesn\'t exist at "{options.import_dump}"')
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
