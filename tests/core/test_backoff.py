"""How long to wait: growing to a cap, the same every time, spread over the fleet."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certkeeper.core import link, outbox
from certkeeper.core.backoff import Backoff
from tests.core.strategies import examples

BACKOFFS = pytest.mark.parametrize("backoff", [link.BACKOFF, outbox.BACKOFF])
FLEET = [f"press-{n}" for n in range(1000)]


@BACKOFFS
@pytest.mark.parametrize("seed", FLEET[:20])
def test_waits_grow_to_the_cap_and_stay_there(backoff: Backoff, seed: str) -> None:
    """Each wait is at least the last until the cap is near; none is more than the cap."""
    waits = [backoff.delay(attempt, seed) for attempt in range(1, 60)]
    below = [wait for wait in waits if wait < backoff.most / 2]
    assert below == sorted(below) == waits[: len(below)]
    assert all(backoff.most / 2 <= wait <= backoff.most for wait in waits[len(below) + 1 :])
    assert backoff.first / 2 <= waits[0] <= backoff.first


@examples(100)
@given(
    st.timedeltas(timedelta(milliseconds=1), timedelta(hours=1)),
    st.timedeltas(timedelta(0), timedelta(days=400)),
    st.integers(-5, 10**30),
    st.text(max_size=30),
)
def test_any_attempt_of_any_backoff_is_within_its_bounds(
    first: timedelta, more: timedelta, attempt: int, seed: str
) -> None:
    """No count of failures overflows or gives no wait at all, and asking twice changes nothing."""
    backoff = Backoff(first, first + more)
    wait = backoff.delay(attempt, seed)
    assert first / 2 <= wait <= first + more
    assert backoff.delay(attempt, seed) == wait


@BACKOFFS
@pytest.mark.parametrize("attempt", [1, 2, 5, 20])
def test_fleet_is_spread(backoff: Backoff, attempt: int) -> None:
    """A thousand devices that failed together come back evenly over the second half of the wait."""
    waits = [backoff.delay(attempt, seed) for seed in FLEET]
    most = min(backoff.first * 2 ** (attempt - 1), backoff.most)
    tenths = Counter(int((wait / most - 0.5) * 20 * 0.999999) for wait in waits)
    assert set(tenths) <= set(range(10))
    assert all(60 <= tenths[n] <= 140 for n in range(10)), tenths
    assert len(set(waits)) >= 990


def test_each_attempt_is_spread_anew() -> None:
    """Two devices that met once do not meet at every attempt."""
    shares = [
        [outbox.BACKOFF.delay(attempt, seed) / outbox.BACKOFF.most for attempt in range(20, 60)]
        for seed in FLEET[:2]
    ]
    assert len({round(a - b, 3) for a, b in zip(*shares, strict=True)}) > 10
