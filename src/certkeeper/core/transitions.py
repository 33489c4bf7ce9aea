"""What a rotation does before the switch, and when it fails: handlers of the table's rules.

Each takes the rotation, the event and the context, and gives the rotation as it is then and
what to do. When one of them is asked is in core/rotation.py; those from the switch on are in
core/switching.py.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Callable, TypeVar

from certkeeper.core import asking, effects, events, questions, rotation_lines, signals
from certkeeper.core.asking import ask, enter
from certkeeper.core.effects import Log
from certkeeper.core.events import Event
from certkeeper.core.journal import Phase
from certkeeper.core.rotation_state import Context, Rotation, Step
from certkeeper.core.store import Store, other
from rotation_protocol.reasons import FailureReason

E = TypeVar("E", bound=Event)
Handler = Callable[[Rotation, Event, Context], Step]

#: Nothing of the device has been changed in these: a failure only has to be reported.
BEFORE_SWITCH = (
    Phase.CLAIMING,
    Phase.PREPARING,
    Phase.REQUESTING,
    Phase.STAGED,
    Phase.PROBING,
)


# -- failing ------------------------------------------------------------------------


def failed(rotation: Rotation, context: Context, reason: FailureReason, detail: str = "") -> Step:
    """Report the failure; first go back to the old pair if the new one may be in use."""
    phase = Phase.FAILED if rotation.journal.phase in BEFORE_SWITCH else Phase.ROLLING_BACK
    return enter(rotation, context, phase, reason=reason, detail=detail[:200])


def fail(reason: FailureReason) -> Handler:
    return lambda rotation, _, context: failed(rotation, context, reason)


def job_gone(rotation: Rotation, event: Event, context: Context) -> Step:
    return failed(rotation, context, FailureReason.JOB_GONE)


def step_failed(rotation: Rotation, event: Event, context: Context) -> Step:
    failure = only(event, events.StepFailed)
    return failed(rotation, context, failure.reason, failure.detail)


def not_saved(rotation: Rotation, event: Event, context: Context) -> Step:
    """The step that was to follow is not taken, unless it leads back; what it knows of slots and
    job still counts.

    A process that has just begun does not restart the nucleus at once: the next one would find
    the same journal, and do the same, for ever.
    """
    unsaved = only(event, events.JournalNotSaved)
    before, wanted = rotation.journal, unsaved.wanted
    leads_back = wanted.phase is Phase.ROLLING_BACK
    if before.phase is Phase.COMMITTING and not leads_back:
        return asking.later(rotation, context), ()  # the cloud may have committed
    idle = before.phase is Phase.IDLE
    known = wanted if idle else replace(wanted, phase=before.phase, session=before.session)
    reason, detail = wanted.reason, wanted.detail
    if reason is None or not leads_back:
        reason, detail = FailureReason.JOURNAL_FAILED, unsaved.reason
    anew = idle or not rotation.taken_up or before.starts > 0
    rotation = replace(rotation, journal=known, taken_up=True)
    rotation, then = failed(rotation, context, reason, detail)
    if anew and rotation.journal.phase is Phase.ROLLING_BACK:
        rotation, then = asking.held_back(rotation, context), then[:1]
    if rotation.store is None:
        rotation, look = asking.survey(rotation, context)
        then = (*then, *look)
    return rotation, then


# -- before the switch ---------------------------------------------------------------


def claim(rotation: Rotation, event: Event, context: Context) -> Step:
    execution = signals.offered(event)
    if execution is None:
        return rotation, ()
    if rotation.store is None or rotation.lost:
        if isinstance(event, events.JobNotified):
            # It may be late, and the job begun before the last restart: what is true is asked.
            return ask(rotation, context)
        if not asking.is_answer(rotation, event, context):
            return rotation, ()
    if rotation.store is None and (not rotation.survey_problem or execution.status != "QUEUED"):
        # Asked for again once the device has been looked at: its journal may know of this job.
        return rotation, ()
    taken_up = rotation.store is not None
    rotation = replace(rotation, version=execution.version_number, taken_up=taken_up)
    claimed = enter(rotation, context, Phase.CLAIMING, job_id=execution.job_id)
    if rotation.store is None:
        detail = rotation.survey_problem
        return failed(claimed[0], context, FailureReason.CREDENTIALS_UNREADABLE, detail)
    if rotation.lost and execution.status == "IN_PROGRESS":
        return give_up_lost(claimed[0], rotation.store, context)
    return claimed


def give_up_lost(claimed: Rotation, store: Store, context: Context) -> Step:
    """A job begun before the journal was lost: which key it was for is gone. Which of two whole
    pairs the nucleus uses is not known either, so it is told to use the active one."""
    reason, detail = FailureReason.JOURNAL_UNREADABLE, claimed.lost
    if store.current is None or not store.slots[other(store.current)].whole:
        return failed(claimed, context, reason, detail)
    return enter(
        claimed,
        context,
        Phase.ROLLING_BACK,
        old_slot=store.current,
        new_slot=other(store.current),
        old_certificate_id=store.in_use,
        certificate_id=store.slots[other(store.current)].certificate_id,
        session=context.session,
        reason=reason,
        detail=detail[:200],
    )


def claim_anew(rotation: Rotation, event: Event, context: Context) -> Step:
    return ask(replace(rotation, version=None), context)


def not_ours(rotation: Rotation, event: Event, context: Context) -> Step:
    log = Log("job-not-claimed", {"job": rotation.journal.job_id}, effects.WARN)
    rotation, asked = enter(rotation, context, Phase.IDLE)
    return rotation, (log, *asked)


def inquire(rotation: Rotation, event: Event, context: Context) -> Step:
    """Notifications are late, repeated and out of order: the service itself is asked."""
    return rotation, (questions.inquiry(rotation, context),)


def prepare(rotation: Rotation, event: Event, context: Context) -> Step:
    return enter(rotation, context, Phase.PREPARING)


def request(rotation: Rotation, event: Event, context: Context) -> Step:
    made = only(event, events.Prepared)
    return enter(
        rotation,
        context,
        Phase.REQUESTING,
        old_slot=made.old_slot,
        new_slot=made.new_slot,
        csr=made.csr,
        old_certificate_id=made.old_certificate_id,
    )


def stage(rotation: Rotation, event: Event, context: Context) -> Step:
    issued = only(event, events.CreateAnswered).issued
    return enter(replace(rotation, issued_pem=issued.certificate_pem), context, Phase.STAGED)


def create_refused(rotation: Rotation, event: Event, context: Context) -> Step:
    said = only(event, events.CreateRejected).rejected
    return failed(rotation, context, FailureReason.CREATE_REJECTED, words(said))


def probe(rotation: Rotation, event: Event, context: Context) -> Step:
    staged = only(event, events.Staged)
    phase = Phase.SWITCHING if context.settings.probe == "off" else Phase.PROBING
    return enter(rotation, context, phase, certificate_id=staged.certificate_id)


def after_probe(rotation: Rotation, event: Event, context: Context) -> Step:
    """A new certificate takes a while to be known everywhere, so a refusal is asked again."""
    result = only(event, events.Probed).of(rotation.journal.new_slot)
    log = rotation_lines.probe_line(result)
    if result.verdict == "accepted":
        rotation, then = enter(rotation, context, Phase.SWITCHING)
        return rotation, (log, *then)
    if not asking.probing_is_over(rotation, result, context):
        return asking.later(rotation, context), (log,)
    if result.verdict == "refused":
        rotation, then = failed(rotation, context, FailureReason.PROBE_REFUSED, result.detail)
    elif context.settings.probe == "preferred":
        rotation, then = enter(rotation, context, Phase.SWITCHING)
    else:
        rotation, then = failed(rotation, context, FailureReason.PROBE_UNREACHABLE, result.detail)
    return rotation, (log, *then)


# -- for every handler -----------------------------------------------------------------


def only(event: Event, kind: type[E]) -> E:
    """The event, whose kind its signal has settled."""
    if not isinstance(event, kind):
        raise TypeError(f"{type(event).__name__} is not {kind.__name__}")
    return event


def words(said: object) -> str:
    code, message = getattr(said, "code", None), getattr(said, "message", "")
    return f"{code.value}: {message}" if code is not None else str(message)
