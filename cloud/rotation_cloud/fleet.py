"""Everything at one glance: certificates, records and heartbeats, and which things look wrong.

Read once a run, so it is some minutes old when a thing's turn comes. It says where to look,
never what to do: that is decided on what is read anew (``examination.py``).
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from rotation_cloud.documents import INVENTORY
from rotation_cloud.heartbeat import Heartbeat
from rotation_cloud.ports import Cloud, Listed
from rotation_cloud.records import KEPT_SECONDS, Record, State

#: What is younger than this, in seconds, is somebody's work in progress: an event that is on its
#: way or delivered again, a list that lags behind, a clock that differs.
PATIENCE = 3600
#: How many things a day are looked at although nothing about them looks wrong.
LOOKS = 2000
#: For how long after a rotation's start its requests were made: its CSR may come again.
_STRAY_SECONDS = 24 * 3600
_DAY = 24 * 3600


@dataclass(frozen=True)
class Fleet:
    """``certificates`` by id, of the whole account; records and heartbeats by thing."""

    certificates: Mapping[str, Listed]
    records: Mapping[str, Sequence[Record]]
    heartbeats: Mapping[str, Heartbeat]
    #: Ids of certificates that CertKeeper issued, as far as its records reach back.
    issued: frozenset[str] = frozenset()
    #: Ids of certificates that a device said last that it uses.
    used: frozenset[str] = frozenset()
    #: Those, and the ones that any record names.
    known: frozenset[str] = frozenset()
    _latest: Mapping[str, Record] = field(default_factory=dict)

    @classmethod
    def seen(cls, cloud: Cloud) -> Fleet:
        """The fleet now. Raises AwsError."""
        # Certificates first: what is made after that is in no list, and so cannot look left over.
        certificates = {one.id: one for one in cloud.census.certificates()}
        heartbeats = {
            document.thing: Heartbeat.of(document) for document in cloud.documents.all(INVENTORY)
        }
        return cls.of(certificates, cloud.records.all(), heartbeats)

    @classmethod
    def of(
        cls,
        certificates: Mapping[str, Listed],
        records: Iterable[Record],
        heartbeats: Mapping[str, Heartbeat],
    ) -> Fleet:
        of_thing: defaultdict[str, list[Record]] = defaultdict(list)
        issued: set[str] = set()
        used = frozenset(named for one in heartbeats.values() for named in one.named)
        known = set(used)
        latest: dict[str, Record] = {}
        for record in records:
            of_thing[record.thing].append(record)
            if record.new:
                issued.add(record.new)
            for named in filter(None, (record.old, record.new)):
                known.add(named)
                if named not in latest or _rank(latest[named]) < _rank(record):
                    latest[named] = record
        return cls(
            certificates, of_thing, heartbeats, frozenset(issued), used, frozenset(known), latest
        )

    @property
    def things(self) -> Sequence[str]:
        """Every thing that there is a record or a heartbeat of, in order."""
        return sorted({*self.records, *self.heartbeats})

    def is_active(self, certificate_id: str | None) -> bool:
        listed = self.certificates.get(certificate_id or "")
        return listed is not None and listed.is_active

    def is_last_named_by(self, record: Record, certificate_id: str) -> bool:
        """Whether no later rotation, of any thing, says something else of the certificate."""
        last = self._latest.get(certificate_id)
        return last is not None and (last.thing, last.job_id) == (record.thing, record.job_id)

    def unknown_of(self, record: Record, now: float) -> Sequence[Listed]:
        """ACTIVE certificates that no record and no device names, and that may have been made
        for the record."""
        first, last = record.started - 60, min(record.started + _STRAY_SECONDS, now - PATIENCE)
        return [
            one
            for one in self.certificates.values()
            if one.is_active and one.id not in self.known and first <= one.created <= last
        ]

    def looks_wrong(self, thing: str, now: float, auto_rotate_days: int) -> bool:
        """Whether there is something to be asked about this thing."""
        heartbeat = self.heartbeats.get(thing)
        records = self.records.get(thing, ())
        if heartbeat is not None and not heartbeat.is_dropped:
            days = heartbeat.days_left(now)
            if heartbeat.is_silent(now) or (days is not None and days < near(auto_rotate_days)):
                return True
            if any(not self.is_active(one) for one in heartbeat.named):
                return True
        if any(self._record_looks_wrong(record, now) for record in records):
            return True
        named = {named for record in records for named in (record.old, record.new)}
        if heartbeat is not None:
            named |= heartbeat.named
        at_work = any(record.state is not State.DONE for record in records)
        return not at_work and sum(self.is_active(one) for one in named) > 1

    def _record_looks_wrong(self, record: Record, now: float) -> bool:
        if record.state is State.DONE:
            is_open = record.unsure or not record.told or self.is_active(record.gone)
            return (is_open and is_settled(record, now)) or not self._is_kept_active(record)
        if record.state is State.GRACE:
            is_over = now > record.grace_ends + PATIENCE
            is_untold = not record.told and now > record.ended + PATIENCE
            return is_over or is_untold or not self.is_active(record.kept)
        if record.state in (State.ISSUED, State.COMMITTED) and not self.is_active(record.new):
            return True
        return now - record.started > PATIENCE and not record.is_leased(now)

    def _is_kept_active(self, record: Record) -> bool:
        """Also true where a later rotation has the say."""
        used = record.kept
        return used is None or self.is_active(used) or not self.is_last_named_by(record, used)


def is_due_for_a_look(thing: str, things: int, now: float) -> bool:
    """Each thing is looked at once in so many days, those of a small fleet every day."""
    days = max(1, math.ceil(things / LOOKS))
    digest = hashlib.sha256(thing.encode()).digest()
    return int.from_bytes(digest[:4], "big") % days == int(now // _DAY) % days


def near(auto_rotate_days: int) -> float:
    """How many days before its deadline a certificate is the reconciler's business."""
    return max(auto_rotate_days, 7)


def is_settled(record: Record, now: float) -> bool:
    """Whether a finished rotation ended long enough ago that nothing of it is on its way."""
    return now - finished_at(record) > PATIENCE


def finished_at(record: Record) -> int:
    """When a finished rotation was finished, in seconds since the epoch."""
    return record.expires_at - KEPT_SECONDS


def _rank(record: Record) -> tuple[int, str]:
    return record.started, record.job_id
