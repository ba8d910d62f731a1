"""What code that sends a message may do: reach the network where that is allowed, and nothing else of this machine.

An Apprise URL decides a lot: hosts to reach, and with some plugins files to read.  Whoever may set up a channel must not
thereby reach what only the coordinator reaches.  Names are not trusted: they may resolve to anything, and to something else
the next time, so what is looked at is each connection as it is made.

Python asks audit hooks before it connects, opens a file or starts a program, and an error of theirs stops it.  The hook
here is the process's, and concerns threads only while they are inside of `confined`.  It keeps plugins of Apprise to what
they are for; it is no sandbox for code that means harm.  Source: PEP 578; `socket.connect` has the address as it is used.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import apprise

from daemon.notifications.addresses import why_not

_CONNECTING: Final = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_FORBIDDEN: Final = frozenset(
    {
        *("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "pty.spawn"),
        *("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown"),
    }
)
_WRITES: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

_state = threading.local()
_installing = threading.Lock()
_installed = False


class NotAllowed(PermissionError):
    """What a message's code tried is not for it."""


@contextmanager
def confined(*, allow_private: bool) -> Iterator[None]:
    """Within the block, this thread connects to allowed addresses only, opens no files but Python's own and starts nothing.

    What it tries otherwise raises NotAllowed there.
    """
    _install()
    _state.allow_private = allow_private
    try:
        yield
    finally:
        _state.allow_private = None


def is_confined() -> bool:
    """Whether this thread is inside of the block."""
    return getattr(_state, "allow_private", None) is not None


def _install() -> None:
    """Once for the process: a hook stays as long as that."""
    global _installed  # noqa: PLW0603 - whether the interpreter has the hook is a fact about the whole process
    with _installing:
        if not _installed:
            sys.addaudithook(_hook)
            _installed = True


def _hook(event: str, args: tuple[Any, ...]) -> None:
    allow_private: bool | None = getattr(_state, "allow_private", None)
    if allow_private is None:
        return
    if event in _CONNECTING:
        _check_address(args[1], allow_private=allow_private)
    elif event == "open":
        _check_file(args[0], args[1], args[2])
    elif event in _FORBIDDEN:
        raise NotAllowed(f"a message must not do this: {event}")


def _check_address(address: Any, *, allow_private: bool) -> None:
    if address is None:
        return  # of a socket that is connected already
    host = address[0] if isinstance(address, tuple) and address else None
    if not isinstance(host, str):
        raise NotAllowed("a message goes over the network")
    reason = why_not(host, allow_private=allow_private)
    if reason:
        raise NotAllowed(reason)
    if not _is_numeric(host) and not allow_private:
        raise NotAllowed("a name was connected to without having been resolved")


def _is_numeric(host: str) -> bool:
    return ":" in host or all(part.isdigit() for part in host.split("."))


def _check_file(path: Any, mode: Any, flags: Any) -> None:
    if isinstance(path, int):
        return  # a descriptor that is open
    writes = bool(flags & _WRITES) if isinstance(flags, int) else isinstance(mode, str) and not set(mode) <= set("rbtU")
    name = os.path.abspath(os.fsdecode(path))  # noqa: PTH100 - what an open file's name is must not open anything itself
    if writes or not any(name == root or name.startswith(root + os.sep) for root in _READABLE):
        raise NotAllowed("a message must not open files")


def _readable() -> frozenset[str]:
    """Where Python finds modules and what they bring along, and what MIME types and the clock need.

    Authorities of TLS are read by OpenSSL itself, which asks no hook.
    """
    modules = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    packages = [str(Path(str(apprise.__file__)).resolve().parents[1])]
    system = ["/usr/share/zoneinfo", "/etc/localtime", "/etc/mime.types", os.devnull]
    return frozenset(os.path.abspath(path) for path in [*modules, *packages, *system])  # noqa: PTH100


_READABLE: Final = _readable()
