"""A real Elasticsearch or OpenSearch node on a free port; killed, started again and looked at without an event loop."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final

from daemon.demo.engines import elasticsearch_jars
from daemon.embedded.ports import free_ports
from tests.servers.process import ServerProcess

ELASTICSEARCH: Final = elasticsearch_jars.NODE
OPENSEARCH: Final = Path(__file__).with_name("elasticsearch_node") / "opensearch"
_ROOT: Final = Path(__file__).parents[2]
_START_TIMEOUT_S: Final = 90.0
_REQUEST_TIMEOUT_S: Final = 60.0


class NotHere(Exception):
    """A real node cannot be had on this machine; the text says why."""


class SearchFailed(Exception):
    """The node answered with an error."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"{status}: {body[:2000]}")
        self.status = status


def jars(node: Path) -> Path:
    """Raises: NotHere."""
    ended = subprocess.run(
        [str(_ROOT / "scripts" / "fetch-elasticsearch"), str(node)], capture_output=True, text=True, check=False
    )
    if ended.returncode != 0:
        raise NotHere((ended.stderr.strip() or ended.stdout.strip()).replace("\n", " ")[:500])
    return Path(ended.stdout.strip())


class SearchNode:
    """One node.  The directory is its own."""

    def __init__(self, directory: Path, node: Path, found: Path, *, short_lived: bool = True) -> None:
        (self.port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}"
        self.is_opensearch = node == OPENSEARCH
        home = directory / "node"
        argv = elasticsearch_jars.launch_command(node, found, home, self.port, short_lived=short_lived)
        home.mkdir(exist_ok=True)
        self.process = ServerProcess("search", argv, directory=directory)

    def start(self) -> None:
        """Raises: ServerFailed."""
        self.process.start(self._ready, _START_TIMEOUT_S)

    def kill(self) -> None:
        self.process.kill()

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON of an answer; numbers with a fraction stay text, so that they can be compared letter by letter.

        `path` is percent-encoded.  A body of bytes is sent as lines.  Raises: SearchFailed.
        """
        if isinstance(body, bytes):
            return self.send(method, path, body, "application/x-ndjson")
        return self.send(method, path, None if body is None else json.dumps(body).encode())

    def send(self, method: str, path: str, data: bytes | None, kind: str = "application/json") -> Any:
        """As `ask`, with a body of JSON as it stands.  Raises: SearchFailed."""
        request = urllib.request.Request(  # noqa: S310
            self.url + path, data=data, method=method, headers={"Content-Type": kind}
        )
        try:
            with urllib.request.urlopen(request, timeout=_REQUEST_TIMEOUT_S) as answer:  # noqa: S310
                return json.loads(answer.read() or b"null", parse_float=lambda text: f"float {text}")
        except urllib.error.HTTPError as exc:
            with exc:
                raise SearchFailed(exc.code, exc.read().decode(errors="replace")) from exc

    def has(self, path: str) -> bool:
        try:
            self.ask("GET", path)
        except SearchFailed as exc:
            if exc.status == 404:
                return False
            raise
        return True

    def _ready(self) -> bool:
        try:
            self.ask("GET", "/_cluster/health?wait_for_status=yellow&timeout=1s")
        except (SearchFailed, OSError):
            return False
        return True
