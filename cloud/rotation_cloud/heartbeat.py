"""A device's heartbeat, as the inventory has it: when the next one is due, and what it proves.

Every check sends a health message, and names the time of the next one (docs/protocol.md).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from rotation_cloud.documents import Document
from rotation_cloud.inventory import Entry

_DAY = 24 * 3600
#: A check announced for later than this was announced by a clock that is wrong.
_LONGEST_INTERVAL = 40 * _DAY
#: How late a check may be: one whole day offline is no news.
_TOLERANCE = _DAY


@dataclass(frozen=True)
class Heartbeat:
    """``is_dropped``: the thing is gone, and the table is about to forget it."""

    thing: str
    entry: Entry
    is_dropped: bool = False

    @classmethod
    def of(cls, document: Document) -> Heartbeat:
        """What another version wrote, or a hand, counts as not there."""
        entry = Entry.of(document)
        unreadable: dict[str, Any] = {
            field.name: field.default
            for field in fields(Entry)
            if type(getattr(entry, field.name)) is not type(field.default)
        }
        return cls(document.thing, replace(entry, **unreadable), document.expires_at != 0)

    @property
    def named(self) -> frozenset[str]:
        """The certificates that it speaks of: the connection's, and the one on the disk."""
        return frozenset({self.entry.principal, self.entry.certificate_id} - {""})

    def certificate_used(self, since: float) -> str | None:
        """The certificate that the device used after that, as far as it is known."""
        if self.entry.principal and self._seen > since:
            return self.entry.principal
        if self.entry.certificate_id and self.entry.observed > since:
            return self.entry.certificate_id
        return None

    def shows(self, certificate_id: str | None, since: float) -> int:
        """When, after that, it was said or shown that the device uses this certificate; or 0."""
        if certificate_id == self.entry.principal and self._seen > since:
            return self._seen
        if certificate_id == self.entry.certificate_id and self.entry.observed > since:
            return self.entry.observed
        return 0

    def is_silent(self, now: float) -> bool:
        """Whether a check that was announced is more than a day overdue."""
        heard_at, expected = self.entry.heard_at, self.entry.next_check
        if not heard_at:
            return False
        if not heard_at <= expected <= heard_at + _LONGEST_INTERVAL:
            expected = heard_at + _DAY
        return now > expected + _TOLERANCE

    def days_left(self, now: float) -> float | None:
        """Until the deadline; negative once it has passed; None if it is not known."""
        return (self.entry.deadline - now) / _DAY if self.entry.deadline else None

    @property
    def _seen(self) -> int:
        return max(self.entry.heard_at, self.entry.attached_seen)
