"""What a restore asks for and its kind of backup cannot do is said before anything is touched."""

from __future__ import annotations

from typing import Any

import pytest

from agents.drivers.base import Capabilities
from agents.restore import require_capable
from contracts.errors import RunFailed
from contracts.records import RestoreTarget

WANTED: dict[str, Any] = {"rename": {"a": "b"}, "directory": "/srv/x", "paths": ["x"], "skip_roles": True}


def target(**wanted: Any) -> RestoreTarget:
    return RestoreTarget(project="acme", service="orders", node="node-1", **wanted)


@pytest.mark.parametrize("field", WANTED)
def test_what_a_kind_cannot_do_is_refused_by_name(field: str) -> None:
    with pytest.raises(RunFailed) as caught:
        require_capable(Capabilities(), target(**{field: WANTED[field]}))
    assert caught.value.code == "restore.unsupported"
    assert caught.value.field == field


@pytest.mark.parametrize("field", WANTED)
def test_what_it_can_do_passes(field: str) -> None:
    require_capable(Capabilities(rename=True, directory=True, paths=True, skip_roles=True), target(**{field: WANTED[field]}))


def test_a_plain_restore_asks_for_nothing_special() -> None:
    require_capable(Capabilities(), target(replace=True))
