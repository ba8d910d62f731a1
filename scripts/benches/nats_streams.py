"""The peer where there is no `nats` program: one stream through nats-py, out to standard output or in from standard input.

    python -m scripts.benches.nats_streams backup|restore STREAM <archive >archive

As one would write it in an hour: no spool, no checks, one chunk after the other.  NATS_URL, NATS_USER and NATS_PASSWORD say
where; the archive is a line of JSON and the server's snapshot.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Final

import nats
from nats.aio.client import Client

_CHUNK_BYTES: Final = 128 * 1024


async def _backup(client: Client, stream: str) -> None:
    inbox = client.new_inbox()
    chunks = await client.subscribe(inbox, pending_bytes_limit=0)
    request = {"deliver_subject": inbox, "jsck": True, "chunk_size": _CHUNK_BYTES}
    answer = await client.request(f"$JS.API.STREAM.SNAPSHOT.{stream}", json.dumps(request).encode(), timeout=60)
    described = json.loads(answer.data)
    out = sys.stdout.buffer
    out.write(json.dumps({key: described[key] for key in ("config", "state")}).encode() + b"\n")
    while (chunk := await chunks.next_msg(timeout=60)).data:
        out.write(chunk.data)
        if chunk.reply:
            await client.publish(chunk.reply)
    out.flush()


async def _restore(client: Client, stream: str) -> None:
    source = sys.stdin.buffer
    request = source.readline().strip()
    answer = json.loads((await client.request(f"$JS.API.STREAM.RESTORE.{stream}", request, timeout=60)).data)
    if "error" in answer:
        raise SystemExit(f"the restore was refused: {answer['error']}")
    subject = answer["deliver_subject"]
    while chunk := source.read(_CHUNK_BYTES):
        await client.request(subject, chunk, timeout=60)
    ended = json.loads((await client.request(subject, b"", timeout=600)).data)
    if "error" in ended:
        raise SystemExit(f"the restore failed: {ended['error']}")


async def main(action: str, stream: str) -> None:
    user, password = os.environ["NATS_USER"], os.environ["NATS_PASSWORD"]
    client = await nats.connect(os.environ["NATS_URL"], user=user, password=password)
    try:
        await (_backup if action == "backup" else _restore)(client, stream)
    finally:
        await client.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
