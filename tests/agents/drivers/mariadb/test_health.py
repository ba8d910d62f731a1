"""Health: a replica and how far behind it is, and a Galera node that is not in order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from contracts.errors import RunFailed
from contracts.services import MariaDBOptions
from tests.agents.drivers.mariadb.engine import LogicalUnderTest, PhysicalUnderTest
from tests.agents.drivers.playing import back_up, restore
from tests.servers.directories import server_directory
from tests.servers.mariadb import MariaDBServer
from tests.servers.waiting import eventually

_GALERA = next(
    (
        path
        for path in map(Path, ("/usr/lib/galera/libgalera_smm.so", "/usr/lib64/galera-4/libgalera_smm.so"))
        if path.exists()
    ),
    Path("/usr/lib/galera/libgalera_smm.so"),
)


@pytest.fixture
def replica(mariadb: MariaDBServer, logical: LogicalUnderTest) -> Iterator[MariaDBServer]:
    """Of the tests' server, from now on; without its data, of which an event changes some every second."""
    logical.empty()
    with ExitStack() as stack:
        server = MariaDBServer(
            stack.enter_context(server_directory("mariadb", in_memory=True)),
            {"server-id": "2", "log-bin": "binlog", "read-only": "ON"},
        )
        stack.callback(server.kill)
        server.start()
        mariadb.query("CREATE OR REPLACE USER strongroom_replication@localhost IDENTIFIED BY 'r'")
        mariadb.query("GRANT REPLICATION SLAVE ON *.* TO strongroom_replication@localhost")
        (gtid,) = mariadb.query("SELECT @@gtid_current_pos")[0]
        server.query(f"SET GLOBAL gtid_slave_pos = '{gtid}'")
        server.query(
            f"CHANGE MASTER TO master_host = '127.0.0.1', master_port = {mariadb.port}, master_password = 'r', "
            "master_user = 'strongroom_replication', master_use_gtid = slave_pos"
        )
        server.query("START SLAVE")
        yield server
        mariadb.query("DROP USER strongroom_replication@localhost")


async def test_a_primary_is_one(logical: LogicalUnderTest) -> None:
    health = await logical.driver().health()
    assert (health.role, health.lag_s, health.error) == ("primary", None, None)
    assert health.version.startswith(logical.server.query("SELECT VERSION()")[0][0][:5])


async def test_a_replica_says_how_far_behind_it_is_and_can_be_backed_up(replica: MariaDBServer, tmp_path: Path) -> None:
    host = tmp_path / "replica"
    host.mkdir()
    engine = PhysicalUnderTest(replica, host, MariaDBOptions(users=False))
    engine.make_accounts()

    async def caught_up() -> bool:
        return (await engine.driver().health()).lag_s == 0

    await eventually(caught_up)
    health = await engine.driver().health()
    assert (health.role, health.error) == ("replica", None)
    backup = await back_up(engine.driver())
    assert backup.plan.summary["role"] == "replica"
    await restore(engine.restoring_driver(), backup, engine.target())
    assert "CHANGE MASTER" in (engine.target_dir / "xtrabackup_slave_info").read_text()

    replica.query("STOP SLAVE")
    health = await engine.driver().health()
    assert (health.role, health.reachable, health.lag_s) == ("replica", True, None)
    assert health.error is not None
    assert health.error.code == "engine.degraded"
    assert "IO thread No, SQL thread No" in health.error.message

    replica.query("REVOKE ALL PRIVILEGES, GRANT OPTION FROM strongroom_restore@localhost")
    engine.apply_recipe("restore-account.sql")
    replica.query("REVOKE SUPER ON *.* FROM strongroom_restore@localhost")
    logical = LogicalUnderTest.target(engine)  # type: ignore[arg-type]
    database = backup.records[0].__class__(
        name="d", kind="database", format="sql", object_key="k", stored_bytes=1, plain_bytes=1, sha256="0"
    )
    with pytest.raises(RunFailed, match="the target server is read-only, as replicas are"):
        await engine.restoring_driver().check_restore([database], logical)


async def test_a_galera_node_that_is_not_synced_is_degraded(tmp_path: Path) -> None:
    assert _GALERA.exists(), "install Galera: run scripts/setup, or apt-get install galera-4"
    with server_directory("mariadb", in_memory=True) as directory:
        server = MariaDBServer(
            directory,
            {
                "wsrep-on": "ON", "wsrep-provider": str(_GALERA), "wsrep-cluster-address": "gcomm://",
                "wsrep-node-address": "127.0.0.1", "binlog-format": "ROW", "innodb-autoinc-lock-mode": "2",
                "wsrep-provider-options": "base_host=127.0.0.1;base_port=0;gmcast.listen_addr=tcp://127.0.0.1:0;pc.wait_prim=no",
            },
        )  # fmt: skip
        try:
            server.start()
            await eventually(lambda: ("wsrep_ready", "ON") in server.query("SHOW STATUS LIKE 'wsrep_ready'"))
            engine = PhysicalUnderTest(server, tmp_path, MariaDBOptions(users=False))
            engine.make_accounts()
            assert (await engine.driver().health()).error is None
            backup = await back_up(engine.driver())
            assert backup.plan.inventory["position"]["wsrep_cluster_state_uuid"]
            await restore(engine.restoring_driver(), backup, engine.target())
            assert (engine.target_dir / "xtrabackup_galera_info").exists()

            server.query("SET GLOBAL wsrep_desync = ON")
            health = await engine.driver().health()
            assert health.reachable
            assert health.error is not None
            assert health.error.code == "engine.degraded"
            assert "not synced with its cluster" in health.error.message
            with pytest.raises(RunFailed, match="back up another node") as caught:
                await engine.driver().plan_backup()
            assert caught.value.code == "engine.degraded"
            server.query("SET GLOBAL wsrep_desync = OFF")
        finally:
            server.kill()
