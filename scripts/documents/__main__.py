"""`scripts/contract-documents [--check]`"""

from __future__ import annotations

import sys
from pathlib import Path

from scripts.documents.files import documents

FOLDER = Path(__file__).parents[2] / "contracts" / "documents"


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--check"]):
        print("usage: scripts/contract-documents [--check]", file=sys.stderr)
        return 2
    wanted = documents()
    found = {str(path.relative_to(FOLDER)): path.read_text() for path in FOLDER.rglob("*.json")}
    stale = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    if arguments:
        for name in stale:
            print(f"not in step with the Structs: contracts/documents/{name}")
        if stale:
            print("scripts/contract-documents writes them anew")
        return 1 if stale else 0
    for name in stale:
        path = FOLDER / name
        if name in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[name])
        else:
            path.unlink()
    print(f"{len(wanted)} documents, {len(stale)} of them changed")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
