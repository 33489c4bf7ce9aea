"""By when a certificate must be replaced: each of the three ends, ties, the calendar's edges."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certkeeper.core.certificate import CertificateFacts
from certkeeper.core.deadline import DAY, deadline_of, whole_days
from rotation_protocol.reasons import DeadlineReason
from tests.core.strategies import any_facts, examples, times
from tests.core.world import END_OF_2049, END_OF_TIME, START_OF_TIME, facts

ISSUED = datetime(2026, 1, 1, tzinfo=UTC)
NOT_AFTER, MAX_AGE, ISSUER_END = (
    DeadlineReason.NOT_AFTER,
    DeadlineReason.MAX_AGE,
    DeadlineReason.ISSUER_END,
)


@pytest.mark.parametrize(
    ("not_after", "issuer_not_after", "max_age_days", "at", "reason"),
    [
        (ISSUED + 90 * DAY, None, 0, ISSUED + 90 * DAY, NOT_AFTER),
        (ISSUED + 90 * DAY, None, 89, ISSUED + 89 * DAY, MAX_AGE),
        (ISSUED + 90 * DAY, None, 91, ISSUED + 90 * DAY, NOT_AFTER),
        (ISSUED + 90 * DAY, ISSUED + 80 * DAY, 0, ISSUED + 80 * DAY, ISSUER_END),
        (ISSUED + 90 * DAY, ISSUED + 80 * DAY, 79, ISSUED + 79 * DAY, MAX_AGE),
        (ISSUED + 90 * DAY, ISSUED + 100 * DAY, 0, ISSUED + 90 * DAY, NOT_AFTER),
        (ISSUED + 90 * DAY, ISSUED + 80 * DAY, 85, ISSUED + 80 * DAY, ISSUER_END),
        # Ties: what really ends is named before the age policy, the certificate before its CA.
        (ISSUED + 90 * DAY, None, 90, ISSUED + 90 * DAY, NOT_AFTER),
        (ISSUED + 90 * DAY, ISSUED + 90 * DAY, 0, ISSUED + 90 * DAY, NOT_AFTER),
        (ISSUED + 90 * DAY, ISSUED + 80 * DAY, 80, ISSUED + 80 * DAY, ISSUER_END),
        (ISSUED + 90 * DAY, ISSUED + 90 * DAY, 90, ISSUED + 90 * DAY, NOT_AFTER),
        # AWS IoT's own certificates: age is the rule that matters.
        (END_OF_2049, None, 0, END_OF_2049, NOT_AFTER),
        (END_OF_2049, None, 365, ISSUED + 365 * DAY, MAX_AGE),
        (END_OF_2049, END_OF_2049, 365, ISSUED + 365 * DAY, MAX_AGE),
        # RFC 5280 4.1.2.5: 99991231235959Z says that a certificate has no end.
        (END_OF_TIME, None, 0, END_OF_TIME, NOT_AFTER),
        (END_OF_TIME, END_OF_TIME, 36500, ISSUED + 36500 * DAY, MAX_AGE),
    ],
)
def test_earliest_end_is_the_deadline(
    not_after: datetime,
    issuer_not_after: datetime | None,
    max_age_days: int,
    at: datetime,
    reason: DeadlineReason,
) -> None:
    """The earliest of notAfter, age and the CA's end is the deadline, and is named."""
    deadline = deadline_of(facts(not_after, ISSUED, issuer_not_after), max_age_days)
    assert (deadline.at, deadline.reason) == (at, reason)


def test_leap_day_counts_as_a_day() -> None:
    """An age counts days, not years: from a leap day, 365 of them end on the 28th."""
    issued = datetime(2028, 2, 29, 12, tzinfo=UTC)
    assert deadline_of(facts(END_OF_2049, issued), 365).at == datetime(2029, 2, 28, 12, tzinfo=UTC)
    assert deadline_of(facts(END_OF_2049, issued), 366).at == datetime(2029, 3, 1, 12, tzinfo=UTC)
    assert deadline_of(facts(END_OF_2049, issued), 1461).at == datetime(2032, 2, 29, 12, tzinfo=UTC)


def test_certificate_issued_in_1950() -> None:
    """The oldest UTCTime (RFC 5280: YY of 50 is 1950) is aged like any other."""
    issued = datetime(1950, 1, 1, tzinfo=UTC)
    deadline = deadline_of(facts(END_OF_2049, issued), 36500)
    assert (deadline.at, deadline.reason) == (datetime(2049, 12, 7, tzinfo=UTC), MAX_AGE)


@pytest.mark.parametrize("max_age_days", [1, 36500, 10**8])
def test_age_of_centuries_does_not_overflow(max_age_days: int) -> None:
    """However great the age, a certificate that begins near the calendar's end has a deadline."""
    begins_late = facts(END_OF_TIME, END_OF_TIME - timedelta(seconds=1))
    assert deadline_of(begins_late, max_age_days).reason is NOT_AFTER
    everything = facts(END_OF_TIME, START_OF_TIME)
    assert deadline_of(everything, max_age_days).at <= END_OF_TIME


@examples(100)
@given(any_facts, st.integers(0, 36500), times())
def test_deadline_is_never_later_than_any_end(
    certificate: CertificateFacts, max_age_days: int, now: datetime
) -> None:
    """For any certificate, also an impossible one, the deadline is one of its ends, the first."""
    deadline = deadline_of(certificate, max_age_days)
    assert deadline.at <= certificate.not_after
    if certificate.issuer_not_after is not None:
        assert deadline.at <= certificate.issuer_not_after
    if max_age_days and certificate.lifetime > max_age_days * DAY:
        assert deadline.at <= certificate.not_before + max_age_days * DAY
    ends = {NOT_AFTER: certificate.not_after, ISSUER_END: certificate.issuer_not_after}
    if deadline.reason is MAX_AGE:
        assert deadline.at == certificate.not_before + max_age_days * DAY
    else:
        assert deadline.at == ends[deadline.reason]
    assert deadline.at == now + deadline.remaining(now)


@pytest.mark.parametrize(
    ("remaining", "days"),
    [
        (timedelta(days=1), 1),
        (timedelta(days=1, seconds=-1), 0),
        (timedelta(seconds=1), 0),
        (timedelta(0), 0),
        (timedelta(seconds=-1), -1),
        (timedelta(days=-1), -1),
        (timedelta(days=-1, seconds=-1), -2),
    ],
)
def test_days_are_rounded_down(remaining: timedelta, days: int) -> None:
    """Less than a day is 0 days, and a second too late is -1."""
    assert whole_days(remaining) == days
