#!/usr/bin/env python3
"""Makes a token for Strongroom's agent, signed with Qdrant's API key (`service.jwt_rbac` must be true there).

    make-token.py --api-key-file KEY --collection orders --collection users      backups of these collections, and no more
    make-token.py --api-key-file KEY --manage                                    backups of everything, and restores

Write what it prints into the file that `api_key_file` names in the service's file on the agent's host, mode 0600.

A token by collections may make, download and remove their snapshots, and read and write their points, but neither remove nor
replace a collection; the service then has to name them by --include, since such a token does not show whether there are
others.  Everything else needs `--manage`: Qdrant knows no right between the two.  Tokens become invalid with the API key.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import json
import sys
import time
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--api-key-file", type=Path, required=True, help="file with the API key and nothing else")
    rights = parser.add_mutually_exclusive_group(required=True)
    rights.add_argument("--collection", action="append", help="may back up this collection; may be repeated")
    rights.add_argument("--manage", action="store_true", help="may back up everything, and restore")
    parser.add_argument("--days", type=int, help="how long the token is valid; for ever, unless given")
    arguments = parser.parse_args()
    claims: dict[str, object] = {"subject": "strongroom", "access": "m"}
    if arguments.collection:
        claims["access"] = [{"collection": name, "access": "rw"} for name in arguments.collection]
    if arguments.days is not None:
        claims["exp"] = int(time.time()) + arguments.days * 86_400
    key = arguments.api_key_file.read_bytes().rstrip(b"\r\n")
    signed = f"{encode({'alg': 'HS256', 'typ': 'JWT'})}.{encode(claims)}"
    signature = hmac.new(key, signed.encode(), hashlib.sha256).digest()
    sys.stdout.write(f"{signed}.{unpadded(signature)}\n")


def encode(value: dict[str, object] | dict[str, str]) -> str:
    return unpadded(json.dumps(value, separators=(",", ":")).encode())


def unpadded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


if __name__ == "__main__":
    main()
