"""What can go wrong with the servers that Strongroom runs itself.

StrongroomError
├── InvalidInput
│   └── ProgramMissing     a server program is absent or too old: install it, or name its path
├── Conflict
│   └── DataDirBusy        another Strongroom works in this data directory
└── Unavailable
    └── ChildFailed        a child process did not start, died, or gave no sign of readiness
        └── PortTaken      ... because somebody else has its port: start again with others
"""

from __future__ import annotations

from pathlib import Path

from contracts.errors import Conflict, InvalidInput, Unavailable


class ProgramMissing(InvalidInput):
    """A server program is absent or too old."""

    def __init__(self, program: str, message: str) -> None:
        super().__init__("config.invalid", message, field=program)
        self.program = program


class DataDirBusy(Conflict):
    """Another process holds the data directory; two servers on the same files would destroy them."""

    def __init__(self, path: Path) -> None:
        message = f"{path} is in use by another Strongroom process: stop that one, or choose another directory"
        super().__init__("config.invalid", message, field="data_dir")
        self.path = path


class ChildFailed(Unavailable):
    """A child process did not start or did not stay; `detail` is the end of what it wrote to its log."""

    def __init__(self, code: str, child: str, what: str, *, log_tail: str, exit_status: int | None = None) -> None:
        super().__init__(code, f"{child} {what}", detail=log_tail or None)
        self.child = child
        self.status = exit_status
        self.log_tail = log_tail

    def __str__(self) -> str:
        return f"{super().__str__()}\n{self.log_tail}" if self.log_tail else super().__str__()


class PortTaken(ChildFailed):
    """The child ended because another process listens on one of its ports."""
