"""Runs: how a backup or restore begins, changes hands, and ends.  The coordinator is the only writer of their records."""
