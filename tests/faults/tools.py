"""Dump tools that misbehave on command: scripts beside links to the real programs."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.servers.tools import pg_bin


class PgTools:
    """A directory for the driver's `bin_dir`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()
        for program in ("pg_dump", "pg_dumpall", "pg_restore", "psql"):
            (directory / program).symlink_to(pg_bin(program))
        self.reached = directory / "reached"
        """Made when a halting pg_dump has written its first half."""
        self.go = directory / "go"
        """Lets a halting pg_dump go on."""

    def halt_half_way(self) -> None:
        """pg_dump writes a part of its dump, says so, and waits to be let go on."""
        self._replace(
            'out=$(mktemp -p "$here")\n'
            '"$real" "$@" > "$out" || exit $?\n'
            'head -c 300000 "$out"\n'
            'touch "$here/reached"\n'
            'while [ ! -e "$here/go" ]; do sleep 0.05; done\n'
            'tail -c +300001 "$out"\n'
            'rm "$out"\n'
        )

    def fail_half_way(self) -> None:
        """pg_dump writes half and ends with status 1."""
        self._replace('"$real" "$@" | head -c 300000\necho "pg_dump: error: the disk has a scratch" >&2\nexit 1\n')

    def write_nothing(self) -> None:
        """pg_dump ends well without a word."""
        self._replace("exit 0\n")

    def die(self) -> None:
        """pg_dump writes half and is killed."""
        self._replace('"$real" "$@" | head -c 300000\nkill -9 $$\n')

    def stop_early(self) -> None:
        """pg_dump ends well after half of its dump."""
        self._replace('"$real" "$@" 2>/dev/null | head -c 300000\nexit 0\n')

    def running(self) -> bool:
        """Whether a tool of this directory runs."""
        return subprocess.run(["pgrep", "-f", str(self.directory)], check=False, capture_output=True).returncode == 0

    def _replace(self, body: str) -> None:
        script = self.directory / "pg_dump"
        script.unlink()
        script.write_text(
            f"#!/bin/sh\nreal={pg_bin('pg_dump')}\nhere={self.directory}\n"
            'case "$1" in --version|-V) exec "$real" "$@";; esac\n' + body
        )
        script.chmod(0o755)
