"""A real Elasticsearch, fetched once from Maven Central into a cache outside of everything else.

`scripts/fetch-elasticsearch` does the same by hand, also for the tests; a folder with a `pom.xml` says what is fetched.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from contracts.errors import RunFailed

NODE: Final = Path(__file__).with_name("elasticsearch_node")
PLUGIN: Final = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1"
_FETCH_TIMEOUT_S: Final = 600.0
_TOOLS: Final = {"java": "openjdk-17-jdk-headless", "javac": "openjdk-17-jdk-headless"}


def require_tools(node: Path = NODE) -> None:
    """Raises: RunFailed `engine.tool_missing` naming the programs that starting a node needs and this machine lacks."""
    tools = dict(_TOOLS) if is_fetched(node) else {**_TOOLS, "mvn": "maven"}
    missing = {tool: package for tool, package in tools.items() if shutil.which(tool) is None}
    if missing:
        packages = " ".join(sorted(set(missing.values())))
        raise RunFailed(
            "engine.tool_missing",
            f"a real {_title(node)} needs {', '.join(missing)}, not installed here: apt-get install {packages}",
        )


def jars_of(node: Path = NODE) -> Path:
    """Where the jars are, or would be: named by product and version."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "strongroom-tests" / "-".join(_product(node))


def is_fetched(node: Path = NODE) -> bool:
    return jars_of(node).is_dir()


def fetch(node: Path = NODE) -> Path:
    """The directory of jars; fetching them takes about half a minute, and happens once.

    Raises: RunFailed `engine.tool_missing` when they cannot be had.
    """
    jars = jars_of(node)
    if jars.is_dir():
        return jars
    require_tools(node)
    jars.parent.mkdir(parents=True, exist_ok=True)
    with _locked(jars.with_name(f"{jars.name}.lock")):
        if not jars.is_dir():
            _fetch(node, jars)
    return jars


def launch_command(node: Path, jars: Path, directory: Path, port: int, *, short_lived: bool = True) -> list[str]:
    """Starts a node with its data below `directory`; one that is not short-lived is worth being compiled well."""
    java = ["java", "-Xms256m", "-Xmx512m"]
    if short_lived:
        java += ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    return [*java, "-cp", f"{jars}/*", str(node / "Launch.java"), str(directory), str(port)]


def _fetch(node: Path, jars: Path) -> None:
    with tempfile.TemporaryDirectory(dir=jars.parent, prefix="fetching-") as work:
        made = Path(work) / "jars"
        argv = ["mvn", "-q", "-B", "-f", str(node / "pom.xml"), f"{PLUGIN}:copy-dependencies"]
        try:
            ended = subprocess.run(
                [*argv, "-DincludeScope=runtime", f"-DoutputDirectory={made}"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_FETCH_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise _unreachable(node, f"not within {_FETCH_TIMEOUT_S:g} s") from None
        if ended.returncode != 0:
            raise _unreachable(node, (ended.stdout + ended.stderr)[-2000:])
        made.rename(jars)


def _unreachable(node: Path, detail: str) -> RunFailed:
    what = f"the jars of {_title(node)} could not be fetched from Maven Central"
    return RunFailed("engine.tool_missing", f"{what}: is it reachable from here?", detail=detail)


def _title(node: Path) -> str:
    name, version = _product(node)
    return f"{name} {version}"


def _product(node: Path) -> tuple[str, str]:
    pom = (node / "pom.xml").read_text()
    found = re.search(r"<artifactId>([^<]+)</artifactId>\s*<version>([^<]+)</version>\s*<packaging>", pom)
    assert found is not None, f"{node}/pom.xml names no product"
    return found[1], found[2]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{fetch(Path(sys.argv[1]) if sys.argv[1:] else NODE)}\n")
    except RunFailed as exc:
        sys.exit(f"{exc.message}\n{exc.detail or ''}".strip())
