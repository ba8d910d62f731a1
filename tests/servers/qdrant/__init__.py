"""A server that speaks Qdrant's HTTP API, for tests: there is no Qdrant server to be had as a package.

Points lie in shards of the real engine (`qdrant-edge-py`), so the snapshots that it makes are genuine, and what it is
given to recover from is opened by the real engine.  Requests and answers are checked with the models of the official
client, which are generated from Qdrant's OpenAPI document.  Rules that no document tells (rights, names, what stays behind
after an upload) follow the server's source.

    python -m tests.servers.qdrant --config-path FILE      as `qdrant --config-path FILE`
"""
