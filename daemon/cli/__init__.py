"""The operator's command line: `strongroom`.

Nothing is imported before it is needed: the base install is what an agent host needs and lacks what this is built on, and
that has to end in a sentence.
"""

from __future__ import annotations

import sys
from typing import Final

_OF_THE_EXTRA: Final = frozenset({"rich", "typer"})


def main() -> None:
    """The entry point `strongroom`; ends the process with the status that `daemon.cli.failures` documents."""
    try:
        from daemon.cli.entry import run

        sys.exit(run(sys.argv[1:]))
    except KeyboardInterrupt:
        # While the imports went on; afterwards `run` says the same.
        sys.exit(130)
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] not in _OF_THE_EXTRA:
            raise
        sys.stderr.write(
            f"strongroom: the Python package {exc.name!r} is missing: install Strongroom with the extra `daemon`, "
            "as in: pip install 'strongroom[daemon]'\n"
        )
        sys.exit(2)
