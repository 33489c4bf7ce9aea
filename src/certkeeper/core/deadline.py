"""By when a certificate must be replaced, and how much time is left until then."""

from __future__ import annotations

from datetime import datetime, timedelta

from certkeeper.core.certificate import CertificateFacts
from rotation_protocol.reasons import DeadlineReason
from rotation_protocol.values import dataclass

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Deadline:
    """The instant by which a certificate must be replaced, and which end it is."""

    at: datetime
    reason: DeadlineReason

    def remaining(self, now: datetime) -> timedelta:
        """How long from ``now`` until then; negative once it has passed."""
        return self.at - now


def deadline_of(facts: CertificateFacts, max_age_days: int = 0) -> Deadline:
    """The earliest of notAfter, ``max_age_days`` after notBefore (0: no such rule), the CA's end.

    AWS IoT's own certificates end in 2049, so for most fleets age is the rule that
    matters. Of two ends at the same instant, the certificate's own is named.
    """
    ends = [Deadline(facts.not_after, DeadlineReason.NOT_AFTER)]
    if facts.issuer_not_after is not None:
        ends.append(Deadline(facts.issuer_not_after, DeadlineReason.ISSUER_END))
    if max_age_days > 0:
        # Counted from the near side, so that an age of centuries cannot overflow the calendar.
        age = max_age_days * DAY
        if facts.lifetime > age:
            ends.append(Deadline(facts.not_before + age, DeadlineReason.MAX_AGE))
    return min(ends, key=lambda deadline: deadline.at)


def whole_days(remaining: timedelta) -> int:
    """Days rounded down, so that "1 day" is never said of less than one."""
    return remaining // DAY
