"""A server of Meilisearch's HTTP API and dump files, for tests: `python -m tests.servers.meilisearch --http-addr …`."""
