"""`scripts/bench NAME [--json] [--quick] …`"""

from __future__ import annotations

import argparse
import importlib
import sys
from types import ModuleType

from scripts.benches.rows import print_json, print_table

BENCHES = ("aead", "datapath", "engines", "fleet", "http", "status")
"""Each is a module with `SUMMARY`, `add_arguments(parser)` and `run(options) -> Iterable[Row]`."""


def main(arguments: list[str]) -> int:
    if not arguments:
        print("usage: scripts/bench NAME [--json] [--quick] ...\n")
        for name in BENCHES:
            print(f"  {name:10} {_module(name).SUMMARY}")
        return 0
    if arguments[0] not in BENCHES:
        print(f"there is no bench {arguments[0]!r}; there are: {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    module = _module(arguments[0])
    parser = argparse.ArgumentParser(prog=f"scripts/bench {arguments[0]}", description=module.SUMMARY)
    parser.add_argument("--json", action="store_true", help="end with one line of JSON instead of a table")
    parser.add_argument("--quick", action="store_true", help="less data and fewer repetitions: shows that it works, no more")
    module.add_arguments(parser)
    options = parser.parse_args(arguments[1:])
    rows = list(module.run(options))
    if options.json:
        print_json(arguments[0], rows)
    else:
        print_table(rows)
    return 0


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"scripts.benches.{name}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
