"""Whether a clock can be right: judged from certificates, memory and the kernel's word."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certkeeper.core.certificate import Inventory, Reading, Role
from certkeeper.core.clock_trust import clock_distrust, newest_after
from rotation_protocol.reasons import ReadProblem
from tests.core.strategies import any_inventory, examples, times
from tests.core.world import (
    DAY,
    END_OF_TIME,
    HOUR,
    NOW,
    SOURCE,
    START_OF_TIME,
    facts,
    inventory,
    reading,
)

SECOND = timedelta(seconds=1)
IN_1970 = datetime(1970, 1, 1, 0, 5, tzinfo=UTC)
IN_2036 = datetime(2036, 2, 7, tzinfo=UTC)
ISSUED = NOW - 300 * DAY
UNREADABLE = Reading(Role.CORE_DEVICE, SOURCE, None, ReadProblem.MISSING)


@pytest.mark.parametrize(
    ("now", "newest_seen", "synchronized", "trusted"),
    [
        (NOW, None, None, True),
        (NOW, NOW - DAY, False, True),
        # Before the certificate was issued; issuers' clocks may be an hour off.
        (IN_1970, None, False, False),
        (IN_1970, None, True, False),
        (ISSUED - HOUR, None, False, True),
        (ISSUED - HOUR - SECOND, None, False, False),
        # Before an earlier check; NTP may step ten minutes back.
        (NOW, NOW + timedelta(minutes=10), False, True),
        (NOW, NOW + timedelta(minutes=10, seconds=1), False, False),
        (NOW, NOW + timedelta(minutes=10, seconds=1), None, False),
        (NOW, IN_2036, False, False),
        # A leap ahead: a year in a store room is possible, ten are not.
        (NOW, NOW - 366 * DAY, False, True),
        (NOW, NOW - 366 * DAY - SECOND, False, False),
        (NOW, NOW - 366 * DAY - SECOND, None, False),
        # The kernel's word heals a poisoned memory.
        (NOW, IN_2036, True, True),
        (NOW, NOW - 3660 * DAY, True, True),
    ],
)
def test_when_a_clock_is_trusted(
    now: datetime, newest_seen: datetime | None, synchronized: bool | None, trusted: bool
) -> None:
    """To the second, on either side of each limit."""
    holds = inventory(reading(facts(not_before=ISSUED)), synchronized=synchronized)
    distrust = clock_distrust(holds, now, newest_seen)
    assert (distrust is None) == trusted
    if distrust is not None:
        assert f"{now:%Y-%m-%d}" in distrust


def test_only_the_device_certificate_is_a_witness() -> None:
    """A CA that begins in the future says nothing of the clock: its file may be anybody's."""
    holds = inventory(UNREADABLE, reading(facts(not_before=NOW + DAY), Role.ROOT_CA, "/ca.pem"))
    assert clock_distrust(holds, NOW, None) is None


@examples(100)
@given(any_inventory, times(), st.none() | times())
def test_any_times_can_be_compared(
    holds: Inventory, now: datetime, newest_seen: datetime | None
) -> None:
    """From year 1 to year 9999 nothing overflows, and memory never goes back unsynchronized."""
    if clock_distrust(holds, now, newest_seen) is None:
        newest = newest_after(now, newest_seen, holds.clock_synchronized)
        if holds.clock_synchronized or newest_seen is None:
            assert newest == now
        else:
            assert newest >= max(now, newest_seen)


@pytest.mark.parametrize("now", [START_OF_TIME, NOW, END_OF_TIME])
@pytest.mark.parametrize("newest_seen", [None, START_OF_TIME, END_OF_TIME])
@pytest.mark.parametrize("not_before", [START_OF_TIME, datetime(1950, 1, 1, tzinfo=UTC)])
def test_ends_of_the_calendar(
    now: datetime, newest_seen: datetime | None, not_before: datetime
) -> None:
    """The first and the last second there are can each be now, seen, or a notBefore."""
    clock_distrust(inventory(reading(facts(not_before=not_before))), now, newest_seen)
