"""Files that the real `elasticdump` wrote; what it reads of ours is in `test_native.py`."""

from __future__ import annotations

from pathlib import Path

from tests.agents.drivers.elasticsearch.archives import index_record, pack
from tests.agents.drivers.elasticsearch.elasticdump_program import run_elasticdump
from tests.agents.drivers.elasticsearch.engine import SearchEngine
from tests.agents.drivers.playing import RUN_ID, feed


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
