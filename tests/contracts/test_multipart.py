"""Part sizes: every object up to 5 TiB fits, whatever was estimated."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import RunFailed
from contracts.multipart import (
    DEFAULT_PART_BYTES,
    MAX_OBJECT_BYTES,
    MAX_PART_BYTES,
    MAX_PARTS,
    MIB,
    MIN_PART_BYTES,
    base_part_size,
    capacity,
    part_size,
)

estimates = st.integers(min_value=0, max_value=2 * MAX_OBJECT_BYTES)


@given(estimates)
def test_whatever_was_estimated_the_largest_object_fits(estimate: int) -> None:
    assert capacity(base_part_size(estimate)) == MAX_OBJECT_BYTES


@given(estimates, st.integers(min_value=1, max_value=MAX_PARTS))
def test_every_part_is_of_a_size_that_the_store_takes(estimate: int, number: int) -> None:
    assert MIN_PART_BYTES <= part_size(base_part_size(estimate), number) <= MAX_PART_BYTES


@given(estimates)
def test_twice_the_estimate_fits_in_parts_of_one_size(estimate: int) -> None:
    base = base_part_size(estimate)
    assert base * MAX_PARTS >= min(2 * estimate, MAX_OBJECT_BYTES)
    assert base % MIB == 0


@given(estimates, st.integers(min_value=1, max_value=MAX_PARTS - 1))
def test_parts_never_shrink(estimate: int, number: int) -> None:
    base = base_part_size(estimate)
    assert part_size(base, number) <= part_size(base, number + 1)


def test_an_artifact_of_unknown_size_begins_with_parts_of_8_mib() -> None:
    assert base_part_size(0) == base_part_size(-5) == DEFAULT_PART_BYTES == part_size(DEFAULT_PART_BYTES, 5_000)
    assert part_size(DEFAULT_PART_BYTES, 5_001) == part_size(DEFAULT_PART_BYTES, 5_500) == 2 * DEFAULT_PART_BYTES
    assert part_size(DEFAULT_PART_BYTES, 5_501) == 4 * DEFAULT_PART_BYTES


def test_five_tebibytes_need_parts_of_525_mib() -> None:
    assert base_part_size(MAX_OBJECT_BYTES) == 525 * MIB


@pytest.mark.parametrize("number", [0, -1, MAX_PARTS + 1])
def test_a_part_that_no_object_has_is_refused(number: int) -> None:
    with pytest.raises(RunFailed) as caught:
        part_size(DEFAULT_PART_BYTES, number)
    assert caught.value.code == "upload.too_large"
