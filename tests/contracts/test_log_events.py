"""Every line of every log can be searched for: its event is a constant of the form `noun.verbed`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(path for package in ("contracts", "daemon", "agents") for path in (ROOT / package).rglob("*.py"))
METHODS = frozenset({"debug", "info", "warning", "error", "exception", "critical", "fatal", "msg", "log"})
EVENT = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")


def log_calls(tree: ast.AST) -> Iterator[ast.Call]:
    """Calls on what is named `log`, or `..._log`, or on a logger that is made and used at once."""
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in METHODS):
            continue
        of = ast.unparse(node.func.value)
        if re.search(r"(^|[._])log(ger)?$", of) or "get_logger(" in of:
            yield node


def faults_of(path: Path) -> list[str]:
    faults = []
    for call in log_calls(ast.parse(path.read_text())):
        event = call.args[0] if call.args else None
        constant = event.value if isinstance(event, ast.Constant) else None
        if not isinstance(constant, str) or not EVENT.fullmatch(constant) or len(call.args) > 1:
            faults.append(f"{path.relative_to(ROOT)}:{call.lineno}: {ast.unparse(call)[:100]}")
    return faults


def test_every_log_line_has_a_constant_event_in_dot_case() -> None:
    assert len(SOURCES) > 200
    assert sum(1 for path in SOURCES for _ in log_calls(ast.parse(path.read_text()))) > 150
    assert not [fault for path in SOURCES for fault in faults_of(path)]


@pytest.mark.parametrize(
    "line",
    [
        'log.info(f"backup.{verb}")',
        "log.info(event)",
        'log.warning("Backup failed")',
        'log.info("failed")',
        'self._log.error("backup.failed", exc)',
        'structlog.get_logger().info("Done", size=1)',
    ],
)
def test_what_is_no_constant_in_dot_case_is_found(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "module.py").write_text(line)
    assert faults_of(tmp_path / "module.py")
