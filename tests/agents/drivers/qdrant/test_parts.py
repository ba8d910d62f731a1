"""The pure parts: which nodes are needed, whether a snapshot is whole."""

from __future__ import annotations

import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.drivers.qdrant.answers import ACTIVE, CollectionCluster, LocalShard, RemoteShard
from agents.drivers.qdrant.coverage import cover
from agents.drivers.qdrant.snapshot_tar import SnapshotWalk
from contracts.errors import Corrupt

STATES = st.sampled_from([ACTIVE, ACTIVE, "Dead", "Partial"])
CLUSTERS = st.dictionaries(
    st.integers(0, 5), st.dictionaries(st.integers(1, 4), STATES, min_size=1, max_size=4), min_size=1, max_size=6
)


def view(peer: int, replicas: dict[int, dict[int, str]]) -> CollectionCluster:
    """What that peer says of a cluster with these states by shard and peer."""
    return CollectionCluster(
        peer_id=peer,
        shard_count=len(replicas),
        local_shards=[LocalShard(shard, states[peer]) for shard, states in replicas.items() if peer in states],
        remote_shards=[
            RemoteShard(shard, other, state)
            for shard, states in replicas.items()
            for other, state in states.items()
            if other != peer
        ],
    )


@given(CLUSTERS, st.sets(st.integers(1, 4), min_size=1))
def test_every_shard_is_covered_or_missing(replicas: dict[int, dict[int, str]], reached: set[int]) -> None:
    found = cover([view(peer, replicas) for peer in reached])
    covered = {shard for shards in found.shards_by_peer.values() for shard in shards}
    missing = {int(text.split()[0]) for text in found.missing}
    assert covered | missing == set(replicas)
    assert covered & missing == set()
    for peer, shards in found.shards_by_peer.items():
        assert peer in reached
        assert all(replicas[shard][peer] == ACTIVE for shard in shards)
    # None of the snapshots could be left out.
    for peer in found.shards_by_peer:
        others = {shard for each, shards in found.shards_by_peer.items() if each != peer for shard in shards}
        assert others != covered


def test_one_node_that_has_all_is_enough() -> None:
    replicas = {0: {1: ACTIVE, 2: ACTIVE}, 1: {2: ACTIVE, 3: ACTIVE}}
    assert cover([view(peer, replicas) for peer in (1, 2, 3)]).shards_by_peer == {2: [0, 1]}


def test_a_shard_of_which_nobody_says_anything_is_missing() -> None:
    alone = CollectionCluster(peer_id=1, shard_count=2, local_shards=[LocalShard(0, ACTIVE)], remote_shards=[])
    assert cover([alone]).missing == ["unknown to every node that was reached"]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """In the form of a snapshot, with a sparse file whose map needs more than its header."""
    directory = tmp_path_factory.mktemp("archive")
    root = directory / "root"
    (root / "0" / "segments").mkdir(parents=True)
    (root / "1").mkdir()
    (root / "config.json").write_text("{}")
    (root / "0" / "segments" / "a.tar").write_bytes(b"x" * 700)
    (root / "1" / "shard_config.json").write_text("{}")
    with (root / "0" / "sparse").open("wb") as file:
        for hole in range(60):
            file.seek(hole * 1_000_000)
            file.write(b"y" * 5000)
    packed = directory / "packed"
    names = ["0", "1", "config.json"]
    subprocess.run(["tar", "-S", "--format=gnu", "-cf", packed, "-C", root, *names], check=True)
    return packed.read_bytes()


def walked(data: bytes, *cuts: int) -> SnapshotWalk:
    walk = SnapshotWalk()
    for start, end in pairwise([0, *sorted(cuts), len(data)]):
        walk.feed(data[start:end])
    walk.finish()
    return walk


def test_a_whole_snapshot_is_read_whatever_the_pieces(archive: bytes) -> None:
    assert len(archive) < 1_000_000  # so it is sparse indeed
    for cuts in ((), (1,), (511, 512, 513), tuple(range(0, len(archive), 333))):
        walk = walked(archive, *cuts)
        assert walk.shards == {0}
        assert walk.size_bytes == len(archive)


def test_one_that_is_cut_off_anywhere_is_not_whole(archive: bytes) -> None:
    end = len(archive.rstrip(b"\0"))
    for length in [*range(0, end, 511), end]:
        with pytest.raises(Corrupt) as caught:
            walked(archive[:length])
        assert caught.value.code == "artifact.corrupt"


@pytest.mark.parametrize("data", [b"", b"no tar" * 1000, bytes(10240)])
def test_what_is_no_snapshot_is_told(data: bytes) -> None:
    with pytest.raises(Corrupt):
        walked(data)


def test_a_file_of_less_than_nothing_is_told(archive: bytes) -> None:
    header = bytearray(archive[:512])
    header[124:136] = b"\xff" * 11 + b"\x00"  # minus 256, in base 256
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    with pytest.raises(Corrupt, match="of -256 bytes"):
        walked(bytes(header) + archive[512:])


def test_a_snapshot_of_a_single_shard_is_not_one_of_a_collection(tmp_path: Path) -> None:
    (tmp_path / "segments").mkdir()
    packed = tmp_path / "packed"
    subprocess.run(["tar", "-cf", packed, "-C", tmp_path, "segments"], check=True)
    with pytest.raises(Corrupt, match="not one of a collection"):
        walked(packed.read_bytes())
