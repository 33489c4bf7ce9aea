"""One thing under examination: what is known of it now, and what speaks against a repair.

A certificate is removed only if

- CertKeeper issued it, or a rotation that has ended decided that it goes;
- the one that stays is ACTIVE and attached to the thing at this moment;
- the device did not say afterwards that it uses it, and no other rotation counts on it.

What does not fulfil that is left for people, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from rotation_cloud.documents import INVENTORY
from rotation_cloud.findings import Kind
from rotation_cloud.fleet import Fleet, finished_at
from rotation_cloud.heartbeat import Heartbeat
from rotation_cloud.ports import Cloud, NotFound
from rotation_cloud.records import Record, State
from rotation_cloud.repairs import Repairs
from rotation_protocol.fields import time_text

ACTIVE = "ACTIVE"


class Case:
    """``records`` in the order in which the rotations began. Making one, and reading it again,
    raises AwsError."""

    def __init__(self, cloud: Cloud, fleet: Fleet, repairs: Repairs, thing: str) -> None:
        self.cloud = cloud
        self.fleet = fleet
        self.repairs = repairs
        self.thing = thing
        self.now = cloud.clock.now()
        self.records: Sequence[Record] = ()
        self.heartbeat: Heartbeat | None = None
        #: An earlier rotation of the thing is open still, and not to be finished here.
        self.left_one = False
        self.read()

    def read(self) -> None:
        """Whatever was known is read again."""
        document = self.cloud.documents.get(self.thing, INVENTORY)
        self.heartbeat = None if document is None else Heartbeat.of(document)
        found = self.cloud.records.of_thing(self.thing)
        self.records = sorted(found, key=lambda record: record.started)

    @property
    def is_under_way(self) -> bool:
        """Whether a rotation is, its grace period included."""
        return any(record.state is not State.DONE for record in self.records)

    @property
    def was_heard(self) -> bool:
        """Whether the device ever said or showed which certificate it uses."""
        return self.heartbeat is not None and self.heartbeat.certificate_used(0) is not None

    def status(self, certificate_id: str | None) -> str:
        """Now, by AWS IoT's word; empty if there is no such certificate."""
        return self.cloud.census.status(certificate_id) if certificate_id else ""

    def used(self) -> str | None:
        """The certificate that the device uses, as far as it is known."""
        finished = [one for one in self.records if one.state is State.DONE and one.kept]
        last = finished[-1] if finished else None
        since = 0 if last is None else finished_at(last)
        shown = None if self.heartbeat is None else self.heartbeat.certificate_used(since)
        return shown or (None if last is None else last.kept)

    def why_not_finish(self, record: Record) -> str:
        """Why finish.py may not be called for it: it goes on with the thing's earlier rotations,
        and ends their grace periods."""
        if self.left_one:
            return "an earlier rotation of the thing was left"
        for other in self.records:
            if other.state is State.GRACE and other.is_before(record):
                why_not = self.why_needed(other.gone, other.ended)
                if why_not:
                    return f"of the certificate that goes with job {other.job_id}: {why_not}"
        return ""

    def why_not(self, record: Record, goes: str | None, stays: str | None, since: float) -> str:
        """Why the one certificate may not go in favour of the other; empty if it may.

        ``since``: what the device said after that counts. ``stays`` is None if the one that goes
        is attached to nothing.
        """
        if goes is None or not self.status(goes):
            return ""  # nothing is taken from anybody
        needed = self.why_needed(goes, since)
        if needed:
            return needed
        for other in self.records:
            # Whoever asks for a certificate proves which one he uses: it is the old one then.
            needs = (other.kept,) if other.state is State.DONE else (other.old, other.new)
            if other.job_id != record.job_id and other.started >= record.started and goes in needs:
                return f"the rotation of job {other.job_id} counts on it"
        if goes == record.new and self._others_of(record.new_arn):
            return "another thing has it too"  # of the old one finish.py takes care
        return "" if stays is None else self._why_not_without(record, stays)

    def why_needed(self, certificate_id: str | None, since: float) -> str:
        """What the device said or showed after that, if it was that it uses this certificate."""
        shown = 0 if self.heartbeat is None else self.heartbeat.shows(certificate_id, since)
        return f"the device used this one at {text(shown)}" if shown else ""

    def _others_of(self, arn: str) -> Sequence[str]:
        try:
            return [one for one in self.cloud.registry.things(arn) if one != self.thing]
        except NotFound:
            return []

    def _why_not_without(self, record: Record, stays: str) -> str:
        try:
            attached = self.cloud.registry.principals(self.thing)
        except NotFound:
            return "the thing is gone"
        if f"{record.account_arn}:cert/{stays}" not in attached:
            return f"the other one, {stays}, is not attached to the thing"
        status = self.status(stays)
        return "" if status == ACTIVE else f"the other one, {stays}, is {status or 'gone'}"

    def repair_unless(
        self,
        why_not: str,
        kind: Kind,
        detail: str,
        do: Callable[[], object],
        record: Record,
        certificate_id: str | None,
    ) -> bool:
        """Whether it is repaired; left for people if there is a reason."""
        job_id, named = record.job_id, certificate_id or ""
        if why_not:
            detail = f"{detail}; left, since {why_not}"
            self.repairs.leave(kind, self.thing, detail, job_id=job_id, certificate_id=named)
            return False
        return self.repairs.repair(
            kind, self.thing, detail, do, job_id=job_id, certificate_id=named
        )


def text(moment: float) -> str:
    """A time for people, from seconds since the epoch."""
    return time_text(datetime.fromtimestamp(moment, UTC))
