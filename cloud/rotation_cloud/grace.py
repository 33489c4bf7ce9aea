"""The grace period: after a rotation the old certificate stays for a while beside the new one.

Who has kept a copy of the old pair can still come back with it: a device that is restored from
an image, a nucleus that was never restarted. When the period is over the old certificate goes,
unless something that the cloud knows speaks against it (docs/decisions/0010).
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum

from rotation_cloud import inventory
from rotation_cloud.ports import Cloud, RecordChanged
from rotation_cloud.records import Record, State, Which
from rotation_cloud.retirement import retire_as_decided
from rotation_cloud.security_events import Activity, SecurityEvent

_ROUNDS = 4


class Outcome(StrEnum):
    """What became of the certificate that was to go."""

    RETIRED = "retired"  # it is gone, or there is none
    WAITING = "waiting"  # the grace period is not over
    KEPT = "kept"  # something speaks against it: people have to look


class Objection(StrEnum):
    """What speaks against retiring a certificate at the end of its grace period."""

    STILL_IN_USE = "still-in-use"  # the last message came over it
    OTHER_NOT_ACTIVE = "other-not-active"  # the certificate that is to stay opens nothing


@dataclass(frozen=True)
class Closing:
    """``ends`` is when the grace period ends, in seconds since the epoch."""

    outcome: Outcome
    certificate_id: str = ""
    ends: int = 0
    objection: Objection | None = None


def begun(cloud: Cloud, record: Record) -> Record:
    """The record of a job that has ended with its new certificate kept, in its grace period."""
    now = int(cloud.clock.now())
    return replace(
        record,
        state=State.GRACE,
        retire=Which.OLD,
        ended=now,
        grace_ends=now + cloud.grace_seconds,
    )


def heed(cloud: Cloud, record: Record, certificate_id: str, at: float) -> Record:
    """The record once it is known with which certificate the device was seen at that time.

    Raises AwsError, RecordChanged.
    """
    if record.state is not State.GRACE or at <= record.ended:
        return record
    proven = record.proven_by(certificate_id)
    return record if proven == record else cloud.records.write(proven)


def close(cloud: Cloud, thing: str, job_id: str) -> Closing:
    """What is to be done when the period may be over. Raises AwsError, RecordChanged."""
    for _ in range(_ROUNDS):
        record = cloud.records.get(thing, job_id)
        if record is None or not record.grace_ends or record.state is State.DONE:
            return Closing(Outcome.RETIRED)
        victim = record.gone or ""
        if record.state is State.GRACE:
            if cloud.clock.now() < record.grace_ends:
                return Closing(Outcome.WAITING, victim, record.grace_ends)
            objection = _objection(cloud, record, victim)
            if objection is not None:
                _say_kept(cloud, record, victim, objection)
                return Closing(Outcome.KEPT, victim, record.grace_ends, objection)
        with suppress(RecordChanged):
            end(cloud, record)
            return Closing(Outcome.RETIRED, victim, record.grace_ends)
    raise RecordChanged(f"{thing} {job_id}")


def end(cloud: Cloud, record: Record) -> Record:
    """Retires what the record says is to go, now. Raises AwsError, RecordChanged.

    It is for whoever knows that the other certificate is the one in use.
    """
    if record.state is State.GRACE:
        record = cloud.records.write(replace(record, state=State.RETIRING))
    retire_as_decided(cloud, record)
    return cloud.records.write(record.finished(cloud.clock.now()))


def _objection(cloud: Cloud, record: Record, victim: str) -> Objection | None:
    heard, kept = inventory.read(cloud, record.thing), record.kept or ""
    if heard.principal == victim and heard.heard_at > record.ended:
        return Objection.STILL_IN_USE
    if heard.is_in_use(kept, cloud.clock.now()) or cloud.registry.is_active(kept):
        return None
    return Objection.OTHER_NOT_ACTIVE


def _say_kept(cloud: Cloud, record: Record, victim: str, objection: Objection) -> None:
    cloud.audit.record(
        SecurityEvent(
            Activity.CERTIFICATE_KEPT,
            record.thing,
            succeeded=False,
            job_id=record.job_id,
            certificate_id=victim,
            reason=objection.value,
        )
    )
