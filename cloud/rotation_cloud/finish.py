"""A rotation job has ended: one of the two certificates goes, and whoever waits hears of it.

The new one goes at once, the old one after its grace period (``grace.py``). The events come at
least once and in any order. Which certificate goes is decided once and written down before the
first call; every call may be repeated. What fails is raised, so that the event is delivered
again.
https://docs.aws.amazon.com/iot/latest/developerguide/events-jobs.html
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from rotation_cloud import grace, inventory, notices, workflow
from rotation_cloud.ports import Cloud, RecordChanged
from rotation_cloud.records import Record, State, Which
from rotation_cloud.retirement import retire_as_decided
from rotation_cloud.security_events import Activity, SecurityEvent
from rotation_cloud.waiting import wake
from rotation_protocol.fields import Fields, WireError

_log = logging.getLogger(__name__)
_ROUNDS = 4
_ENDS = frozenset({"SUCCEEDED", "FAILED", "REJECTED", "TIMED_OUT", "CANCELED", "REMOVED"})
_MILLISECONDS = 1e11  # whatever is greater is no time in seconds: some events count so


class StillIssuing(Exception):
    """The job ended while its certificate was being made: to be looked at again soon."""


@dataclass(frozen=True)
class Ended:
    """How a job execution ended; ``certificate_id`` is the one that the device says it uses.

    ``at`` is when, in seconds since the epoch; 0 if nobody says.
    """

    thing: str
    job_id: str
    status: str
    deleted: bool = False
    certificate_id: str | None = None
    reason: str = ""
    detail: str = ""
    at: float = 0

    @classmethod
    def of(cls, event: Mapping[str, Any]) -> Ended | None:
        """None for an event that ends nothing. Raises WireError."""
        fields = Fields(event)
        operation = (fields.optional("operation", str) or "").upper()
        status = (fields.optional("status", str) or operation).upper()
        deleted = operation == "DELETED"
        if status not in _ENDS:
            if not deleted:
                return None
            status = "DELETED"
        thing = fields.required("thingArn", str).partition(":thing/")[2]
        if not thing:
            raise WireError("thingArn is not that of a thing")
        details = fields.nested("statusDetails") or Fields({})
        at = fields.optional("timestamp", int) or 0
        return cls(
            thing=thing,
            job_id=fields.job_id(),
            status=status,
            deleted=deleted,
            certificate_id=details.optional("certificateId", str),
            reason=details.optional("reason", str)
            or details.optional("DeviceFailureReason", str)
            or "",
            detail=details.optional("detail", str) or "",
            at=at / 1000 if at > _MILLISECONDS else at,
        )

    @property
    def is_failure(self) -> bool:
        return self.status != "SUCCEEDED"

    @property
    def used(self) -> str | None:
        """The certificate that the device uses by its own word.

        An end that the device did not make has the details of an earlier update.
        """
        return self.certificate_id if self.status in ("SUCCEEDED", "FAILED") else None


def finish(cloud: Cloud, ended: Ended) -> None:
    """Does what the end of the job asks for. Raises AwsError, StillIssuing, RecordChanged."""
    record = _finish(cloud, ended)
    if record is None:
        return
    for other in cloud.records.of_thing(ended.thing):
        if other.job_id == ended.job_id or other.state is State.DONE:
            continue
        if ended.used is not None:
            other = grace.heed(cloud, other, ended.used, ended.at)
        if record.started and other.is_before(record):
            _catch_up(cloud, other, is_surpassed=record.keeps_new)


def _catch_up(cloud: Cloud, record: Record, is_surpassed: bool) -> None:
    """An earlier job, whose event may have been lost. What the device used after it is in its
    record; once a later rotation has succeeded, there is nothing left to go back to."""
    execution = cloud.jobs.execution(record.thing, record.job_id)
    if execution is not None and not execution.ended:
        return
    status = "SUCCEEDED" if record.keeps_new else "EVENT_LOST"
    known = _finish(cloud, Ended(record.thing, record.job_id, status))
    if is_surpassed and known is not None and known.state is State.GRACE:
        grace.end(cloud, known)


def _finish(cloud: Cloud, ended: Ended) -> Record | None:
    for _ in range(_ROUNDS):
        with suppress(RecordChanged):
            return inventory.with_end(cloud, ended, _one_round(cloud, ended))
    raise RecordChanged(f"{ended.thing} {ended.job_id}")


def _one_round(cloud: Cloud, ended: Ended) -> Record | None:
    record = _decided(cloud, ended)
    if record is None:
        return None
    if record.state is State.RETIRING:
        if record.is_leased(cloud.clock.now()):
            raise StillIssuing(f"{ended.thing} {ended.job_id}")
        retire_as_decided(cloud, record)
        _log.info("finished thing=%s job=%s %s", record.thing, record.job_id, ended.status)
        record = cloud.records.write(record.finished(cloud.clock.now()))
    if not record.told:
        _tell(cloud, ended, record)
        record = cloud.records.write(replace(record, told=True))
    return record


def _tell(cloud: Cloud, ended: Ended, record: Record) -> None:
    """The workflow that made the job hears of its end; if there is none, people do."""
    is_awaited = wake(cloud, ended.thing, ended.job_id, ended.status, ended.reason, ended.detail)
    if not is_awaited:
        if record.state is State.GRACE:
            workflow.start_grace(cloud, record)
        if ended.deleted and not record.started:  # an old job, tidied away
            return
        if ended.is_failure:
            notices.rotation_failed(
                cloud, ended.thing, ended.job_id, ended.status, ended.reason, ended.detail
            )
    cloud.audit.record(_event(ended, record))


def _event(ended: Ended, record: Record) -> SecurityEvent:
    return SecurityEvent(
        Activity.ROTATION_FAILED if ended.is_failure else Activity.ROTATION_SUCCEEDED,
        ended.thing,
        succeeded=not ended.is_failure,
        job_id=ended.job_id,
        certificate_id=(record.new if record.keeps_new else record.old) or "",
        reason=ended.reason or ("" if not ended.is_failure else ended.status.lower()),
        detail=ended.detail,
        seconds=max(0, record.ended - record.started) if record.started else 0,
    )


def _decided(cloud: Cloud, ended: Ended) -> Record | None:
    """The record with its decision written down; None for an event of an earlier run."""
    record = cloud.records.get(ended.thing, ended.job_id)
    if record is None:
        # Written down all the same: a request that is under way must notice the end.
        record = Record(ended.thing, ended.job_id, State.DONE)
        return cloud.records.write(record.finished(cloud.clock.now()))
    if record.state in (State.GRACE, State.RETIRING, State.DONE):
        return record
    if _is_of_an_earlier_run(cloud, record):
        return None
    retire = which_goes(record, ended)
    if retire is Which.OLD and cloud.grace_seconds:
        return cloud.records.write(grace.begun(cloud, record))
    now = int(cloud.clock.now())
    return cloud.records.write(replace(record, state=State.RETIRING, retire=retire, ended=now))


def _is_of_an_earlier_run(cloud: Cloud, record: Record) -> bool:
    """A job that is executed again for the thing has events of both runs on their way."""
    now = cloud.jobs.execution(record.thing, record.job_id)
    if now is None or now.ended or now.identity != record.execution:
        return False
    # In a first run the event is believed before a status that may lag behind it.
    return now.number > 1


def which_goes(record: Record, ended: Ended) -> Which:
    """The certificate that the device has no more use for.

    A device that reports an end itself says which one it uses, and is believed. Else the
    commit decides.
    """
    if record.state in (State.ISSUING, State.UNDOING):
        return Which.NEW
    if ended.used == record.new:
        return Which.OLD
    if ended.used == record.old:
        return Which.NEW
    return Which.OLD if record.state is State.COMMITTED else Which.NEW
