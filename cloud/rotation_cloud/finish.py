"""A rotation job has ended: one of the two certificates goes, and people hear of a failure.

The events come at least once and in any order. Which certificate goes is decided once and
written down before the first call; every call may be repeated. What fails is raised, so that
the event is delivered again.
https://docs.aws.amazon.com/iot/latest/developerguide/events-jobs.html
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from rotation_cloud import notices
from rotation_cloud.ports import Cloud, NotFound, RecordChanged
from rotation_cloud.records import Record, State, Which
from rotation_cloud.retirement import retire, retire_strays
from rotation_protocol.fields import Fields, WireError

_log = logging.getLogger(__name__)
_ROUNDS = 4
_ENDS = frozenset({"SUCCEEDED", "FAILED", "REJECTED", "TIMED_OUT", "CANCELED", "REMOVED"})
_EXCLUSIVE = "EXCLUSIVE_THING"


class StillIssuing(Exception):
    """The job ended while its certificate was being made: to be looked at again soon."""


@dataclass(frozen=True)
class Ended:
    """How a job execution ended; ``certificate_id`` is the one that the device says it uses."""

    thing: str
    job_id: str
    status: str
    deleted: bool = False
    certificate_id: str | None = None
    reason: str = ""
    detail: str = ""

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
        )

    @property
    def is_failure(self) -> bool:
        return self.status != "SUCCEEDED"


def finish(cloud: Cloud, ended: Ended) -> None:
    """Does what the end of the job asks for. Raises AwsError, StillIssuing, RecordChanged."""
    record = _finish(cloud, ended)
    if record is None or not record.started:
        return
    for other in cloud.records.of_thing(ended.thing):
        if other.state is not State.DONE and other.started < record.started:
            _finish_unheard(cloud, other)


def _finish_unheard(cloud: Cloud, record: Record) -> None:
    """An earlier job whose event was lost. What the device used after it is in its record."""
    execution = cloud.jobs.execution(record.thing, record.job_id)
    if execution is None or execution.ended:
        status = "SUCCEEDED" if record.state is State.COMMITTED else "EVENT_LOST"
        _finish(cloud, Ended(record.thing, record.job_id, status))


def _finish(cloud: Cloud, ended: Ended) -> Record | None:
    for _ in range(_ROUNDS):
        with suppress(RecordChanged):
            return _one_round(cloud, ended)
    raise RecordChanged(f"{ended.thing} {ended.job_id}")


def _one_round(cloud: Cloud, ended: Ended) -> Record | None:
    record = _decided(cloud, ended)
    if record is None:
        return None
    if record.state is State.RETIRING:
        if record.is_leased(cloud.clock.now()):
            raise StillIssuing(f"{ended.thing} {ended.job_id}")
        _retire(cloud, record)
        _log.info("finished thing=%s job=%s %s", record.thing, record.job_id, ended.status)
        record = cloud.records.write(record.finished(cloud.clock.now()))
    if ended.is_failure and not record.told:
        notices.rotation_failed(
            cloud, ended.thing, ended.job_id, ended.status, ended.reason, ended.detail
        )
        record = cloud.records.write(replace(record, told=True))
    return record


def _decided(cloud: Cloud, ended: Ended) -> Record | None:
    """The record with its decision written down; None for an event of an earlier run."""
    record = cloud.records.get(ended.thing, ended.job_id)
    if record is None:
        # Written down all the same: a request that is under way must notice the end.
        told = ended.deleted or not ended.is_failure
        record = Record(ended.thing, ended.job_id, State.DONE, told=told)
        return cloud.records.write(record.finished(cloud.clock.now()))
    if record.state in (State.RETIRING, State.DONE):
        return record
    if _is_of_an_earlier_run(cloud, record):
        return None
    return cloud.records.write(
        replace(
            record,
            state=State.RETIRING,
            retire=which_goes(record, ended),
            told=not ended.is_failure,
        )
    )


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
    if ended.status in ("SUCCEEDED", "FAILED") and ended.certificate_id is not None:
        if ended.certificate_id == record.new:
            return Which.OLD
        if ended.certificate_id == record.old:
            return Which.NEW
    return Which.OLD if record.state is State.COMMITTED else Which.NEW


def _retire(cloud: Cloud, record: Record) -> None:
    if record.retire is Which.NEW:
        if record.new is not None:
            retire(cloud, record.new_arn, record.policies, record.thing)
        if record.unsure:
            retire_strays(cloud, record)
        return
    if record.attachment != _EXCLUSIVE:
        try:
            others = [t for t in cloud.registry.things(record.old_arn) if t != record.thing]
        except NotFound:
            return
        if others:
            with suppress(NotFound):
                cloud.registry.detach_thing(record.old_arn, record.thing)
            notices.certificate_shared(
                cloud, record.thing, record.job_id, record.old_arn, ", ".join(others[:5])
            )
            return
    retire(cloud, record.old_arn, record.policies, record.thing)
