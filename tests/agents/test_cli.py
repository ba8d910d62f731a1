"""`strongroom-agent`: service files that are right or not written, engines that are asked, an agent that ends when told."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import pytest
import tomli_w

from agents.cli import main
from agents.drivers.kinds import Connection
from contracts.services import OPTIONS_BY_KIND
from tests.servers.nats import NatsServer
from tests.servers.postgres import PostgresCluster
from tests.servers.waiting import eventually_blocking

TOP = Path(__file__).parents[2]
IDLE_RSS_MIB = 56


@dataclass(frozen=True)
class Ended:
    status: int
    out: str
    err: str


Agent = Callable[..., Ended]


@pytest.fixture
def services_dir(tmp_path: Path) -> Path:
    return tmp_path / "services.d"


@pytest.fixture
def agent(capsys: pytest.CaptureFixture[str], services_dir: Path) -> Agent:
    """Calls `strongroom-agent service …` for the test's own directory, and other commands as they are."""

    def call(*argv: str) -> Ended:
        directory = ["--services-dir", str(services_dir)] if argv[0] == "service" else []
        with pytest.raises(SystemExit) as ended:
            main([*argv, *directory])
        told = capsys.readouterr()
        status = ended.value.code
        assert isinstance(status, int)
        assert "Traceback" not in told.err
        return Ended(status, told.out, told.err)

    return call


ADD = ("service", "add", "acme/orders", "--kind", "postgresql", "--user", "backup")


def test_a_service_file_holds_what_was_given_and_nothing_else(agent: Agent, services_dir: Path) -> None:
    ended = agent(*ADD, "--host", "db.internal", "--port", "5433", "--sslmode", "require", "--extra", "sslcert=/c.pem")
    path = services_dir / "acme.orders.toml"
    assert (ended.status, ended.out) == (0, f"wrote {path}\n")
    assert tomllib.loads(path.read_text()) == {
        "service": "acme/orders",
        "connection": {
            "kind": "postgresql",
            "user": "backup",
            "host": "db.internal",
            "port": 5433,
            "sslmode": "require",
            "extra": {"sslcert": "/c.pem"},
        },
    }
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in services_dir.iterdir()] == [path.name]


def test_paths_become_absolute_since_the_agent_runs_elsewhere(
    agent: Agent, services_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert agent(*ADD, "--password-file", "secret/pw").status == 0
    written = tomllib.loads((services_dir / "acme.orders.toml").read_text())
    assert written["connection"]["password_file"] == str(tmp_path / "secret/pw")


def test_a_file_that_is_there_is_only_replaced_when_told(agent: Agent, services_dir: Path) -> None:
    agent(*ADD)
    before = (services_dir / "acme.orders.toml").read_text()
    ended = agent(*ADD, "--port", "1")
    assert ended.status == 4
    assert ended.err.startswith("service.exists: ")
    assert (services_dir / "acme.orders.toml").read_text() == before
    assert agent(*ADD, "--port", "1", "--force").status == 0
    assert "port = 1" in (services_dir / "acme.orders.toml").read_text()


def test_a_service_that_stands_in_another_file_is_not_written_twice(agent: Agent, services_dir: Path) -> None:
    agent(*ADD)
    (services_dir / "acme.orders.toml").rename(services_dir / "by-hand.toml")
    ended = agent(*ADD, "--force")
    assert ended.status == 4
    assert "by-hand.toml" in ended.err


@pytest.mark.parametrize(
    ("argv", "word"),
    [
        ((*ADD, "--port", "70000"), "--port"),
        (("service", "add", "acme/v", "--kind", "qdrant"), "--url is needed"),
        (("service", "add", "acme/v", "--kind", "qdrant", "--url", "gopher://x"), "--url"),
        (("service", "add", "acme/f", "--kind", "shared-storage", "--root-dir", "/"), "root_dir has to be"),
        ((*ADD, "--port", "many"), "--port"),
        ((*ADD, "--sslmode", "maybe"), "--sslmode"),
        ((*ADD, "--extra", "password=x"), "--extra"),
        ((*ADD, "--extra", "nonsense"), "NAME=VALUE"),
        ((*ADD, "--password-file", "a", "--passfile", "b"), "exclude each other"),
        (("service", "add", "acme/orders", "--kind", "postgresql"), "user"),
        (("service", "add", "orders", "--kind", "postgresql", "--user", "x"), "PROJECT/SERVICE"),
        (("service", "add", "../etc/x", "--kind", "postgresql", "--user", "x"), "service project"),
        (("service", "add", "acme/orders", "--kind", "oracle", "--user", "x"), "oracle"),
        (("service", "add", "acme/orders", "--kind", "postgresql", "--user", "x", "--password", "secret"), "--password"),
        (("service",), "COMMAND"),
    ],
)
def test_wrong_input_names_the_option_and_writes_nothing(
    agent: Agent, services_dir: Path, argv: tuple[str, ...], word: str
) -> None:
    ended = agent(*argv)
    assert ended.status == 2
    assert word in ended.err
    assert not services_dir.exists() or list(services_dir.iterdir()) == []


def test_services_are_listed_and_wrong_files_named(agent: Agent, services_dir: Path) -> None:
    agent(*ADD, "--host", "db.internal")
    (services_dir / "broken.toml").write_text('service = "acme/x"\n[connection]\nkind = "postgresql"\nuserr = "x"\n')
    ended = agent("service", "list")
    assert ended.status == 2
    assert "acme/orders" in ended.out
    assert "db.internal:5432" in ended.out
    assert "broken.toml" in ended.err
    assert "userr" in ended.err


def test_engines_are_asked_how_they_are(agent: Agent, postgres: PostgresCluster, tmp_path: Path) -> None:
    password = tmp_path / "pw"
    password.write_text(postgres.password)
    wrong = tmp_path / "wrong"
    wrong.write_text("guess")
    place = ("--kind", "postgresql", "--host", postgres.host, "--port", str(postgres.port), "--user", postgres.superuser)
    agent("service", "add", "acme/well", *place, "--password-file", str(password))
    ended = agent("service", "check")
    assert ended.status == 0
    assert ended.out.startswith("acme/well: reachable, ")
    assert "primary" in ended.out
    agent("service", "add", "acme/locked", *place, "--password-file", str(wrong))
    agent("service", "add", "acme/away", *ADD[3:], "--host", "127.0.0.1", "--port", "1")
    assert agent("service", "check", "acme/well").status == 0
    locked = agent("service", "check", "acme/locked")
    assert locked.status == 5
    assert locked.out.startswith("acme/locked: engine.auth_failed: ")
    assert agent("service", "check", "acme/away").out.startswith("acme/away: engine.unreachable: ")
    everything = agent("service", "check")
    assert everything.status == 5
    assert len([line for line in everything.out.splitlines() if line.startswith("acme/")]) == 3


def test_a_service_that_has_no_file_is_not_found(agent: Agent) -> None:
    ended = agent("service", "check", "acme/nothing")
    assert ended.status == 3
    assert "strongroom-agent service add" in ended.err


def test_without_settings_it_says_how_to_name_the_directory(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["service", "list", "--config", str(tmp_path / "absent.toml")])
    assert ended.value.code == 2
    assert "--services-dir" in capsys.readouterr().err


def test_the_directory_comes_from_the_agents_settings(
    capsys: pytest.CaptureFixture[str], agent: Agent, services_dir: Path, nats_server: NatsServer, tmp_path: Path
) -> None:
    agent(*ADD)
    with pytest.raises(SystemExit) as ended:
        main(["service", "list", "--config", str(write_settings(tmp_path, nats_server, services_dir))])
    assert ended.value.code == 0
    assert "acme/orders" in capsys.readouterr().out


@pytest.mark.parametrize(
    "argv", [["--help"], ["run", "--help"], ["service", "--help"], ["service", "add", "--help"]], ids=" ".join
)
def test_help_has_examples(agent: Agent, argv: list[str]) -> None:
    ended = agent(*argv)
    assert ended.status == 0
    assert "example" in ended.out
    assert "strongroom-agent" in ended.out


def test_the_version_is_printed(agent: Agent) -> None:
    assert agent("version").out.startswith("strongroom-agent ")


@pytest.mark.parametrize("kind", OPTIONS_BY_KIND)
def test_every_connection_field_is_an_option(agent: Agent, kind: str) -> None:
    page = agent("service", "add", "--kind", kind, "--help").out
    (struct,) = [struct for struct in get_args(Connection) if struct.__struct_config__.tag == kind]
    for field in struct.__struct_fields__:
        assert f"--{field.replace('_', '-')} " in page


def test_an_option_says_what_its_field_says(agent: Agent) -> None:
    page = agent("service", "add", "--kind=postgresql", "--help").out
    for wanted in ("--host", "--password-file", "File with the password and nothing else", "(default: 5432)", "examples:"):
        assert wanted in " ".join(page.split())


def test_a_kind_takes_its_own_options_only(agent: Agent, services_dir: Path) -> None:
    ended = agent("service", "add", "acme/orders", "--kind", "qdrant", "--url", "http://q:6333", "--dump-dir", "/x")
    assert ended.status == 2
    assert "--dump-dir" in ended.err
    assert not services_dir.exists()


def test_an_option_that_is_a_list_may_be_repeated(agent: Agent, services_dir: Path) -> None:
    urls = ["http://q1:6333", "http://q2:6333"]
    ended = agent("service", "add", "acme/vectors", "--kind", "qdrant", "--url", urls[0], "--url", urls[1])
    assert ended.status == 0
    assert tomllib.loads((services_dir / "acme.vectors.toml").read_text())["connection"] == {"kind": "qdrant", "url": urls}


def test_the_base_install_is_enough(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "for name in ('typer', 'rich', 'click', 'aiobotocore', 'croniter'): sys.modules[name] = None\n"
        "from agents.cli import main\n"
        f"main(['service', 'add', 'a/b', '--kind', 'postgresql', '--user', 'x', '--services-dir', {str(tmp_path)!r}])\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=TOP, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr.count("Traceback")) == (0, 0), ended.stderr


def write_settings(directory: Path, nats_server: NatsServer, services_dir: Path) -> Path:
    path = directory / "agent.toml"
    settings = {
        "node": "node-1",
        "identity_file": str(directory / "identity.txt"),
        "services_dir": str(services_dir),
        "runtime_dir": str(directory / "run"),
        "nats": {"url": nats_server.url, "nkey_file": str(nats_server.node_seeds["node-1"])},
        "upload": {"spool_dir": str(directory / "spool")},
    }
    path.write_text(tomli_w.dumps(settings))
    return path


@contextmanager
def running(config: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """The agent as a service manager starts it, and its log."""
    log = config.with_suffix(".log")
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "agents", "run", "--config", str(config)],
            cwd=TOP,
            stdout=stderr,
            stderr=stderr,
            text=True,
        )
        try:
            yield process, log
        finally:
            process.kill()
            process.wait()


def test_an_idle_agent_is_small_and_ends_in_order_when_told(
    nats_server: NatsServer, services_dir: Path, tmp_path: Path
) -> None:
    with running(write_settings(tmp_path, nats_server, services_dir)) as (process, log):
        eventually_blocking(lambda: "agent.ready" in log.read_text(), 20)
        time.sleep(1)  # nothing to wait for: what is asked is what it needs when nothing happens
        status = Path(f"/proc/{process.pid}/status").read_text()
        (resident,) = [line for line in status.splitlines() if line.startswith("VmRSS")]
        assert int(resident.split()[1]) <= IDLE_RSS_MIB * 1024, resident
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert lines[-1]["event"] in {"agent.stopping", "bus.disconnected"}


def test_an_agent_that_cannot_start_ends_with_one_sentence(
    nats_server: NatsServer, services_dir: Path, tmp_path: Path
) -> None:
    config = write_settings(tmp_path, nats_server, services_dir)
    config.write_text(config.read_text().replace("runtime_dir", "runtime_directory"))
    with running(config) as (process, log):
        assert process.wait(15) == 2
    (line,) = log.read_text().splitlines()
    assert line.startswith("config.invalid: ")
    assert "agent.toml" in line


def test_a_setting_from_the_environment_is_named_when_it_is_wrong(
    nats_server: NatsServer, services_dir: Path, tmp_path: Path
) -> None:
    config = write_settings(tmp_path, nats_server, services_dir)
    ended = subprocess.run(
        [sys.executable, "-m", "agents", "run", "--config", str(config)],
        cwd=TOP,
        env={**os.environ, "STRONGROOM_AGENT_PARALLEL_RUNS": "none"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert "parallel_runs" in ended.stderr
