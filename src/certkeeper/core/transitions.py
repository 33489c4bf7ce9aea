"""What a rotation does at each of its transitions: the handlers of the table's rules.

Each takes the rotation, the event and the context, and gives the rotation as it is then and
what to do. When one of them is asked is in core/rotation.py.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Callable, TypeVar

from certkeeper.core import effects, events, questions, rotation_lines, signals
from certkeeper.core.effects import Log
from certkeeper.core.events import Event
from certkeeper.core.journal import Phase
from certkeeper.core.questions import MAX_RECONNECTS, Context, Rotation, Step, ask, enter
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
        return questions.later(rotation, context), ()  # the cloud may have committed
    idle = before.phase is Phase.IDLE
    known = wanted if idle else replace(wanted, phase=before.phase, session=before.session)
    reason, detail = wanted.reason, wanted.detail
    if reason is None or not leads_back:
        reason, detail = FailureReason.JOURNAL_FAILED, unsaved.reason
    anew = idle or not rotation.taken_up or before.starts > 0
    rotation = replace(rotation, journal=known, taken_up=True)
    rotation, then = failed(rotation, context, reason, detail)
    if anew and rotation.journal.phase is Phase.ROLLING_BACK:
        rotation, then = questions.held_back(rotation, context), then[:1]
    if rotation.store is None:
        rotation, look = questions.survey(rotation, context)
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
        if not questions.is_answer(rotation, event, context):
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
    if not questions.probing_is_over(rotation, result, context):
        return questions.later(rotation, context), (log,)
    if result.verdict == "refused":
        rotation, then = failed(rotation, context, FailureReason.PROBE_REFUSED, result.detail)
    elif context.settings.probe == "preferred":
        rotation, then = enter(rotation, context, Phase.SWITCHING)
    else:
        rotation, then = failed(rotation, context, FailureReason.PROBE_UNREACHABLE, result.detail)
    return rotation, (log, *then)


# -- the switch and its proof ----------------------------------------------------------


def activate(rotation: Rotation, event: Event, context: Context) -> Step:
    return rotation, (effects.Activate(rotation.journal.new_slot or ""),)


def reconnect(rotation: Rotation, event: Event, context: Context) -> Step:
    if only(event, events.Activated).slot != rotation.journal.new_slot:
        return rotation, ()
    return rotation, (effects.Reconnect(rotation.journal.reconnects),)


def prove(rotation: Rotation, event: Event, context: Context) -> Step:
    """A restart of the nucleus ends this process too: the next one goes on from there."""
    if only(event, events.Reconnected).restarts_us:
        return questions.awaiting_restart(rotation, context), ()
    return enter(rotation, context, Phase.PROVING)


def reconnect_failed(rotation: Rotation, event: Event, context: Context) -> Step:
    failure = only(event, events.StepFailed)
    if failure.step == "Reconnect":
        return reconnect_harder(rotation, context, failure.detail)
    if rotation.journal.reconnects == rotation.journal.starts == 0:
        # The nucleus was never told of the new pair, and need not be told of the old one.
        rotation = replace(rotation, journal=replace(rotation.journal, session=None))
    return step_failed(rotation, event, context)


def not_restarted(rotation: Rotation, event: Event, context: Context) -> Step:
    return reconnect_harder(rotation, context, "it was told to, and was not restarted")


def other_principal(rotation: Rotation, event: Event, context: Context) -> Step:
    return reconnect_harder(rotation, context, "the cloud sees another certificate in use")


def reconnect_harder(rotation: Rotation, context: Context, why: str) -> Step:
    """The switch once more, the dead-man's switch armed again, by a stronger means."""
    reconnects = rotation.journal.reconnects + 1
    if reconnects >= MAX_RECONNECTS:
        return failed(rotation, context, FailureReason.RECONNECT_FAILED, why)
    return enter(rotation, context, Phase.SWITCHING, reconnects=reconnects)


def commit(rotation: Rotation, event: Event, context: Context) -> Step:
    return enter(rotation, context, Phase.COMMITTING)


def make_sure(rotation: Rotation, event: Event, context: Context) -> Step:
    """The dead-man's switch may have struck just before it was disarmed: the store is looked at
    (core/recovery.py) before the commit is sent."""
    return questions.survey(rotation, context)


def which_is_right(rotation: Rotation, event: Event, context: Context) -> Step:
    """No answer to the commit: the certificates themselves say which one the cloud kept."""
    probed = only(event, events.Probed)
    new, old = probed.of(rotation.journal.new_slot), probed.of(rotation.journal.old_slot)
    lines = (rotation_lines.probe_line(new), rotation_lines.probe_line(old))
    if new.verdict == "refused" and old.verdict == "accepted":
        rotation, then = failed(rotation, context, FailureReason.CERTIFICATE_REFUSED, new.detail)
    elif old.verdict == "accepted" and questions.is_back(rotation):
        reason = FailureReason.PROVE_UNANSWERED
        rotation, then = failed(rotation, context, reason, questions.STRUCK)
    elif questions.is_back(rotation):
        # The certificates do not say: the answer to a commit over the old connection does.
        rotation, then = (
            questions.later(rotation, context),
            (questions.commit(rotation, context),),
        )
    else:
        rotation, then = ask(rotation, context)
    return rotation, (*lines, *then)


def try_both(rotation: Rotation, event: Event, context: Context) -> Step:
    return questions.try_both(rotation, context)


def committed(rotation: Rotation, event: Event, context: Context) -> Step:
    return enter(rotation, context, Phase.COMMITTED)


def commit_refused(rotation: Rotation, event: Event, context: Context) -> Step:
    said = only(event, events.CommitRejected).rejected
    return failed(rotation, context, FailureReason.COMMIT_REJECTED, words(said))


# -- going back, and the end --------------------------------------------------------------


def back(rotation: Rotation, event: Event, context: Context) -> Step:
    """The old pair is active; the nucleus has to be told only if it was told of the new one."""
    if only(event, events.Activated).slot != rotation.journal.old_slot:
        return rotation, ()
    if rotation.journal.session is None:
        return enter(rotation, context, Phase.FAILED)
    return rotation, (effects.Reconnect(rotation.tries - 1),)


def is_back(rotation: Rotation, event: Event, context: Context) -> Step:
    if rotation.store is not None and not questions.is_back(rotation):
        return rotation, ()  # it was told of the new pair, just before that was given up
    if only(event, events.Reconnected).restarts_us and rotation.tries < MAX_RECONNECTS:
        return questions.awaiting_restart(rotation, context), ()
    return enter(rotation, context, Phase.FAILED)


def back_failed(rotation: Rotation, event: Event, context: Context) -> Step:
    """The files must be right, whatever it takes; a nucleus that cannot be told finds them at
    its next start."""
    if only(event, events.StepFailed).step == "Reconnect" and rotation.tries >= MAX_RECONNECTS:
        return enter(rotation, context, Phase.FAILED)
    return questions.later(rotation, context), ()


def after_all(rotation: Rotation, event: Event, context: Context) -> Step:
    """Nobody hears of the failure: the commit may have arrived all the same, and the old
    certificate have gone with the job."""
    probed = only(event, events.Probed)
    new, old = probed.of(rotation.journal.new_slot), probed.of(rotation.journal.old_slot)
    lines = (rotation_lines.probe_line(new), rotation_lines.probe_line(old))
    if new.verdict != "accepted" or old.verdict != "refused":
        return rotation, lines
    rotation, then = enter(rotation, context, Phase.COMMITTED, reason=None, detail="")
    return rotation, (*lines, effects.Activate(new.slot), *then)


def done(rotation: Rotation, event: Event, context: Context) -> Step:
    return questions.done(rotation, context)


def again(rotation: Rotation, event: Event, context: Context) -> Step:
    return ask(rotation, context)


def stay(rotation: Rotation, event: Event, context: Context) -> Step:
    """The question is asked again in a while."""
    return questions.later(rotation, context), ()


def without_journal(rotation: Rotation, event: Event, context: Context) -> Step:
    """The journal is gone: the pair in use is left only if it is dead and the other is not."""
    probed = only(event, events.Probed)
    in_use, spare = probed.results
    lines = tuple(rotation_lines.probe_line(result) for result in probed.results)
    if in_use.verdict == "refused" and spare.verdict == "accepted":
        return rotation, (*lines, effects.Activate(spare.slot))
    if in_use.verdict != "accepted" or spare.verdict != "refused":
        # The job, which nobody remembers, may yet end, and take one of the two with it.
        rotation = questions.survey_later(replace(rotation, taken_up=False), context)
    return rotation, (*lines, effects.EndRotator())


def tell(rotation: Rotation, event: Event, context: Context) -> Step:
    slot, store = only(event, events.Activated).slot, rotation.store
    if store is not None:
        in_use = store.slots[slot].certificate_id
        rotation = replace(rotation, store=replace(store, current=slot, in_use=in_use))
    return rotation, (effects.Reconnect(0),)


def tell_committed(rotation: Rotation, event: Event, context: Context) -> Step:
    return rotation, (effects.Reconnect(rotation.tries),)


def told_committed(rotation: Rotation, event: Event, context: Context) -> Step:
    if only(event, events.Reconnected).restarts_us:
        return questions.awaiting_restart(rotation, context), ()
    return ask(rotation, context)


def not_tried(rotation: Rotation, event: Event, context: Context) -> Step:
    """Without its journal, a device whose pairs could not be tried tries them again."""
    if rotation.lost:
        rotation = questions.survey_later(replace(rotation, taken_up=False), context)
    return rotation, (effects.EndRotator(),)


def rest(rotation: Rotation, event: Event, context: Context) -> Step:
    return rotation, (effects.EndRotator(),)


def only(event: Event, kind: type[E]) -> E:
    """The event, whose kind its signal has settled."""
    if not isinstance(event, kind):
        raise TypeError(f"{type(event).__name__} is not {kind.__name__}")
    return event


def words(said: object) -> str:
    code, message = getattr(said, "code", None), getattr(said, "message", "")
    return f"{code.value}: {message}" if code is not None else str(message)
