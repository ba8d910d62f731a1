"""Which addresses are taken, what is seen of them, and what a message may do on its way there."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from apprise.plugins import N_MGR

from contracts.errors import InvalidInput
from daemon.notifications.addresses import why_not
from daemon.notifications.confined import NotAllowed, confined
from daemon.notifications.reasons import of_status, reason_of
from daemon.notifications.schemes import SCHEMES
from daemon.notifications.targets import check_target

SECRET = "s3cr3t-t0ken"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"mailtos://user:{SECRET}@example.org?to=ops@example.org", "mailtos://example.org"),
        (f"json://user:{SECRET}@hooks.example.org:8080/{SECRET}?key={SECRET}", "json://hooks.example.org"),
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#ops", "slack://…"),
        ("https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", "slack://…"),
        (f"discord://4174216298/{SECRET}", "discord://…"),
        ("tgram://123456789:abcdefg_hijklmnop/12315544", "tgram://…"),
        (f"ntfy://{SECRET}", "ntfy://…"),
        (f"workflows://example.org:443/{SECRET}/{SECRET}", "workflows://example.org"),
    ],
)
def test_what_is_seen_of_an_address_is_its_kind_and_host_and_never_a_token(url: str, shown: str) -> None:
    assert check_target(url, allow_private=False) == shown


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("dbus://", "on the host of the coordinator"),
        ("gnome://", "on the host of the coordinator"),
        ("macosx://", "on the host of the coordinator"),
        ("windows://", "on the host of the coordinator"),
        ("syslog://", "on the host of the coordinator"),
        ("file:///etc/passwd", "no kind of address"),
        ("nonsense", "scheme://"),
        (f"https://example.org/{SECRET}", "plain web address"),
        (f"slack://{SECRET}", "lacks something"),
        (f"discord://4174216298/{SECRET}?template=/etc/passwd", "read a file"),
        (f"mailtos://user:{SECRET}@example.org?pgppub=/etc/passwd", "read a file"),
        (f"json://169.254.169.254/{SECRET}", "link-local"),
    ],
)
def test_an_address_that_cannot_be_taken_is_told_why_without_being_repeated(url: str, why: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_target(url, allow_private=True)
    assert caught.value.field == "url"
    assert why in caught.value.message
    assert SECRET not in caught.value.message


def test_every_kind_that_is_taken_is_known_and_none_is_of_the_desktop() -> None:
    check_target("json://example.org", allow_private=False)
    assert all(scheme in N_MGR for scheme in SCHEMES)
    assert not SCHEMES & {"dbus", "glib", "gio", "gnome", "growl", "kde", "macosx", "qt", "syslog", "windows", "blink1"}


def test_private_addresses_are_taken_only_where_the_settings_say_so() -> None:
    assert check_target("json://127.0.0.1/", allow_private=True)
    with pytest.raises(InvalidInput, match="public addresses only"):
        check_target("json://127.0.0.1/", allow_private=False)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "192.168.0.1",
        "100.64.0.1",
        "::1",
        "fd00::1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "2002:a00:1::",
    ],
)
def test_an_address_of_this_network_is_known_in_any_dress(address: str) -> None:
    assert why_not(address, allow_private=False)
    assert not why_not(address, allow_private=True)


@pytest.mark.parametrize("address", ["169.254.169.254", "fe80::1%eth0", "::ffff:169.254.169.254", "::", "224.0.0.1"])
def test_some_addresses_are_never_sent_to(address: str) -> None:
    assert why_not(address, allow_private=True)


def test_a_public_address_is_sent_to() -> None:
    assert not why_not("93.184.216.34", allow_private=False)


@pytest.fixture
def listening() -> socket.socket:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(5)
    return listener


def test_a_name_that_resolves_to_this_host_is_not_connected_to(listening: socket.socket) -> None:
    place = ("localhost", listening.getsockname()[1])
    with listening:
        with pytest.raises(NotAllowed, match="public addresses only"), confined(allow_private=False):
            socket.create_connection(place)
        with confined(allow_private=True):
            socket.create_connection(place).close()
        socket.create_connection(place).close()


@pytest.mark.parametrize(
    "act",
    [
        lambda path: path.read_text(),
        lambda path: path.write_text("x"),
        lambda path: path.unlink(),
        lambda path: os.open(path, os.O_RDONLY),
        lambda _: os.posix_spawn("/bin/true", ["true"], {}),
        lambda _: subprocess.run(["true"], check=True),
        lambda _: socket.socket(socket.AF_UNIX).connect("/nowhere"),
    ],
)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_message_touches_nothing_of_this_host(act: Callable[[Path], object], tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("kept")
    with pytest.raises(NotAllowed), confined(allow_private=True):
        act(path)
    assert path.read_text() == "kept"


def test_other_threads_are_not_confined(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("kept")
    read: list[str] = []
    with confined(allow_private=False):
        thread = threading.Thread(target=lambda: read.append(path.read_text()))
        thread.start()
        thread.join()
    assert read == ["kept"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("Failed to send JSON notification: Internal Server Error., error=500.", "answered 500: it has trouble of its own"),
        ("Failed to send Slack: , error=403.", "answered 403: it refuses the credentials"),
        ("Socket Exception: (535, b'5.7.8 bad')", "answered 535: it refuses user name and password"),
        ("SMTP recipient a@example.org was refused: 550 b'no'", "answered 550"),
        ("HTTPConnectionPool(host='x', port=1): … [Errno 111] Connection refused", "connection was refused"),
        ("Failed to resolve 'x' ([Errno -2] Name or service not known)", "cannot be resolved"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed", "not trusted"),
        ("Read timed out. (read timeout=4.0)", "did not answer in time"),
        ("something else", "did not say why"),
    ],
)
def test_a_failure_is_told_in_words_of_our_own(line: str, words: str) -> None:
    assert words in reason_of(["JSON POST URL: http://h/s3cr3t", line, "send() completed in 0.1s"])


def test_a_status_that_nobody_foresaw_is_told_too() -> None:
    assert of_status(418) == "the service answered 418: it does not take it"
