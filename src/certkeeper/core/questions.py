"""What each phase of a rotation asks, of the cloud or of the rotating child.

Each question may be asked again at any time. How often, and for how long, is in
core/asking.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Callable

from certkeeper.core import effects
from certkeeper.core.effects import Effect
from certkeeper.core.journal import Phase
from certkeeper.core.rotation_state import Context, Rotation
from rotation_protocol import jobs, rotation, topics
from rotation_protocol.reasons import FailureReason


def commit(found: Rotation, context: Context) -> Effect:
    """The confirmation, asked over the connection that the nucleus has now."""
    request = rotation.CommitRequest(found.journal.job_id or "")
    return _certificate(context, topics.COMMIT, rotation.encode_commit(request))


def inquiry(found: Rotation, context: Context) -> Effect:
    """How our own job stands."""
    return _get(found, context, found.journal.job_id or "")


def _next_job(found: Rotation, context: Context) -> tuple[Effect, ...]:
    return (_get(found, context, "$next"),)


def _claim(found: Rotation, context: Context) -> tuple[Effect, ...]:
    return (_update(found, context, "IN_PROGRESS", {}, found.version),)


def _prepare(found: Rotation, context: Context) -> tuple[Effect, ...]:
    settings = context.settings
    return (effects.Prepare(settings.key_algorithm, settings.signing_algorithm),)


def _create(found: Rotation, context: Context) -> tuple[Effect, ...]:
    request = rotation.CreateRequest(found.journal.job_id or "", found.journal.csr or "")
    return (_certificate(context, topics.CREATE, rotation.encode_create(request)),)


def _stage(found: Rotation, context: Context) -> tuple[Effect, ...]:
    journal = found.journal
    return (effects.Stage(journal.new_slot or "", journal.csr or "", found.issued_pem),)


def _probe(found: Rotation, context: Context) -> tuple[Effect, ...]:
    return (effects.Probe((found.journal.new_slot or "",)),)


def _switch(found: Rotation, context: Context) -> tuple[Effect, ...]:
    return (arming(found, context),)


def arming(found: Rotation, context: Context) -> Effect:
    """The dead-man's switch of this rotation."""
    old, new = found.journal.old_slot or "", found.journal.new_slot or ""
    return effects.Arm(old, new, context.settings.dead_man_seconds)


def _prove(found: Rotation, context: Context) -> tuple[Effect, ...]:
    return (inquiry(found, context),)


def _commit(found: Rotation, context: Context) -> tuple[Effect, ...]:
    """Disarmed first: from the sending on, the old certificate may be gone at any moment."""
    return (effects.Disarm(),)


def _succeeded(found: Rotation, context: Context) -> tuple[Effect, ...]:
    details = {"certificateId": found.journal.certificate_id or ""}
    return (_update(found, context, "SUCCEEDED", details),)


def _roll_back(found: Rotation, context: Context) -> tuple[Effect, ...]:
    activate = effects.Activate(found.journal.old_slot or "")
    if found.journal.reason is FailureReason.JOURNAL_UNREADABLE:
        # The pair that is kept may be the new one, and the dead-man's switch may be armed.
        return (effects.Disarm(), activate)
    return (activate,)


def _failed(found: Rotation, context: Context) -> tuple[Effect, ...]:
    journal = found.journal
    details = {
        "reason": "" if journal.reason is None else journal.reason.value,
        "detail": journal.detail,
        "certificateId": found.certificate_in_use or "",
    }
    report = _update(found, context, "FAILED", details)
    armed = journal.session is not None and found.tries == 1
    return (effects.Disarm(), report) if armed else (report,)


QUESTIONS: Mapping[Phase, Callable[[Rotation, Context], tuple[Effect, ...]]] = {
    Phase.IDLE: _next_job,
    Phase.CLAIMING: _claim,
    Phase.PREPARING: _prepare,
    Phase.REQUESTING: _create,
    Phase.STAGED: _stage,
    Phase.PROBING: _probe,
    Phase.SWITCHING: _switch,
    Phase.PROVING: _prove,
    Phase.COMMITTING: _commit,
    Phase.COMMITTED: _succeeded,
    Phase.ROLLING_BACK: _roll_back,
    Phase.FAILED: _failed,
}


def _get(found: Rotation, context: Context, job_id: str) -> Effect:
    topic = topics.jobs(context.thing_name, f"{job_id}/get")
    return effects.Send(topic, jobs.encode_get(found.token(context)))


def _update(
    found: Rotation,
    context: Context,
    status: str,
    details: Mapping[str, str],
    version: int | None = None,
) -> Effect:
    topic = topics.jobs(context.thing_name, f"{found.journal.job_id}/update")
    payload = jobs.encode_update(status, details, found.token(context), version)
    return effects.Send(topic, payload)


def _certificate(context: Context, action: str, payload: bytes) -> Effect:
    topic = topics.rotation(context.settings.topic_prefix, context.thing_name, action)
    return effects.Send(topic, payload)
