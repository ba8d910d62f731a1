"""CPU time and memory of processes, as the kernel counts them."""

from __future__ import annotations

import os
import re
import resource
from pathlib import Path

MIB = 1024 * 1024
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """User and system time of the process and of those of its children that it has waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(fields[at]) for at in (11, 12, 13, 14)) * _TICK_S


def children_cpu_seconds() -> float:
    """Of the programs that this process started and that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def reset_peak(pid: int) -> None:
    """Lets `peak_mib` begin anew (Linux: `clear_refs` 5)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_mib(pid: int) -> float:
    """The largest resident set since the last reset."""
    return _status(pid, "VmHWM")


def resident_mib(pid: int) -> float:
    return _status(pid, "VmRSS")


def _status(pid: int, field: str) -> float:
    match = re.search(rf"{field}:\s*(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(match[1]) / 1024 if match else 0.0
