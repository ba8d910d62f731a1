"""The physical method: the data directory as one tar archive by pg_basebackup, with the WAL that it needs."""
