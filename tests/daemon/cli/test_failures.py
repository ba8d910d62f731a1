"""Whatever goes wrong ends in a sentence, a document where one was asked for, and the status of its kind."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from contracts.errors import CODES, InvalidInput, branch_of
from daemon.cli import failures
from daemon.cli.hints import _HINTS, _WHERE_TO_LOOK, hint_for, step_after
from daemon.cli.terminal import Output, Terminal
from daemon.embedded.nkey_files import ensure_user_seed
from tests.daemon.cli.calling import TOP, Strongroom, Zygote
from tests.daemon.cli.conftest import write_operator_config
from tests.servers.nats import NatsServer


@pytest.fixture
def alone(zygote: Zygote, tmp_path: Path, nats_server: NatsServer) -> Strongroom:
    """The command of an operator of a NATS server without any coordinator."""
    return Strongroom(zygote, tmp_path, write_operator_config(tmp_path / "operator.toml", nats_server))


def test_without_a_coordinator_it_says_how_to_start_one(alone: Strongroom) -> None:
    ended = alone("node", "list").failed(6, "bus.unavailable")
    assert "no coordinator is running" in ended.err
    assert "strongroom daemon" in ended.err
    alone("backup", "create", "acme/orders", "--json").failed(6, "bus.unavailable")
    assert "has a coordinator ever run on it?" in alone("events").failed(6, "bus.unavailable").err


def test_a_server_that_refuses_is_told_at_once_and_by_its_url(strongroom: Strongroom) -> None:
    began = time.monotonic()
    ended = strongroom("node", "list", STRONGROOM_NATS_URL="nats://127.0.0.1:1,127.0.0.1:2").failed(6, "bus.unavailable")
    assert "nats://127.0.0.1:1: connection refused; 127.0.0.1:2: connection refused" in ended.err
    assert time.monotonic() - began < 4


def test_a_server_that_never_answers_is_given_up(strongroom: Strongroom) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"nats://127.0.0.1:{silent.getsockname()[1]}"
        ended = strongroom("node", "list", STRONGROOM_NATS_URL=url).failed(6, "bus.unavailable")
        assert f"{url}: it takes connections and says nothing" in ended.err


def test_a_url_that_is_none_is_told(strongroom: Strongroom) -> None:
    strongroom("node", "list", STRONGROOM_NATS_URL="nats://127.0.0.1:notaport").failed(6, "bus.unavailable")
    assert "nats.url is empty" in strongroom("node", "list", STRONGROOM_NATS_URL=",").failed(6, "bus.unavailable").err


def test_an_unknown_nkey_is_denied_and_named_by_its_file(strongroom: Strongroom, tmp_path: Path) -> None:
    seed = tmp_path / "stranger.nk"
    ensure_user_seed(seed)
    ended = strongroom("node", "list", STRONGROOM_NATS_NKEY_FILE=str(seed)).failed(7, "request.forbidden")
    assert str(seed) in ended.err
    assert seed.read_text().strip() not in ended.err


def test_bad_usage_shows_how_it_is_written(strongroom: Strongroom) -> None:
    ended = strongroom("backup", "create").failed(2)
    assert "Missing argument 'SERVICE'" in ended.err
    assert "strongroom backup create [OPTIONS] SERVICE" in ended.err
    assert "strongroom backup create --help" in ended.err
    assert "Did you mean 'create'?" in strongroom("backup", "creat", "x").failed(2).err
    assert strongroom("backup", "list", "--limit", "0", "--json").failed(2).error["field"] == "limit"
    assert strongroom("backup", "list", "--nonsense", "--json").failed(2).error["code"] == "input.invalid"


def test_a_group_without_a_command_shows_its_help(strongroom: Strongroom) -> None:
    for argv in ((), ("backup",), ("restores",)):
        assert strongroom(*argv).failed(2).err.startswith("Usage: strongroom")


def test_debugging_shows_where_an_error_came_from(strongroom: Strongroom) -> None:
    for ended in (
        strongroom("project", "show", "nowhere", "--debug"),
        strongroom("--debug", "project", "show", "nowhere"),
        strongroom("project", "show", "nowhere", STRONGROOM_DEBUG="1"),
    ):
        assert ended.status == 3
        assert "Traceback" in ended.err
        assert ended.out == ""


def test_an_unforeseen_error_is_one_line_without_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    error = KeyError("surprise\nwith a second line")
    assert failures.report_unforeseen(Terminal(), error, debug=False) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("internal: Strongroom met an error it does not know (KeyError: ")
    assert len(told.err.splitlines()) == 1
    assert "--debug" in told.err
    failures.report_unforeseen(Terminal(Output.JSON), error, debug=False)
    assert capsys.readouterr().err.startswith('{"error":{"code":"internal"')


def test_details_keep_their_lines_and_lose_their_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    error = InvalidInput("input.invalid", "no\x1b[31m", detail="first\nsecond\x07\n")
    assert failures.report(Terminal(), error, debug=False) == 2
    assert capsys.readouterr().err == "input.invalid: no\\x1b[31m\n  first\n  second\\x07\n"


def test_every_status_of_every_code_is_documented() -> None:
    documented = {status for status, _ in failures.EXIT_STATUSES}
    assert {branch_of(code).exit_status for code in CODES} <= documented


def test_hints_are_about_codes_that_exist_and_stay_away_where_the_message_has_one() -> None:
    assert set(_HINTS) | set(_WHERE_TO_LOOK) <= set(CODES)
    assert set(_HINTS).isdisjoint(_WHERE_TO_LOOK)
    assert hint_for("project.not_found", "there is no such project")
    assert hint_for("project.not_found", "run `strongroom project list`") == ""
    assert hint_for("run.cancelled", "somebody cancelled it") == ""


SELF_EXPLAINED = {
    # The message names what is wrong, and where; there is no command that would mend it.
    *("input.invalid", "input.malformed", "config.invalid", "key.invalid", "restore.unsupported"),
    *("engine.refused", "engine.unsupported", "upload.occupied", "upload.too_large", "request.forbidden"),
    # Waiting is what helps, and the message says for how long.
    *("access.limited", "access.busy"),
    # It is what somebody wanted.
    "run.cancelled",
    # Told to agents, programs and browsers, not to this command.
    *("node.identity_changed", "schema.not_found", "request.key_reused", "request.in_progress"),
    *("request.unfinished", "request.answer_gone"),
}


@pytest.mark.parametrize("code", [code for code in CODES if code not in SELF_EXPLAINED])
def test_every_error_has_a_next_step(code: str) -> None:
    assert step_after(code, "words")
    assert step_after(code, "run `this`") == ""


def test_without_the_extra_one_sentence_says_what_to_install() -> None:
    for module in ("typer", "rich"):
        code = f"import sys; sys.modules[{module!r}] = None; import daemon.cli; daemon.cli.main()"
        ended = subprocess.run([sys.executable, "-c", code], cwd=TOP, capture_output=True, text=True, check=False)
        assert ended.returncode == 2
        assert ended.stdout == ""
        assert len(ended.stderr.splitlines()) == 1
        assert "extra `daemon`" in ended.stderr
