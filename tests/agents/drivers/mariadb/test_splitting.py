"""Cutting a dump as it flows: the same parts however the bytes come."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.drivers.mariadb.splitting import DumpSplitter

_MAIN = b"""-- MariaDB dump
CREATE TABLE `t` (
  `id` int DEFAULT nextval(`shop`.`ids`),
  `b` int DEFAULT lastval(`shop`.`ids`) COMMENT 'nextval(`shop`.`x`)',
  `c` int DEFAULT nextval(`other`.`ids`)
);
INSERT INTO `t` VALUES
(1,'  `id` int DEFAULT nextval(`shop`.`ids`)'),
(2,'\\n-- Dumping events for database \\'shop\\'');
"""
_EVENTS = b"-- Dumping events for database 'shop'\n--\nDELIMITER ;;\nCREATE EVENT `e` ;;\nDELIMITER ;\n\n--\n"
_ROUTINES = b"-- Dumping routines for database 'shop'\n--\nCREATE FUNCTION f;\n"
_VIEWS = [
    b"\n--\n-- Final view structure for view `one`\n--\n\nCREATE VIEW `one`;\n",
    b"\n--\n-- Final view structure for view `two`\n--\n\nCREATE VIEW `two`;\n",
]
_END = b"-- Dump completed on 2026-11-22  0:05:12\n"
_SANDBOX = b"/*M!999999\\- enable the sandbox mode */ \n"
_DUMP = _SANDBOX + _MAIN + _EVENTS + _ROUTINES + b"".join(_VIEWS) + _END


@pytest.mark.parametrize("size", [1, 2, 7, 64, 1000, 10_000])
def test_the_parts_are_the_same_however_the_bytes_come(tmp_path: Path, size: int) -> None:
    with DumpSplitter(tmp_path, knows_sandbox=True) as splitter:
        main = b"".join(splitter.feed(_DUMP[at : at + size]) for at in range(0, len(_DUMP), size)) + splitter.end()
        assert main == _SANDBOX + _MAIN
        assert b"".join(splitter.events()) == _EVENTS
        assert splitter.routines() == _ROUTINES
        assert splitter.views() == [_VIEWS[0], _VIEWS[1] + _END]
        assert splitter.missing() == ""


@pytest.mark.parametrize("size", [1, 13, 10_000])
def test_only_defaults_of_columns_get_the_new_name(tmp_path: Path, size: int) -> None:
    with DumpSplitter(tmp_path, knows_sandbox=True, rename=("shop", "new`one")) as splitter:
        main = b"".join(splitter.feed(_DUMP[at : at + size]) for at in range(0, len(_DUMP), size)) + splitter.end()
    wanted = _MAIN.replace(b"`id` int DEFAULT nextval(`shop`", b"`id` int DEFAULT nextval(`new``one`", 1)
    wanted = wanted.replace(b"lastval(`shop`", b"lastval(`new``one`")
    assert main == _SANDBOX + wanted


def test_lines_of_any_length_pass_without_being_held(tmp_path: Path) -> None:
    line = b"(1,'" + b"x" * 300_000 + b"'),\n"
    with DumpSplitter(tmp_path, knows_sandbox=True, rename=("shop", "new")) as splitter:
        passed = sum(len(splitter.feed(part)) for part in (_MAIN + b"INSERT INTO `t` VALUES\n", line[:280_000]))
        assert passed > 250_000
        rest = splitter.feed(line[280_000:]) + splitter.feed(_EVENTS + _ROUTINES + _END) + splitter.end()
        assert rest.endswith(b"'),\n")


def test_a_client_that_does_not_know_the_sandbox_is_not_told_of_it(tmp_path: Path) -> None:
    with DumpSplitter(tmp_path, knows_sandbox=False) as splitter:
        assert splitter.feed(_DUMP) + splitter.end() == _MAIN


@pytest.mark.parametrize("cut", [0, 10, len(_SANDBOX + _MAIN), len(_DUMP) - len(_END), len(_DUMP) - 38])
def test_a_dump_that_ends_early_is_told(tmp_path: Path, cut: int) -> None:
    with DumpSplitter(tmp_path, knows_sandbox=True) as splitter:
        splitter.feed(_DUMP[:cut])
        splitter.end()
        assert splitter.missing() != ""


@pytest.mark.parametrize("size", [1, 50, 10_000])
def test_triggers_lose_the_name_of_their_database_and_nothing_else(tmp_path: Path, size: int) -> None:
    head = b"\nDELIMITER ;;\n/*!50003 CREATE*/ /*!50017 DEFINER=`a TRIGGER b`@`%`*/ /*!50003 "
    words = b"SELECT 'TRIGGER shop.x BEFORE INSERT ON shop.t FOR EACH ROW'"
    body = b" FOR EACH ROW INSERT INTO `shop`.`log` " + words + b" */;;\nDELIMITER ;\n"
    triggers = [
        (b"TRIGGER `sh``.op`.`a` BEFORE INSERT ON `sh``.op`.`t`", b"TRIGGER `a` BEFORE INSERT ON `t`"),
        (b"trigger IF NOT EXISTS shop . a\nAFTER\tDELETE ON t", b"trigger IF NOT EXISTS a\nAFTER\tDELETE ON t"),
        (b"TRIGGER a AFTER UPDATE ON \xc3\xb6 . t", b"TRIGGER a AFTER UPDATE ON t"),
        (b"TRIGGER /* odd */ a AFTER UPDATE ON t", b"TRIGGER /* odd */ a AFTER UPDATE ON t"),
    ]
    given = b"".join(head + one + body for one, _ in triggers)
    data = _SANDBOX + _MAIN + given + _EVENTS + _ROUTINES + _END
    with DumpSplitter(tmp_path, knows_sandbox=True) as splitter:
        main = b"".join(splitter.feed(data[at : at + size]) for at in range(0, len(data), size)) + splitter.end()
        assert main == _SANDBOX + _MAIN + b"".join(head + wanted + body for _, wanted in triggers)
        assert splitter.missing() == ""
