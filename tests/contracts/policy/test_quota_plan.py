"""What each plan allows."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import InvalidInput
from contracts.policy.quota_plan import MOST_QUOTA_BYTES, QuotaPlan, quota_of

GB = 10**9


@pytest.mark.parametrize(
    ("plan", "named", "allowed"),
    [
        (QuotaPlan.LIGHTWEIGHT, None, 5 * GB),
        (QuotaPlan.LIGHTWEIGHT, 5 * GB, 5 * GB),
        (QuotaPlan.SERIOUS, None, 25 * GB),
        (QuotaPlan.SERIOUS, 25 * GB, 25 * GB),
        (QuotaPlan.CUSTOM, None, 1024**4),
        (QuotaPlan.CUSTOM, 5 * GB, 5 * GB),
        (QuotaPlan.CUSTOM, 1_000_000, 1_000_000),
        (QuotaPlan.CUSTOM, 1024**4, 1024**4),
    ],
)
def test_what_a_plan_allows(plan: QuotaPlan, named: int | None, allowed: int) -> None:
    assert quota_of(plan, named) == allowed


@pytest.mark.parametrize(
    ("plan", "named", "field"),
    [
        (QuotaPlan.LIGHTWEIGHT, 6 * GB, "plan"),
        (QuotaPlan.LIGHTWEIGHT, 0, "plan"),
        (QuotaPlan.SERIOUS, 5 * GB, "plan"),
        (QuotaPlan.CUSTOM, 999_999, "quota_bytes"),
        (QuotaPlan.CUSTOM, 0, "quota_bytes"),
        (QuotaPlan.CUSTOM, -1, "quota_bytes"),
        (QuotaPlan.CUSTOM, 1024**4 + 1, "quota_bytes"),
    ],
)
def test_a_number_that_does_not_go_with_the_plan_is_refused_by_field(plan: QuotaPlan, named: int, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        quota_of(plan, named)
    assert caught.value.field == field
    assert str(named) in caught.value.message or str(plan) in caught.value.message


@given(st.sampled_from(QuotaPlan), st.none() | st.integers())
def test_no_project_may_have_more_than_1_tib(plan: QuotaPlan, named: int | None) -> None:
    with suppress(InvalidInput):
        allowed = quota_of(plan, named)
        assert 1_000_000 <= allowed <= MOST_QUOTA_BYTES
        assert named in (None, allowed)
