"""The rungs of the ladder: what may be one, and when it is reached."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certkeeper.core.threshold import Share, Threshold, parse_threshold, span
from tests.core.strategies import any_json, examples
from tests.core.world import END_OF_TIME, START_OF_TIME


@pytest.mark.parametrize(
    ("value", "threshold"),
    [
        (1, 1),
        (30, 30),
        (30.0, 30),
        (3650, 3650),
        ("1%", Share(1)),
        ("20%", Share(20)),
        ("99%", Share(99)),
        (0, None),
        (-1, None),
        (3651, None),
        (1.5, None),
        (1e308, None),
        (float("nan"), None),
        (float("inf"), None),
        (True, None),
        (None, None),
        ("", None),
        ("30", None),
        ("0%", None),
        ("100%", None),
        ("020%", None),
        ("20 %", None),
        ("20%\n", None),
        ("-20%", None),
        ("٢٠%", None),
        ([30], None),
        ({}, None),
    ],
)
def test_threshold_is_days_or_a_share(value: object, threshold: Threshold | None) -> None:
    """A whole number of days from 1 to 3650, or 1% to 99%; anything else is none."""
    assert parse_threshold(value) == threshold


@examples(100)
@given(any_json)
def test_anything_may_be_asked(value: object) -> None:
    """No JSON value makes it raise, and what it takes it takes again as it is written."""
    threshold = parse_threshold(value)
    if threshold is not None:
        written = threshold if isinstance(threshold, int) else str(threshold)
        assert parse_threshold(written) == threshold


@pytest.mark.parametrize(
    ("threshold", "lifetime_days", "days"),
    [(30, 365, 30), (30, 7, 30), (Share(20), 365, 73), (Share(20), 1, 0.2), (Share(1), 100, 1)],
)
def test_share_is_of_the_lifetime(threshold: Threshold, lifetime_days: int, days: float) -> None:
    """Days are days, and a share counts from the end of the lifetime."""
    assert span(threshold, timedelta(days=lifetime_days)) == timedelta(days=days)


@examples(50)
@given(st.integers(1, 99))
def test_share_of_all_time_does_not_overflow(percent: int) -> None:
    """A certificate from year 1 to year 9999 has its shares too."""
    lifetime = END_OF_TIME - START_OF_TIME
    assert timedelta(0) < span(Share(percent), lifetime) < lifetime
