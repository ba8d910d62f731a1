"""Traces cost nothing until somebody asks for them, and then go where the message goes."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from contracts.errors import InvalidInput
from contracts.tracing import TRACEPARENT, TracingSettings, carry, continued, mark_failed, span, tracing

NOWHERE = TracingSettings(otlp_endpoint="http://127.0.0.1:9", sample_ratio=1)
THEIRS = f"00-{'ab' * 16}-{'cd' * 8}-01"


def trace_of(headers: dict[str, str] | None) -> str:
    assert headers is not None
    return headers[TRACEPARENT].split("-")[1]


def test_without_settings_nothing_is_added_to_any_message() -> None:
    with continued({TRACEPARENT: THEIRS}), span("backup.run", project="acme") as untraced:
        untraced.set(size_bytes=1)
        mark_failed("dump.failed", "it did not work")
        assert carry({"Nats-Msg-Id": "1"}) == {"Nats-Msg-Id": "1"}
        assert carry() is None


async def test_a_span_is_carried_in_the_headers_and_continued_from_them() -> None:
    async with tracing(NOWHERE, program="test", version="1.0.0", instance="one"):
        with span("request.publish"):
            headers = carry({"Nats-Msg-Id": "1"})
        assert headers is not None
        assert headers["Nats-Msg-Id"] == "1"
        with continued(headers), span("backup.run"):
            assert trace_of(carry()) == trace_of(headers)
        with span("something.else"):
            assert trace_of(carry()) != trace_of(headers)
        assert carry() is None
    assert carry() is None


async def test_a_part_of_a_trace_is_never_a_trace_of_its_own() -> None:
    async with tracing(NOWHERE, program="test", version="1.0.0", instance="one"):
        with span("event.publish", within=True):
            assert carry() is None
        with span("report.handle"), span("event.publish", within=True):
            assert carry() is not None


async def test_headers_that_are_no_trace_context_change_nothing() -> None:
    async with tracing(NOWHERE, program="test", version="1.0.0", instance="one"):
        for broken in ("", "00-xyz", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"):
            with continued({TRACEPARENT: broken}), span("backup.run"):
                assert trace_of(carry()) != "0" * 32


async def test_programs_in_one_process_do_not_meet() -> None:
    inside = asyncio.Event()

    async def traced() -> None:
        async with tracing(NOWHERE, program="test", version="1.0.0", instance="one"):
            inside.set()
            await asyncio.sleep(0.01)

    task = asyncio.create_task(traced())
    await inside.wait()
    with span("backup.run"):
        assert carry() is None
    await task


async def test_what_is_sampled_out_is_so_for_all_that_take_part() -> None:
    never = TracingSettings(otlp_endpoint="http://127.0.0.1:9", sample_ratio=0)
    async with tracing(never, program="test", version="1.0.0", instance="one"):
        with span("request.publish"):
            headers = carry()
        assert headers is not None
        flags = int(headers[TRACEPARENT].rpartition("-")[2], 16)
        assert not flags & 1, "the bit that says: sampled"


def test_an_endpoint_that_is_no_url_is_told_of_by_its_setting() -> None:
    with pytest.raises(InvalidInput) as told:
        TracingSettings(otlp_endpoint="127.0.0.1:4318")
    assert told.value.field == "tracing.otlp_endpoint"


def test_traces_without_their_library_say_what_to_install() -> None:
    code = (
        "import sys, asyncio\n"
        "sys.modules['opentelemetry.sdk.trace'] = None\n"
        "from contracts.errors import InvalidInput\n"
        "from contracts.tracing import tracing, TracingSettings\n"
        "async def main():\n"
        "    settings = TracingSettings(otlp_endpoint='http://127.0.0.1:9')\n"
        "    async with tracing(settings, program='p', version='1', instance='i'):\n"
        "        pass\n"
        "try:\n"
        "    asyncio.run(main())\n"
        "except InvalidInput as exc:\n"
        "    print(exc, exc.field)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "pip install 'strongroom[otel]'" in ended.stdout
    assert ended.stdout.endswith("tracing\n")
