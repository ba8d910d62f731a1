"""The coordinator that leads is killed or stands still: another one takes over within 15 s, and a due time is one run."""

from __future__ import annotations

import signal
from datetime import timedelta

import pytest

from contracts import control
from contracts.policy.schedule import Daily
from contracts.records import DueState
from contracts.services import PostgreSQLOptions
from contracts.wire import utc_now
from tests.integration.platform import Platform, PlatformOperator
from tests.servers.postgres import Database
from tests.servers.waiting import eventually

HANDOVER_S = 15.0


def leads(platform: Platform, name: str) -> bool:
    """Whether the coordinator has ever held the scheduler's lease."""
    lines = platform.log(name).splitlines()
    return any("lease.acquired" in line and "scheduler" in line for line in lines)


async def due_in(operator: PlatformOperator, seconds: float) -> None:
    """The service is due once, so many seconds from now."""
    moment = utc_now() + timedelta(seconds=seconds)
    schedule = Daily(at=f"{moment:%H:%M:%S}")
    await operator.call(
        control.SERVICE_SET_SCHEDULE, control.ServiceSetSchedule(project="acme", service="orders", schedule=schedule)
    )


@pytest.mark.timeout(240)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_leader_that_is_gone_or_stands_still_is_replaced_within_15_s_and_its_due_time_leads_to_one_run(
    platform: Platform, orders: Database, number: signal.Signals
) -> None:
    platform.nats.set_ping_interval(2)
    platform.write_service()
    platform.start_coordinator("first")
    await eventually(lambda: leads(platform, "first"), HANDOVER_S)
    platform.start_coordinator("second")
    platform.start_agent()
    async with platform.operator() as operator:
        await operator.set_up("node-1", options=PostgreSQLOptions(include=[orders.name], globals=False))
        await operator.reached("node-1", "acme/orders")
        assert not leads(platform, "second")
        await due_in(operator, 2)
        platform.signal_one("first", number)
        await eventually(lambda: leads(platform, "second"), HANDOVER_S)

        async def is_done() -> bool:
            request = control.ServiceDues(project="acme", service="orders")
            past = (await operator.call_patiently(control.SERVICE_DUES, request)).past
            return [entry.state for entry in past] == [DueState.COMPLETED]

        # Questions that the server still sends to the one that stands still are asked again when it was cut off.
        await eventually(is_done, 90)
        if number is signal.SIGSTOP:
            # It wakes up with a lease that it believes to hold, and a due time in its hand.
            platform.signal_one("first", signal.SIGCONT)
            await eventually(lambda: "lease.lost" in platform.log("first"), HANDOVER_S)
            assert await is_done()
        types = [event.type for event in await operator.stored_events()]
        assert types.count("backup.requested") == types.count("backup.completed") == 1
        found = await operator.call_patiently(control.BACKUP_LIST, control.BackupList(project="acme"))
        assert len(found.backups) == 1
