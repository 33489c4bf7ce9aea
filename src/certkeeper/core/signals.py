"""What an event means to a rotation under way: the columns of its table.

Events come late, twice, out of order, and for other jobs than ours. What is not about
this rotation, or answers a question that nobody asks any more, has no signal at all.
"""

from __future__ import annotations

from enum import Enum

from certkeeper.core import events
from certkeeper.core.events import Event
from rotation_protocol.jobs import JobExecution
from rotation_protocol.reasons import RejectionCode

_LIVE = frozenset({"QUEUED", "IN_PROGRESS"})
#: The Jobs service's words for an execution that takes no more updates.
_ENDED = frozenset({"TerminalStateReached", "InvalidStateTransition", "ResourceNotFound"})


class Signal(str, Enum):
    """What can happen to a rotation, each with the sentence that says so."""

    JOB_OFFERED = "a rotation job waits for this device"
    JOB_LIVES = "asked, the Jobs service says that our job is in progress"
    JOB_DOUBTED = "a notification speaks of another job than ours, or of none"
    JOB_ENDED = "asked, the Jobs service says that our job has ended, or is not there"
    UPDATE_TAKEN = "the Jobs service took our update"
    UPDATE_OUTDATED = "the job has changed since we saw it"
    UPDATE_REFUSED = "the job takes no more updates"
    PREPARED = "the new key and its CSR are there"
    ISSUED = "the cloud issued a certificate"
    CREATE_REFUSED = "the cloud issues none, whatever we ask"
    STAGED = "the certificate is good, and on the disk"
    PROBED = "pairs have been tried with AWS IoT"
    ARMED = "the dead-man's switch is armed"
    ACTIVATED = "the nucleus's paths lead to the slot"
    RECONNECTED = "the nucleus was told to use it"
    DISARMED = "the dead-man's switch is off"
    COMMITTED = "the cloud confirms that the new certificate is in use"
    OTHER_PRINCIPAL = "the cloud sees another certificate in use than the new one"
    COMMIT_REFUSED = "the cloud does not take the new certificate"
    WIPED = "a slot is empty"
    STEP_FAILED = "a step on the device failed"
    NOT_SAVED = "the journal could not be written"
    TRY_AGAIN = "no answer yet"
    OUT_OF_TIME = "the time for this phase is over"


_OF_STEPS: dict[type[object], Signal] = {
    events.Prepared: Signal.PREPARED,
    events.Staged: Signal.STAGED,
    events.Probed: Signal.PROBED,
    events.Armed: Signal.ARMED,
    events.Activated: Signal.ACTIVATED,
    events.Reconnected: Signal.RECONNECTED,
    events.Disarmed: Signal.DISARMED,
    events.Wiped: Signal.WIPED,
    events.StepFailed: Signal.STEP_FAILED,
    events.JournalNotSaved: Signal.NOT_SAVED,
}


def of(event: Event, job_id: str | None, token: str) -> Signal | None:
    """The signal in ``event`` to a rotation of ``job_id`` (None: there is none), whose present
    question to the Jobs service carries ``token``."""
    if isinstance(event, (events.JobNotified, events.JobAnswered)):
        return _of_next_job(event, job_id, token)
    if isinstance(event, events.JobAskRejected):
        ended = event.rejected.code in _ENDED
        return Signal.JOB_ENDED if ended and event.job_id == job_id else None
    if isinstance(event, events.UpdateTaken):
        return Signal.UPDATE_TAKEN if event.accepted.client_token == token else None
    if isinstance(event, events.UpdateRejected):
        if event.rejected.client_token != token:
            return None
        if event.rejected.code == "VersionMismatch":
            return Signal.UPDATE_OUTDATED
        return Signal.UPDATE_REFUSED if event.rejected.code in _ENDED else None
    if isinstance(event, events.CreateAnswered):
        return Signal.ISSUED if event.issued.job_id in (None, job_id) else None
    if isinstance(event, events.CommitAnswered):
        return Signal.COMMITTED if event.committed.job_id in (None, job_id) else None
    if isinstance(event, (events.CreateRejected, events.CommitRejected)):
        return _of_rejected(event, job_id)
    return _OF_STEPS.get(type(event))


def offered(event: Event) -> JobExecution | None:
    """The rotation job in what the Jobs service says is next, if that is one."""
    if not isinstance(event, (events.JobNotified, events.JobAnswered)):
        return None
    execution = event.next_job.execution
    if execution is None or not execution.is_rotation or execution.status not in _LIVE:
        return None
    return execution


def _of_next_job(
    event: events.JobNotified | events.JobAnswered, job_id: str | None, token: str
) -> Signal | None:
    execution = event.next_job.execution
    if job_id is None:
        return None if offered(event) is None else Signal.JOB_OFFERED
    ours = execution is not None and execution.job_id == job_id
    if isinstance(event, events.JobNotified):
        return None if ours else Signal.JOB_DOUBTED
    if event.job_id != job_id:  # what $next says of another job proves nothing of ours
        return None
    if execution is None or not ours or execution.status not in _LIVE:
        return Signal.JOB_ENDED
    return Signal.JOB_LIVES if event.next_job.client_token == token else None


def _of_rejected(
    event: events.CreateRejected | events.CommitRejected, job_id: str | None
) -> Signal | None:
    rejected = event.rejected
    if rejected.job_id not in (None, job_id):
        return None
    if rejected.code is not None and rejected.code.may_be_asked_again:
        return None
    if isinstance(event, events.CreateRejected):
        return Signal.CREATE_REFUSED
    if rejected.code is RejectionCode.OTHER_PRINCIPAL:
        return Signal.OTHER_PRINCIPAL
    return Signal.COMMIT_REFUSED
