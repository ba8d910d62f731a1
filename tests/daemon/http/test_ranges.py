"""Which bytes a range means, and what a file is called."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from contracts.records import ArtifactRecord, BackupRecord, RunState, Trigger
from contracts.services import PostgreSQLOptions
from daemon.artifacts.names import content_disposition, file_name
from daemon.http.ranges import Span, wanted_span

SIZES = st.integers(1, 10_000)


@given(SIZES, st.integers(0, 12_000), st.integers(0, 12_000))
def test_a_span_is_what_its_header_says_cut_at_the_end(size: int, first: int, last: int) -> None:
    assume(first <= last and first < size)
    content = bytes(size)
    span = wanted_span(f"bytes={first}-{last}", "", "", size)
    assert span is not None
    assert len(content[span.first : span.end]) == len(content[first : last + 1])
    assert span.first == first


@given(SIZES, st.integers(1, 12_000))
def test_a_suffix_is_the_last_bytes_at_most_all(size: int, suffix: int) -> None:
    assert wanted_span(f"bytes=-{suffix}", "", "", size) == Span(max(0, size - suffix), size)


@given(SIZES, st.integers(0, 10**15))
def test_what_lies_behind_the_end_is_no_range(size: int, beyond: int) -> None:
    with pytest.raises(ValueError, match="have none"):
        wanted_span(f"bytes={size + beyond}-", "", "", size)


@pytest.mark.parametrize(
    "header", ["", "bytes=", "bytes=-", "bytes=5-2", "bytes=0-1,5-6", "items=0-1", "bytes=a-b", "bytes=٣-", "bytes 0-1"]
)
def test_what_makes_no_sense_or_asks_for_several_is_the_whole(header: str) -> None:
    assert wanted_span(header, "", "", 100) is None


@given(st.text(max_size=200))
def test_no_header_is_an_error_of_another_kind(header: str) -> None:
    try:
        span = wanted_span(header, "", "", 100)
    except ValueError:
        return
    assert span is None or 0 <= span.first < span.end <= 100


def test_a_range_counts_only_for_the_bytes_it_was_made_for() -> None:
    assert wanted_span("bytes=0-1", '"a"', '"a"', 100) == Span(0, 2)
    assert wanted_span("bytes=0-1", '"b"', '"a"', 100) is None


@given(st.text(max_size=80))
def test_a_file_name_is_ascii_on_the_wire_whatever_an_artifact_is_called(name: str) -> None:
    header = content_disposition(name or "x")
    header.encode("ascii")
    assert "\r" not in header
    assert "\n" not in header
    plain = header.split('"')[1]
    assert not set(plain) & set('\\%"')


def test_a_file_name_says_where_the_bytes_are_from_and_leads_nowhere_else() -> None:
    backup = BackupRecord(
        id="20261122T000512Z-k7xq",
        project="acme",
        service="orders",
        kind="postgresql",
        state=RunState.COMPLETED,
        trigger=Trigger.MANUAL,
        requested_at=datetime(2026, 11, 22, tzinfo=UTC),
        node="db1",
        placement="",
        options=PostgreSQLOptions(),
        recipients=[],
        key_id="k",
    )
    artifact = ArtifactRecord(
        name="../../Bestellungen für\n2026\u202e",
        kind="database",
        format="pg_dump-custom",
        object_key="strongroom/v1/acme/orders/x/1/0001-Bestellungen-f-r.pgdump.zst.age",
        stored_bytes=1,
        plain_bytes=1,
        sha256="0" * 64,
    )
    name = file_name(backup, artifact, encrypted=False)
    assert name == "acme-orders-20261122T000512Z-k7xq-_.._Bestellungen für_2026_.pgdump"
    assert "filename*=UTF-8''acme-orders-" in content_disposition(name)
    assert file_name(backup, artifact, encrypted=True).endswith("2026_.pgdump.zst.age")
    nameless = msgspec.structs.replace(artifact, name="...")
    assert file_name(backup, nameless, encrypted=False) == "acme-orders-20261122T000512Z-k7xq-artifact.pgdump"
