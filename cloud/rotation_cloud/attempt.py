"""One attempt of a workflow: a job is made, its end is waited for, and what came of it is said.

Every step may be repeated. The job's id follows from execution and attempt, so a repeat makes no
second one. Which token waits is written down before the job is made (``waiting.py``): whoever
hears of the job's end finds it. The time-out of the workflow is an end like any other: what has
not ended by then is cancelled, and finished as an operator's cancellation is.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from rotation_cloud import documents
from rotation_cloud.documents import BEGINNING, Document
from rotation_cloud.due import NotDue, rotation_under_way
from rotation_cloud.finish import Ended, finish
from rotation_cloud.ports import AlreadyThere, Cloud, Ending, NotFound, RecordChanged
from rotation_cloud.records import KEPT_SECONDS, Record, State
from rotation_cloud.security_events import Activity, SecurityEvent
from rotation_cloud.waiting import ENDED, TAKEN_SECONDS
from rotation_cloud.workflow import job_id_of

_ROUNDS = 4
#: By then a job that was made is among those that wait for the thing.
_BEGINNING_SECONDS = 300
#: Ends that somebody wanted: they are not tried again.
_STOPPED = frozenset({"CANCELED", "REMOVED", "DELETED"})


class Outcome(StrEnum):
    """What came of an attempt."""

    REPLACED = "replaced"  # the device uses the new certificate
    FAILED = "failed"
    STOPPED = "stopped"  # by an operator


class StillRunning(Exception):
    """The execution was cancelled, and is not told as ended yet: to be looked at again soon."""


@dataclass(frozen=True)
class Attempt:
    """The ``number``-th attempt (from 1) of an execution, told from every other one by its text."""

    thing: str
    execution: str
    number: int

    @property
    def job_id(self) -> str:
        return job_id_of(self.execution, self.number)


@dataclass(frozen=True)
class Settled:
    """What came of an attempt, and how its job ended."""

    outcome: Outcome
    job_id: str
    status: str
    reason: str = ""
    detail: str = ""


def begin(cloud: Cloud, attempt: Attempt, token: str) -> None:
    """Makes the job whose end wakes ``token``; or wakes it at once, if there is nothing to do.

    Raises AwsError, RecordChanged: to be called again, with another token.
    """
    job_id = attempt.job_id
    if not _is_first(cloud, attempt) or rotation_under_way(cloud, attempt.thing, job_id):
        _wake(cloud, token, {"outcome": "skipped", "reason": NotDue.UNDER_WAY.value})
        return
    _noted(cloud, attempt.thing, job_id, token=token)
    try:
        cloud.jobs.create(job_id, attempt.thing)
    except AlreadyThere:
        # By an earlier try, whose token may have been woken in vain. A job without an execution
        # is one that has not been rolled out yet.
        execution = cloud.jobs.execution(attempt.thing, job_id)
        if execution is not None and execution.ended:
            _wake(cloud, token, ENDED)
    else:
        cloud.audit.record(SecurityEvent(Activity.ROTATION_REQUESTED, attempt.thing, job_id=job_id))


def settle(cloud: Cloud, attempt: Attempt) -> Settled:
    """What came of the attempt, once its job has ended, or should have.

    Raises AwsError, RecordChanged, StillIssuing, StillRunning: to be called again.
    """
    thing, job_id = attempt.thing, attempt.job_id
    known = _noted(cloud, thing, job_id, takenUntil=int(cloud.clock.now()) + TAKEN_SECONDS)
    record = cloud.records.get(thing, job_id)
    if record is None or record.state not in (State.GRACE, State.DONE):
        known = _ended(cloud, thing, job_id, record, known)
        record = cloud.records.get(thing, job_id)
    settled = _outcome(job_id, record, known)
    _noted(cloud, thing, job_id, settled=True)
    return settled


def _is_first(cloud: Cloud, attempt: Attempt) -> bool:
    """Whether no other workflow is just about to make a job for the thing."""
    now = cloud.clock.now()
    for _ in range(_ROUNDS):
        known = cloud.documents.get(attempt.thing, BEGINNING) or Document(attempt.thing, BEGINNING)
        is_ours = known.body.get("execution") == attempt.execution
        if not is_ours and known.body.get("until", 0) > now:
            return False
        until = int(now) + _BEGINNING_SECONDS
        body = {"execution": attempt.execution, "until": until}
        with suppress(RecordChanged):
            cloud.documents.write(replace(known, body=body, expires_at=int(now) + KEPT_SECONDS))
            return True
    raise RecordChanged(f"{attempt.thing} {BEGINNING}")


def _noted(cloud: Cloud, thing: str, job_id: str, **more: Any) -> Mapping[str, Any]:
    """What is known of the job, with more written to it."""
    name = documents.workflow(job_id)
    expires_at = int(cloud.clock.now()) + KEPT_SECONDS
    for _ in range(_ROUNDS):
        known = cloud.documents.get(thing, name) or Document(thing, name)
        body = {**known.body, **more}
        with suppress(RecordChanged):
            return cloud.documents.write(replace(known, body=body, expires_at=expires_at)).body
    raise RecordChanged(f"{thing} {name}")


def _ended(
    cloud: Cloud, thing: str, job_id: str, record: Record | None, known: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Ends what has not ended, and sees to it that its end has been served."""
    execution = cloud.jobs.execution(thing, job_id)
    if execution is not None and not execution.ended:
        # Written down first: a cancellation that is found later was ours.
        known = _noted(cloud, thing, job_id, gaveUp=True)
        with suppress(NotFound):
            cloud.jobs.cancel(thing, job_id)
    ending: Ending | None = None
    if execution is not None:
        with suppress(NotFound):
            ending = cloud.jobs.ending(thing, job_id)
            if ending is None:
                raise StillRunning(f"{thing} {job_id}")
    if ending is None and record is None:
        return known  # no such job: it was never made
    ended = _as_ended(thing, job_id, ending)
    said = {"status": ended.status, "reason": ended.reason, "detail": ended.detail}
    known = _noted(cloud, thing, job_id, **said)
    finish(cloud, ended)
    return known


def _as_ended(thing: str, job_id: str, ending: Ending | None) -> Ended:
    if ending is None:
        return Ended(thing, job_id, "DELETED", deleted=True)
    return Ended(
        thing,
        job_id,
        ending.status,
        certificate_id=ending.details.get("certificateId"),
        reason=ending.details.get("reason") or ending.details.get("DeviceFailureReason") or "",
        detail=ending.details.get("detail", ""),
        at=ending.at,
    )


def _outcome(job_id: str, record: Record | None, known: Mapping[str, Any]) -> Settled:
    status, reason = str(known.get("status", "")), str(known.get("reason", ""))
    detail = str(known.get("detail", ""))
    if record is not None and record.keeps_new:
        return Settled(Outcome.REPLACED, job_id, status, reason, detail)
    if known.get("gaveUp"):
        detail = "the job was cancelled, since it had not ended within the time allowed"
        return Settled(Outcome.FAILED, job_id, status, "no-answer", detail)
    if not status:
        return Settled(Outcome.FAILED, job_id, "NOT_MADE", "no-job", "the job could not be made")
    outcome = Outcome.STOPPED if status in _STOPPED else Outcome.FAILED
    return Settled(outcome, job_id, status, reason, detail)


def _wake(cloud: Cloud, token: str, result: Mapping[str, Any]) -> None:
    with suppress(NotFound):  # it waits no more
        cloud.workflows.end_task(token, result)
