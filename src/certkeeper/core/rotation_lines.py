"""What a person reads of a rotation in the log: a line for each phase, and for what is odd."""

from __future__ import annotations

from certkeeper.core import effects, events
from certkeeper.core.effects import Effect, Log
from certkeeper.core.events import Event, ProbeResult
from certkeeper.core.journal import Journal, Phase


def phase_line(journal: Journal) -> Effect:
    """That the rotation is in that phase."""
    details: dict[str, object] = {"phase": journal.phase.value, "job": journal.job_id}
    if journal.phase is Phase.REQUESTING:
        details["oldCertificateId"] = journal.old_certificate_id
    elif journal.phase in (Phase.PROBING, Phase.SWITCHING, Phase.COMMITTED):
        details["certificateId"] = journal.certificate_id
    if journal.phase in (Phase.ROLLING_BACK, Phase.FAILED) and journal.reason is not None:
        details.update(reason=journal.reason.value, detail=journal.detail)
        return Log("rotating", details, effects.WARN)
    return Log("rotating", details)


def probe_line(result: ProbeResult) -> Effect:
    """What trying a pair showed."""
    details = {"slot": result.slot, "verdict": result.verdict, "detail": result.detail}
    accepted = result.verdict == "accepted"
    return Log("probed", details, effects.INFO if accepted else effects.WARN)


def remarks(event: Event) -> tuple[Effect, ...]:
    """A line for what changes nothing, but is worth knowing."""
    if isinstance(event, events.MessageRefused):
        details = {"topic": event.topic, "reason": event.reason}
        return (Log("message-refused", details, effects.WARN),)
    if isinstance(event, events.SendFailed):
        details = {"topic": event.topic, "reason": event.reason}
        return (Log("send-failed", details, effects.WARN),)
    if isinstance(event, (events.JobNotified, events.JobAnswered)):
        other = event.next_job.execution
        if other is not None and not other.is_rotation:
            details = {"job": other.job_id, "operation": str(other.operation)[:64]}
            return (Log("job-left-alone", details),)
    if isinstance(event, (events.CreateRejected, events.CommitRejected)):
        said = event.rejected
        details = {"code": said.code.value if said.code else "none", "message": said.message}
        return (Log("answer-postponed", details, effects.WARN),)
    if isinstance(event, (events.UpdateRejected, events.JobAskRejected)):
        refused = event.rejected
        details = {"job": event.job_id, "code": refused.code, "message": refused.message}
        return (Log("job-answer-rejected", details, effects.WARN),)
    return ()
