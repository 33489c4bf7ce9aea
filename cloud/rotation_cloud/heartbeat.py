"""The last that is known of a device, as its inventory document has it, and when it is overdue.

Devices say with each check when the next one is due (docs/protocol.md, "The health message"),
by their own clock. When they were last heard is by the cloud's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rotation_cloud.documents import Document
from rotation_protocol.fields import parse_time

_DAY = 24 * 3600
#: A check announced for later than this was announced by a clock that is wrong.
_LONGEST_INTERVAL = 40 * _DAY
#: How late a check may be: one whole day offline is no news.
_TOLERANCE = _DAY


@dataclass(frozen=True)
class Heartbeat:
    """``certificate_id`` is of the core device's certificate, empty if it is not known. Times are
    in seconds since the epoch, 0 where there is none. ``is_dropped``: the thing is gone, and the
    table is about to forget it."""

    thing: str
    certificate_id: str
    last_seen: float
    next_check_at: float
    deadline: float
    is_dropped: bool = False

    @classmethod
    def of(cls, document: Document) -> Heartbeat:
        """What cannot be read counts as not there: devices of any version are in the table."""
        body = document.body
        certificate_id = body.get("certificateId")
        return cls(
            thing=document.thing,
            certificate_id=certificate_id if isinstance(certificate_id, str) else "",
            last_seen=_seconds(body.get("lastSeen")),
            next_check_at=_seconds(body.get("nextCheckAt")),
            deadline=_seconds(body.get("deadline")),
            is_dropped=document.expires_at != 0,
        )

    def is_silent(self, now: float) -> bool:
        """Whether a check that was announced is more than a day overdue."""
        if not self.last_seen:
            return False
        expected = self.last_seen + _DAY
        if self.last_seen <= self.next_check_at <= self.last_seen + _LONGEST_INTERVAL:
            expected = self.next_check_at
        return now > expected + _TOLERANCE

    def days_left(self, now: float) -> float | None:
        """Until the deadline; negative once it has passed; None if it is not known."""
        return (self.deadline - now) / _DAY if self.deadline else None


def _seconds(value: Any) -> float:
    """A time as messages have it (RFC 3339) or in seconds since the epoch; 0 for anything else."""
    if isinstance(value, str):
        try:
            return parse_time(value).timestamp()
        except ValueError:
            return 0
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return 0
