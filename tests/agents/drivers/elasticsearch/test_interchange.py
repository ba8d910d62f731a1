"""Files of the real `elasticdump`, both ways."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.agents.drivers.elasticsearch.archives import index_record, pack, unpack
from tests.agents.drivers.elasticsearch.elasticdump_program import NoElasticdump, elasticdump, run_elasticdump
from tests.agents.drivers.elasticsearch.engine import SearchEngine
from tests.agents.drivers.playing import RUN_ID, back_up, feed


@pytest.fixture(scope="session")
def program() -> Path:
    try:
        return elasticdump()
    except NoElasticdump as exc:
        pytest.skip(f"NOT RUN HERE: there is no elasticdump: {exc}")


async def test_elasticdump_loads_what_was_backed_up(elasticsearch: SearchEngine, program: Path, tmp_path: Path) -> None:
    before = elasticsearch.index("orders")
    backup = await back_up(elasticsearch.driver())
    members = unpack({record.name: data for record, data in backup.artifacts}["orders"])
    (tmp_path / "index.json").write_bytes(members.pop("index.json"))
    (tmp_path / "data.ndjson").write_bytes(b"".join(members[name] for name in members if name.startswith("data-")))
    elasticsearch.node.ask("DELETE", "/orders")

    url = f"{elasticsearch.node.url}/orders"
    run_elasticdump(program, "--type=index", f"--input={tmp_path}/index.json", f"--output={url}")
    run_elasticdump(
        program, "--type=data", f"--input={tmp_path}/data.ndjson", f"--output={url}", "--limit=1000", "--support-big-int"
    )

    after = elasticsearch.index("orders")
    assert after["mappings"]["properties"] == before["mappings"]["properties"]
    assert after["aliases"] == before["aliases"]
    assert after["settings"] == before["settings"]
    assert after["documents"].keys() == before["documents"].keys()
    # It writes 1.10 as 1.1 and rounds big integers, which is why ours are not parsed.
    for key, source in before["documents"].items():
        assert after["documents"][key]["title"] == source["title"]
        assert after["documents"][key]["raw"]["text"] == source["raw"]["text"]


async def test_a_file_of_elasticdump_is_restored(elasticsearch: SearchEngine, program: Path, tmp_path: Path) -> None:
    before = elasticsearch.index("orders")
    url = f"{elasticsearch.node.url}/orders"
    run_elasticdump(program, "--type=index", f"--input={url}", f"--output={tmp_path}/index.json")
    run_elasticdump(
        program, "--type=data", f"--input={url}", f"--output={tmp_path}/data.json", "--limit=1000", "--support-big-int"
    )
    data = pack({name: (tmp_path / name).read_bytes() for name in ("index.json", "data.json")})
    elasticsearch.node.ask("DELETE", "/orders")

    record = index_record("orders", data)
    driver = elasticsearch.restoring_driver()
    await driver.check_restore([record], elasticsearch.target())
    async with driver.restore(record, elasticsearch.target(), RUN_ID) as sink:
        await feed(sink, data)
        outcome = await sink.finish()

    assert outcome["documents"] == len(before["documents"])
    after = elasticsearch.index("orders")
    assert after["mappings"]["properties"] == before["mappings"]["properties"]
    assert after["aliases"] == before["aliases"]
    assert after["settings"] == before["settings"]
    assert {key: source["title"] for key, source in after["documents"].items()} == {
        key: source["title"] for key, source in before["documents"].items()
    }


async def test_elasticdump_loads_templates_that_were_backed_up(
    elasticsearch: SearchEngine, program: Path, tmp_path: Path
) -> None:
    before = elasticsearch.metadata()
    backup = await back_up(elasticsearch.driver())
    members = unpack({record.name: data for record, data in backup.artifacts}["cluster"])
    elasticsearch.empty()
    for kind in ("component_template", "template", "index_template"):
        (tmp_path / kind).write_bytes(members[f"{kind}.json"])
        run_elasticdump(program, f"--type={kind}", f"--input={tmp_path}/{kind}", f"--output={elasticsearch.node.url}")
    after = elasticsearch.metadata()
    assert after["_component_template"] == before["_component_template"]
    assert after["_template"] == before["_template"]
