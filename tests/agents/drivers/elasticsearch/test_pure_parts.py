"""What needs no server: lines, settings, names, sizes of pages, and which rights are asked for."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.drivers.elasticsearch.check import require_names
from agents.drivers.elasticsearch.cluster import ClusterFacts, reason_of
from agents.drivers.elasticsearch.index_settings import plan_settings
from agents.drivers.elasticsearch.lines import described, description, one_line, pack_hits, parse_document, parse_index
from agents.drivers.elasticsearch.metadata import is_managed
from agents.drivers.elasticsearch.names import leftovers_of, path_chunks, replaced_name, scratch_name, why_not
from agents.drivers.elasticsearch.page_size import MOST_DOCUMENTS, TARGET_BYTES, PageSize
from agents.drivers.http_engine import EngineRefused
from contracts.errors import Corrupt, InvalidInput
from contracts.records import RestoreTarget
from tests.agents.drivers.elasticsearch.archives import index_record
from tests.agents.drivers.elasticsearch.rights import role


def test_a_description_is_a_json_string_that_holds_json() -> None:
    line = described(b'{"i":{"settings":{"x":"\xc3\xb6"}}}')
    assert json.loads(json.loads(line)) == {"i": {"settings": {"x": "ö"}}}
    assert description(line) == b'{"i":{"settings":{"x":"\xc3\xb6"}}}'
    assert description(b' {"i":{}} \n') == b'{"i":{}}'


@pytest.mark.parametrize("line", [b"", b"{", b'"{"', b"[]", b"{}", b'{"a":{},"b":{}}', b'"\xff"'])
def test_what_describes_no_index_is_corrupt(line: bytes) -> None:
    with pytest.raises(Corrupt):
        parse_index(line)


def test_a_document_keeps_its_bytes() -> None:
    document = parse_document(
        b'{"_index":"x","sort":[1],"_id":"a\\"b","_routing":"r","_source":{"n": 1.10,"n": 1e400}}', "data"
    )
    assert bytes(document.id) == b'"a\\"b"'
    assert bytes(document.routing) == b'"r"'
    assert bytes(document.source) == b'{"n": 1.10,"n": 1e400}'


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=30), st.integers(1, 100))
def test_hits_are_cut_at_line_boundaries(hits: list[bytes], limit: int) -> None:
    hits = [hit.replace(b"\n", b"-") for hit in hits]
    pieces = list(pack_hits([msgspec.Raw(hit) for hit in hits], limit))
    assert b"".join(pieces) == b"".join(hit + b"\n" for hit in hits)
    assert all(len(piece) <= limit or piece.count(b"\n") == 1 for piece in pieces)


def test_line_breaks_between_values_become_spaces() -> None:
    assert json.loads(one_line(b'{\r\n"a": "b\\n"\n}')) == {"a": "b\n"}
    assert b"\n" not in one_line(b'{\r\n"a": "b\\n"\n}')


def test_settings_are_given_when_they_do_no_harm() -> None:
    plan = plan_settings(
        {
            "index": {
                "uuid": "x",
                "creation_date": "1",
                "provided_name": "a",
                "version": {"created": "1", "upgraded": "2"},
                "resize": {"source": {"name": "b"}},
                "number_of_shards": "3",
                "number_of_replicas": "2",
                "refresh_interval": "5s",
                "lifecycle": {"name": "thirty"},
                "blocks": {"write": "true"},
                "routing": {"allocation": {"require": {"box": "warm"}, "initial_recovery": {"_id": "n"}}},
                "analysis": {"analyzer": {"a": {"type": "custom", "filter": ["x"]}}},
            }
        }
    )
    assert plan.creating == {
        "index.number_of_shards": "3",
        "index.analysis.analyzer.a.type": "custom",
        "index.analysis.analyzer.a.filter": ["x"],
        "index.hidden": "true",
        "index.number_of_replicas": "0",
        "index.refresh_interval": "-1",
        "index.default_pipeline": "_none",
        "index.final_pipeline": "_none",
        "index.translog.durability": "async",
    }
    assert plan.placing["index.number_of_replicas"] == "2"
    assert plan.placing["index.refresh_interval"] == "5s"
    assert plan.placing["index.lifecycle.name"] == "thirty"
    assert plan.placing["index.blocks.write"] == "true"
    assert plan.placing["index.default_pipeline"] is None
    assert plan.placed == {"index.routing.allocation.require.box": "warm"}


def test_a_searchable_snapshot_comes_back_as_an_index() -> None:
    plan = plan_settings({"index.store.type": "snapshot", "index.store.snapshot.repository_name": "r"})
    assert not [name for name in plan.creating if "store" in name]


@pytest.mark.parametrize("name", ["orders", ".ds-x-000001", "größe'n&50%=[ä]+$~!@{}();^`", "a" * 255])
def test_names_that_indices_may_have(name: str) -> None:
    assert why_not(name) == ""


def test_leftovers_are_known_by_the_name_that_they_were_for() -> None:
    mine = [scratch_name("20261122T000512Z-k7xq", "orders"), replaced_name("20261122T000512Z-k7xq", "orders")]
    others = [scratch_name("20261122T000512Z-k7xq", "order"), "orders"]
    assert leftovers_of([*mine, *others], "orders") == (mine[:1], mine[1:])
    assert all(why_not(name) == "" for name in mine)


@given(st.lists(st.text(min_size=1, max_size=80), max_size=60))
def test_names_go_into_requests_that_are_short_enough(names: list[str]) -> None:
    chunks = list(path_chunks(names))
    assert [name for chunk, _ in chunks for name in chunk] == names
    assert all(len(path) < 4000 for _, path in chunks)


@given(st.integers(0, 10**12), st.integers(0, 10**9), st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 10**9))))
def test_pages_have_between_one_document_and_as_many_as_are_allowed(
    stored: int, documents: int, seen: list[tuple[int, int]]
) -> None:
    size = PageSize(stored_bytes=stored, documents=documents)
    assert 1 <= size.documents <= 500
    for count, taken in seen:
        size.saw(count, taken)
        assert 1 <= size.documents <= MOST_DOCUMENTS
        if count:
            assert size.documents == 1 or size.documents * taken <= TARGET_BYTES * count


def test_an_index_may_allow_fewer_documents_a_page() -> None:
    size = PageSize(stored_bytes=0, documents=10, most=50)
    size.saw(50, 50)
    assert size.documents == 50


@pytest.mark.parametrize(
    ("distribution", "number", "has"),
    [
        ("elasticsearch", "7.11.2", False),
        ("elasticsearch", "7.12.0", True),
        ("elasticsearch", "9.0.1", True),
        ("opensearch", "2.19.1", False),
        ("opensearch", "3.3.0", True),
        ("elasticsearch", "8.x", False),
    ],
)
def test_which_versions_read_a_point_in_time(distribution: str, number: str, has: bool) -> None:
    assert ClusterFacts(distribution=distribution, number=number, uuid="", name="").has_shard_doc is has


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('{"error":{"type":"a","reason":"b","caused_by":{"type":"c","reason":"d"}},"status":400}', "b: d"),
        ('{"error":"no handler found"}', "no handler found"),
        ("<html>Bad gateway</html>", "status 502"),
        ("", "status 502"),
        ('{"error":{}}', "status 502"),
    ],
)
def test_the_reason_is_found_in_what_the_cluster_said(body: str, words: str) -> None:
    assert reason_of(EngineRefused(502, "refused", body)) == words


def test_what_the_cluster_made_itself_is_known() -> None:
    assert is_managed("logs", {"template": {}, "_meta": {"managed": True}})
    assert is_managed("hot", {"policy": {"_meta": {"managed": True}}})
    assert is_managed(".monitoring", {})
    assert not is_managed("mine", {"_meta": {"owner": "me"}})


def test_the_role_for_backups_cannot_change_an_index() -> None:
    backup = role("backup-role")
    assert not backup.allows("POST", "/orders/_bulk")
    assert not backup.allows("DELETE", "/orders")
    assert not backup.allows("PUT", "/orders/_settings")
    assert backup.allows("POST", "/_search")


@pytest.mark.parametrize(
    ("rename", "words"),
    [
        ({"orders": "Orders"}, "capital"),
        ({"orders": "a/b"}, "has '/' in it"),
        ({"orders": "_x"}, "begins with '_'"),
        ({"orders": ""}, "is no name"),
        ({"orders": "ü" * 128}, "255 bytes"),
        ({"orders": "strongroom-restoring-x"}, "another name"),
        ({"orders": "empty"}, "both be called"),
        ({"missing": "x"}, "not among the artifacts"),
        ({"cluster": "x"}, "keep their names"),
    ],
)
def test_names_that_no_index_can_have_are_refused(rename: dict[str, str], words: str) -> None:
    records = [
        index_record("orders", b""),
        index_record("empty", b""),
        msgspec.structs.replace(index_record("cluster", b""), kind="cluster"),
    ]
    target = RestoreTarget(project="acme", service="search", node="node-1", rename=rename)
    with pytest.raises(InvalidInput) as caught:
        require_names(records, target)
    assert caught.value.field == "rename"
    assert words in caught.value.message
