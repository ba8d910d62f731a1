"""Saying who is told of trouble: addresses come from files, pipes and keyboards, and are shown to nobody."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.daemon.cli.calling import Strongroom

SECRET = "hush-w0rd"


class _Hook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(500 if "broken" in self.path else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture(scope="module")
def hook() -> Iterator[str]:
    """Where a webhook listens."""
    server = HTTPServer(("127.0.0.1", 0), _Hook)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"json://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def name() -> str:
    return f"ops-{secrets.token_hex(4)}"


def write_url(strongroom: Strongroom, url: str) -> str:
    path = strongroom.home / "url.txt"
    path.write_text(f"{url}\n")
    return str(path)


def test_a_channel_is_added_listed_changed_tested_and_removed(strongroom: Strongroom, hook: str, name: str) -> None:
    added = strongroom("notify", "add", name, "--url-file", write_url(strongroom, f"{hook}/{SECRET}")).ok()
    assert added.out.startswith(f"Added channel {name}, json://127.0.0.1, id ")
    assert "strongroom notify test" in added.err
    listed = strongroom("notify", "list").ok().out
    assert name in listed
    tested = strongroom("notify", "test", name).ok()
    assert tested.out == "✓ json://127.0.0.1: the message was taken\n"
    strongroom("notify", "change", name, "--off", "--min-severity", "critical", "--kind", "failed").ok()
    (view,) = [each for each in strongroom.json("notify", "list")["channels"] if each["name"] == name]
    assert (view["enabled"], view["min_severity"], view["kinds"]) == (False, "critical", ["failed"])
    assert SECRET not in added.out + added.err + listed + tested.out + str(view)
    strongroom("notify", "remove", name).failed(2)
    strongroom("notify", "remove", name, "--yes").ok()
    assert name not in strongroom("notify", "list").ok().out


def test_a_test_message_that_is_not_taken_is_told_and_ends_with_6(strongroom: Strongroom, hook: str, name: str) -> None:
    strongroom("notify", "add", name, "--url-file", write_url(strongroom, f"{hook}/broken-{SECRET}")).ok()
    tested = strongroom("notify", "test", name).failed(6)
    assert "✗ json://127.0.0.1: the service answered 500" in tested.out
    assert SECRET not in tested.out + tested.err


def test_an_address_is_typed_unseen(strongroom: Strongroom, hook: str, name: str) -> None:
    ended = strongroom.on_terminal("notify", "add", name, types=f"{hook}/{SECRET}\n").ok()
    assert f"Added channel {name}" in ended.words.replace("\n", " ")


def test_an_address_is_never_taken_from_the_command_line_nor_guessed(strongroom: Strongroom, name: str) -> None:
    error = strongroom("notify", "add", name, "--json").failed(2, "input.invalid").error
    assert error["field"] == "url"
    assert "--url-file" in error["message"]
    strongroom("notify", "add", name, f"json://h/{SECRET}").failed(2)


def test_an_address_that_cannot_be_used_is_refused_with_a_reason(strongroom: Strongroom, name: str) -> None:
    ended = strongroom("notify", "add", name, "--url-file", write_url(strongroom, f"dbus://{SECRET}")).failed(2)
    assert "on the host of the coordinator" in ended.err
    assert SECRET not in ended.err


def test_a_channel_that_is_not_there_or_not_the_only_one_is_told(strongroom: Strongroom, hook: str, name: str) -> None:
    strongroom("notify", "test", name).failed(3, "channel.not_found")
    for _ in range(2):
        strongroom("notify", "add", name, "--url-file", write_url(strongroom, f"{hook}/x")).ok()
    assert "name one by its id" in strongroom("notify", "test", name).failed(2).err
    strongroom("notify", "change", name).failed(2, "input.invalid")


def test_a_ping_is_set_shown_changed_and_removed(strongroom: Strongroom, project: str, node: str) -> None:
    service = f"{project}/orders"
    strongroom("service", "add", service, "--kind", "postgresql", "--node", node).ok()
    strongroom("service", "ping", service).failed(3, "ping.not_found")
    url = write_url(strongroom, f"https://example.org/{SECRET}")
    done = strongroom("service", "set-ping", service, "--url-file", url, "--fail", "--method", "post").ok().out
    assert "POST https://example.org/…" in done
    assert "good backups, bad ones" in done
    strongroom("service", "set-ping", service, "--keep-url", "--start").ok()
    view = strongroom.json("service", "ping", service)
    assert (view["target"], view["method"], view["tell_failure"], view["tell_start"]) == (
        "https://example.org/…",
        "post",
        True,
        True,
    )
    assert SECRET not in done + str(view)
    strongroom("service", "set-ping", service, "--off", "--keep-url").failed(2)
    strongroom("service", "set-ping", service, "--off").ok()
    strongroom("service", "ping", service).failed(3, "ping.not_found")
