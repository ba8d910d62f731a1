"""What a project stores: figures everywhere, a bar for those who look."""

from __future__ import annotations

import msgspec

from contracts.control import ServiceUsage, Usage, UsageCheck, UsageDifference
from contracts.policy.quota_plan import QuotaPlan
from daemon.cli.usage_views import draw_usage
from tests.daemon.cli.drawing import drawn

GIB = 1024**3
USAGE = Usage(
    project="acme",
    plan=QuotaPlan.LIGHTWEIGHT,
    quota_bytes=5 * 10**9,
    stored_bytes=2 * GIB,
    reserved_bytes=GIB // 2,
    services=[ServiceUsage(service="orders", backups=12, size_bytes=2 * GIB)],
)


def shown(usage: Usage, *, terminal: bool = False) -> str:
    return drawn(lambda console: draw_usage(console, usage), terminal=terminal)


def test_sums_and_services_are_told() -> None:
    lines = shown(USAGE).splitlines()
    assert lines[:6] == [
        "Project acme",
        "quota          5 GB (4.66 GiB), the plan lightweight",
        "stored         2.00 GiB",
        "held for runs  512 MiB",
        "free           2.16 GiB",
        "taken          54 %",
    ]
    assert lines[-1].split() == ["acme/orders", "12", "2.00", "GiB"]


def test_a_bar_is_for_terminals() -> None:
    assert "━" in shown(USAGE, terminal=True)
    assert "━" not in shown(USAGE)


def test_more_than_it_may_store_is_said() -> None:
    over = msgspec.structs.replace(USAGE, quota_bytes=GIB)
    for terminal in (True, False):
        assert "none: 1.50 GiB more than it may store" in shown(over, terminal=terminal)


def test_a_check_that_finds_nothing_says_what_it_counted() -> None:
    check = UsageCheck(objects=24, found_bytes=2 * GIB, under_way_bytes=0, differences=[])
    out = shown(msgspec.structs.replace(USAGE, check=check))
    assert out.splitlines()[-1] == "✓ bucket and records agree: 24 objects counted, 2.00 GiB of completed backups"


def test_a_check_names_each_difference() -> None:
    difference = UsageDifference(
        prefix="strongroom/v1/acme/orders/x/", recorded_bytes=1234, found_bytes=0, problem="no object is there"
    )
    check = UsageCheck(objects=23, found_bytes=GIB, under_way_bytes=100, differences=[difference])
    out = shown(msgspec.structs.replace(USAGE, check=check))
    assert "✗ bucket and records disagree: 23 objects counted, 1.00 GiB of completed backups, 100 B of runs that" in out
    assert out.splitlines()[-1].split("  ")[0] == difference.prefix
    assert "1,234 B" in out
    assert out.endswith("no object is there\n")
