"""`python -m daemon --config FILE`: the coordinator as a service manager starts it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from daemon.service import serve


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m daemon", description="Run the Strongroom coordinator.")
    parser.add_argument("--config", type=Path, required=True, help="coordinator.toml")
    return serve(parser.parse_args().config)


if __name__ == "__main__":
    sys.exit(main())
