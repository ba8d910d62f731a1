"""Fixtures for all tests: real servers on free ports, in temporary directories that go with them."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from daemon.embedded.store_config import StoreLimits
from tests.servers.directories import server_directory, sweep
from tests.servers.nats import NatsFactory, NatsServer
from tests.servers.postgres import Database, PostgresCluster, PostgresFactory
from tests.servers.s3 import Bucket, S3Factory, S3Server


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "nodes(*names): the nodes that may connect to the test's nats_server")
    config.addinivalue_line("markers", "long: takes minutes, and so begins before all others")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of tests that run side by side, the long ones first: nothing shall have to wait for them at the end."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The one reason to skip: a real server that this machine cannot have.  Nobody shall take that for a success."""
    skipped = terminalreporter.getreports("skipped")
    reasons = {str(report.longrepr[2]) for report in skipped if isinstance(report.longrepr, tuple)}
    for reason in sorted(reason.removeprefix("Skipped: ") for reason in reasons if "NOT RUN HERE" in reason):
        terminalreporter.write_line(reason, red=True, bold=True)


def pytest_sessionstart() -> None:
    sweep()
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell starts what it puts into the background like that, and every program that a test starts would inherit it.
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def _running_nats(*nodes: str) -> Iterator[NatsServer]:
    with server_directory("nats", in_memory=True) as directory:
        server = NatsServer(directory, nodes)
        try:
            server.start()
            yield server
        finally:
            server.kill()


@contextmanager
def _running_s3(limits: StoreLimits | None = None) -> Iterator[S3Server]:
    with server_directory("s3") as directory:
        server = S3Server(directory, limits)
        try:
            server.start()
            yield server
        finally:
            server.kill()


@contextmanager
def _running_postgres(**settings: str) -> Iterator[PostgresCluster]:
    with server_directory("pg", in_memory=True) as directory:
        cluster = PostgresCluster(directory, settings)
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.discard()


@pytest.fixture
def nats_factory() -> Iterator[NatsFactory]:
    """`nats_factory("db-1", "db-2")`: a running nats-server of its own that knows these nodes."""
    with ExitStack() as stack:
        yield lambda *nodes: stack.enter_context(_running_nats(*nodes))


@pytest.fixture
def nats_server(request: pytest.FixtureRequest, nats_factory: NatsFactory) -> NatsServer:
    """A fresh nats-server with nodes `node-1` and `node-2`, or those of `@pytest.mark.nodes("db-1", ...)`."""
    marker = request.node.get_closest_marker("nodes")
    return nats_factory(*(marker.args if marker else ("node-1", "node-2")))


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """The object store of all tests; take `bucket` unless the test needs no bucket or several."""
    with _running_s3() as server:
        yield server


@pytest.fixture
def s3_factory() -> Iterator[S3Factory]:
    """`s3_factory(limits)`: an object store of the test's own, to be killed, restarted or filled (about 3 s)."""
    with ExitStack() as stack:
        yield lambda limits=None: stack.enter_context(_running_s3(limits))


@pytest.fixture
def bucket(s3: S3Server) -> Iterator[Bucket]:
    """A fresh bucket in the session's object store."""
    created = s3.create_bucket()
    try:
        yield created
    finally:
        created.remove()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresCluster]:
    """The PostgreSQL cluster of all tests; take `database` unless the test needs the superuser or several."""
    with _running_postgres() as cluster:
        yield cluster


@pytest.fixture
def postgres_factory() -> Iterator[PostgresFactory]:
    """`postgres_factory(wal_level="logical")`: a cluster of the test's own, with these settings (about 2 s)."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(_running_postgres(**settings))


@pytest.fixture
def database(postgres: PostgresCluster) -> Iterator[Database]:
    """A fresh database with a role of its own in the session's cluster."""
    created = postgres.create_database()
    try:
        yield created
    finally:
        postgres.drop_database(created.name)
