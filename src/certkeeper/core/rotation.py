"""One rotation: the table that says what follows from what, and nothing that does it.

Two rules for whoever edits this file:

1. A transition is a row of TABLE. There is no other way from one phase to another, save
   after a crash (core/recovery.py) and by a fault in our own code (``after_fault``).
2. Each phase asks one question (core/questions.py) and may ask it again at any time: of
   the cloud, or of the rotating child. So a crash, a lost message and a slow answer all
   have the same remedy: ask again.

    IDLE -> CLAIMING -> PREPARING -> REQUESTING -> STAGED -> PROBING -> SWITCHING -> PROVING
         -> COMMITTING -> COMMITTED -> IDLE
    and from each of them before COMMITTED: -> (ROLLING_BACK ->) FAILED -> IDLE

The old pair stays whole until the cloud has committed the new one, and nothing is ever
written into the slot in use. The daemon saves a changed journal before it runs the first
effect; what could not be saved comes back as NOT_SAVED, with the rotation as it was. A
commit that was sent and not answered is asked again and never guessed
(docs/decisions/0006). Left out: when to rotate (core/policy.py), alerts (core/monitor.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Callable, TypeVar

from certkeeper.core import effects, events, questions, signals
from certkeeper.core.effects import Effect, Log
from certkeeper.core.events import Event
from certkeeper.core.journal import Journal, Phase
from certkeeper.core.questions import MAX_RECONNECTS, Context, Rotation, Step, ask, enter
from certkeeper.core.signals import Signal
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
#: Ended well or badly: what is left is to report it.
REPORTING = (Phase.COMMITTED, Phase.FAILED)


@dataclass(frozen=True)
class Rule:
    """What a signal does in one phase, and the phases that may follow."""

    handler: Handler
    to: tuple[Phase, ...]


@dataclass(frozen=True)
class Row:
    """One signal: the phases in which it counts, and why it is nothing in all others."""

    rules: Mapping[Phase, Rule]
    otherwise: str


def step(rotation: Rotation, event: Event, context: Context) -> Step:
    """What follows from ``event``: the rotation as it is then, and what to do.

    ``context`` holds the time, the settings in force and who we are. Every pair of phase and
    signal has an outcome; where the table says nothing, nothing changes.
    """
    if isinstance(event, events.UpdateAnnounced):
        return rotation, _defer(rotation, event)
    if questions.survey_is_due(rotation, event, context):
        return questions.survey(rotation, context)
    rotation, signal = questions.heard(rotation, event, context)
    if signal is None:
        signal = signals.of(event, rotation.journal.job_id, rotation.token(context))
    if signal is None:
        return rotation, questions.remarks(event)
    rule = TABLE[signal].rules.get(rotation.journal.phase)
    return (rotation, ()) if rule is None else rule.handler(rotation, event, context)


def must_be_saved(before: Journal, wanted: Journal) -> bool:
    """Whether what ``wanted`` announces must not begin unless it has been written down.

    That a phase has been begun once more is worth writing down, and no more than that, unless
    it restarts the nucleus. COMMITTED and FAILED may begin unsaved: the cloud says it once more,
    and the report is made once more.
    """
    if wanted.phase in (Phase.IDLE, Phase.COMMITTED, Phase.FAILED):
        return False
    if wanted.phase is Phase.SWITCHING:
        return before != wanted
    return replace(before, starts=0) != replace(wanted, starts=0)


def after_fault(rotation: Rotation, context: Context) -> Step:
    """The rotation once an event of it could not be handled: given up where that is safe."""
    if rotation.journal.phase in (Phase.IDLE, Phase.COMMITTING, *REPORTING):
        return rotation, ()
    return _failed(rotation, context, FailureReason.INTERNAL_ERROR, "")


def _defer(rotation: Rotation, event: events.UpdateAnnounced) -> tuple[Effect, ...]:
    """A deployment that restarts the nucleus or us has to wait; the nucleus asks again."""
    if not rotation.under_way:
        return ()
    details = {"deployment": event.deployment_id, "phase": rotation.journal.phase.value}
    log = Log("deployment-deferred", details)
    return (effects.DeferUpdate(event.deployment_id, questions.DEFER_MILLISECONDS), log)


# -- failing ------------------------------------------------------------------------


def _failed(rotation: Rotation, context: Context, reason: FailureReason, detail: str = "") -> Step:
    """Report the failure; first go back to the old pair if the new one may be in use."""
    phase = Phase.FAILED if rotation.journal.phase in BEFORE_SWITCH else Phase.ROLLING_BACK
    return enter(rotation, context, phase, reason=reason, detail=detail[:200])


def _fail(reason: FailureReason) -> Handler:
    return lambda rotation, _, context: _failed(rotation, context, reason)


def _job_gone(rotation: Rotation, event: Event, context: Context) -> Step:
    return _failed(rotation, context, FailureReason.JOB_GONE)


def _step_failed(rotation: Rotation, event: Event, context: Context) -> Step:
    failure = _only(event, events.StepFailed)
    return _failed(rotation, context, failure.reason, failure.detail)


def _not_saved(rotation: Rotation, event: Event, context: Context) -> Step:
    """The step that was to follow is not taken, unless it leads back; what it knows of slots and
    job still counts.

    A process that has just begun does not restart the nucleus at once: the next one would find
    the same journal, and do the same, for ever.
    """
    unsaved = _only(event, events.JournalNotSaved)
    before, wanted = rotation.journal, unsaved.wanted
    leads_back = wanted.phase is Phase.ROLLING_BACK
    if before.phase is Phase.COMMITTING and not leads_back:
        return questions.later(rotation, context), ()  # the cloud may have committed
    idle = before.phase is Phase.IDLE
    known = wanted if idle else replace(wanted, phase=before.phase, session=before.session)
    reason, detail = wanted.reason, wanted.detail
    if reason is None or not leads_back:
        reason, detail = FailureReason.JOURNAL_FAILED, unsaved.reason
    anew = idle or not rotation.taken_up
    rotation = replace(rotation, journal=known, taken_up=True)
    rotation, then = _failed(rotation, context, reason, detail)
    if anew and rotation.journal.phase is Phase.ROLLING_BACK:
        rotation, then = questions.held_back(rotation, context), then[:1]
    if rotation.store is None:
        rotation, look = questions.survey(rotation, context)
        then = (*then, *look)
    return rotation, then


# -- before the switch ---------------------------------------------------------------


def _claim(rotation: Rotation, event: Event, context: Context) -> Step:
    execution = signals.offered(event)
    if execution is None:
        return rotation, ()
    if rotation.store is None and (not rotation.survey_problem or execution.status != "QUEUED"):
        # Asked for again once the device has been looked at: its journal may know of this job.
        return rotation, ()
    rotation = replace(rotation, version=execution.version_number)
    claimed = enter(rotation, context, Phase.CLAIMING, job_id=execution.job_id)
    if rotation.store is None:
        detail = rotation.survey_problem
        return _failed(claimed[0], context, FailureReason.CREDENTIALS_UNREADABLE, detail)
    if rotation.lost and execution.status == "IN_PROGRESS":
        return _give_up_lost(claimed[0], rotation.store, context)
    return claimed


def _give_up_lost(claimed: Rotation, store: Store, context: Context) -> Step:
    """A job begun before the journal was lost: which key it was for is gone. Which of two whole
    pairs the nucleus uses is not known either, so it is told to use the active one."""
    reason, detail = FailureReason.JOURNAL_UNREADABLE, claimed.lost
    if store.current is None or not store.slots[other(store.current)].whole:
        return _failed(claimed, context, reason, detail)
    return enter(
        claimed,
        context,
        Phase.ROLLING_BACK,
        old_slot=store.current,
        new_slot=other(store.current),
        old_certificate_id=store.in_use,
        session=context.session,
        reason=reason,
        detail=detail[:200],
    )


def _claim_anew(rotation: Rotation, event: Event, context: Context) -> Step:
    return ask(replace(rotation, version=None), context)


def _not_ours(rotation: Rotation, event: Event, context: Context) -> Step:
    log = Log("job-not-claimed", {"job": rotation.journal.job_id}, effects.WARN)
    rotation, asked = enter(rotation, context, Phase.IDLE)
    return rotation, (log, *asked)


def _inquire(rotation: Rotation, event: Event, context: Context) -> Step:
    """Notifications are late, repeated and out of order: the service itself is asked."""
    return rotation, (questions.inquiry(rotation, context),)


def _prepare(rotation: Rotation, event: Event, context: Context) -> Step:
    return enter(rotation, context, Phase.PREPARING)


def _request(rotation: Rotation, event: Event, context: Context) -> Step:
    made = _only(event, events.Prepared)
    return enter(
        rotation,
        context,
        Phase.REQUESTING,
        old_slot=made.old_slot,
        new_slot=made.new_slot,
        csr=made.csr,
        old_certificate_id=made.old_certificate_id,
    )


def _stage(rotation: Rotation, event: Event, context: Context) -> Step:
    issued = _only(event, events.CreateAnswered).issued
    return enter(replace(rotation, issued_pem=issued.certificate_pem), context, Phase.STAGED)


def _create_refused(rotation: Rotation, event: Event, context: Context) -> Step:
    said = _only(event, events.CreateRejected).rejected
    return _failed(rotation, context, FailureReason.CREATE_REJECTED, _words(said))


def _probe(rotation: Rotation, event: Event, context: Context) -> Step:
    staged = _only(event, events.Staged)
    phase = Phase.SWITCHING if context.settings.probe == "off" else Phase.PROBING
    return enter(rotation, context, phase, certificate_id=staged.certificate_id)


def _after_probe(rotation: Rotation, event: Event, context: Context) -> Step:
    """A new certificate takes a while to be known everywhere, so a refusal is asked again."""
    result = _only(event, events.Probed).of(rotation.journal.new_slot)
    log = questions.probe_line(result)
    if result.verdict == "accepted":
        rotation, then = enter(rotation, context, Phase.SWITCHING)
        return rotation, (log, *then)
    if not questions.probing_is_over(rotation, result, context):
        return questions.later(rotation, context), (log,)
    if result.verdict == "refused":
        rotation, then = _failed(rotation, context, FailureReason.PROBE_REFUSED, result.detail)
    elif context.settings.probe == "preferred":
        rotation, then = enter(rotation, context, Phase.SWITCHING)
    else:
        rotation, then = _failed(rotation, context, FailureReason.PROBE_UNREACHABLE, result.detail)
    return rotation, (log, *then)


# -- the switch and its proof ----------------------------------------------------------


def _activate(rotation: Rotation, event: Event, context: Context) -> Step:
    return rotation, (effects.Activate(rotation.journal.new_slot or ""),)


def _reconnect(rotation: Rotation, event: Event, context: Context) -> Step:
    if _only(event, events.Activated).slot != rotation.journal.new_slot:
        return rotation, ()
    return rotation, (effects.Reconnect(rotation.journal.reconnects),)


def _prove(rotation: Rotation, event: Event, context: Context) -> Step:
    """A restart of the nucleus ends this process too: the next one goes on from there."""
    if _only(event, events.Reconnected).restarts_us:
        return questions.awaiting_restart(rotation, context), ()
    return enter(rotation, context, Phase.PROVING)


def _reconnect_failed(rotation: Rotation, event: Event, context: Context) -> Step:
    failure = _only(event, events.StepFailed)
    if failure.step == "Reconnect":
        return _reconnect_harder(rotation, context, failure.detail)
    if rotation.journal.reconnects == rotation.journal.starts == 0:
        # The nucleus was never told of the new pair, and need not be told of the old one.
        rotation = replace(rotation, journal=replace(rotation.journal, session=None))
    return _step_failed(rotation, event, context)


def _not_restarted(rotation: Rotation, event: Event, context: Context) -> Step:
    return _reconnect_harder(rotation, context, "it was told to, and was not restarted")


def _other_principal(rotation: Rotation, event: Event, context: Context) -> Step:
    return _reconnect_harder(rotation, context, "the cloud sees another certificate in use")


def _reconnect_harder(rotation: Rotation, context: Context, why: str) -> Step:
    """The switch once more, the dead-man's switch armed again, by a stronger means."""
    reconnects = rotation.journal.reconnects + 1
    if reconnects >= MAX_RECONNECTS:
        return _failed(rotation, context, FailureReason.RECONNECT_FAILED, why)
    return enter(rotation, context, Phase.SWITCHING, reconnects=reconnects)


def _commit(rotation: Rotation, event: Event, context: Context) -> Step:
    return enter(rotation, context, Phase.COMMITTING)


def _make_sure(rotation: Rotation, event: Event, context: Context) -> Step:
    """The dead-man's switch may have struck just before it was disarmed."""
    return rotation, (effects.Activate(rotation.journal.new_slot or ""),)


def _send_commit(rotation: Rotation, event: Event, context: Context) -> Step:
    if _only(event, events.Activated).slot != rotation.journal.new_slot:
        return rotation, ()
    return rotation, (questions.commit(rotation, context),)


def _which_is_right(rotation: Rotation, event: Event, context: Context) -> Step:
    """No answer to the commit: the certificates themselves say which one the cloud kept."""
    probed = _only(event, events.Probed)
    new, old = probed.of(rotation.journal.new_slot), probed.of(rotation.journal.old_slot)
    lines = (questions.probe_line(new), questions.probe_line(old))
    if new.verdict == "refused" and old.verdict == "accepted":
        rotation, then = _failed(rotation, context, FailureReason.CERTIFICATE_REFUSED, new.detail)
    else:
        rotation, then = ask(rotation, context)
    return rotation, (*lines, *then)


def _try_both(rotation: Rotation, event: Event, context: Context) -> Step:
    return questions.try_both(rotation, context)


def _committed(rotation: Rotation, event: Event, context: Context) -> Step:
    return enter(rotation, context, Phase.COMMITTED)


def _commit_refused(rotation: Rotation, event: Event, context: Context) -> Step:
    said = _only(event, events.CommitRejected).rejected
    return _failed(rotation, context, FailureReason.COMMIT_REJECTED, _words(said))


# -- going back, and the end --------------------------------------------------------------


def _back(rotation: Rotation, event: Event, context: Context) -> Step:
    """The old pair is active; the nucleus has to be told only if it was told of the new one."""
    if _only(event, events.Activated).slot != rotation.journal.old_slot:
        return rotation, ()
    if rotation.journal.session is None:
        return enter(rotation, context, Phase.FAILED)
    return rotation, (effects.Reconnect(rotation.tries - 1),)


def _is_back(rotation: Rotation, event: Event, context: Context) -> Step:
    if _only(event, events.Reconnected).restarts_us and rotation.tries < MAX_RECONNECTS:
        return questions.awaiting_restart(rotation, context), ()
    return enter(rotation, context, Phase.FAILED)


def _back_failed(rotation: Rotation, event: Event, context: Context) -> Step:
    """The files must be right, whatever it takes; a nucleus that cannot be told finds them at
    its next start."""
    if _only(event, events.StepFailed).step == "Reconnect" and rotation.tries >= MAX_RECONNECTS:
        return enter(rotation, context, Phase.FAILED)
    return questions.later(rotation, context), ()


def _done(rotation: Rotation, event: Event, context: Context) -> Step:
    return questions.done(rotation, context)


def _again(rotation: Rotation, event: Event, context: Context) -> Step:
    return ask(rotation, context)


def _stay(rotation: Rotation, event: Event, context: Context) -> Step:
    """The question is asked again in a while."""
    return questions.later(rotation, context), ()


def _without_journal(rotation: Rotation, event: Event, context: Context) -> Step:
    """The journal is gone: the pair in use is left only if it is dead and the other is not."""
    probed = _only(event, events.Probed)
    in_use, spare = probed.results
    lines = tuple(questions.probe_line(result) for result in probed.results)
    if in_use.verdict == "refused" and spare.verdict == "accepted":
        return rotation, (*lines, effects.Activate(spare.slot))
    if in_use.verdict != "accepted":
        rotation = questions.survey_later(replace(rotation, taken_up=False), context)
    return rotation, (*lines, effects.EndRotator())


def _tell(rotation: Rotation, event: Event, context: Context) -> Step:
    slot, store = _only(event, events.Activated).slot, rotation.store
    if store is not None:
        in_use = store.slots[slot].certificate_id
        rotation = replace(rotation, store=replace(store, current=slot, in_use=in_use))
    return rotation, (effects.Reconnect(0),)


def _tell_committed(rotation: Rotation, event: Event, context: Context) -> Step:
    return rotation, (effects.Reconnect(rotation.tries),)


def _told_committed(rotation: Rotation, event: Event, context: Context) -> Step:
    if _only(event, events.Reconnected).restarts_us:
        return questions.awaiting_restart(rotation, context), ()
    return ask(rotation, context)


def _rest(rotation: Rotation, event: Event, context: Context) -> Step:
    return rotation, (effects.EndRotator(),)


def _only(event: Event, kind: type[E]) -> E:
    """The event, whose kind its signal has settled."""
    if not isinstance(event, kind):
        raise TypeError(f"{type(event).__name__} is not {kind.__name__}")
    return event


def _words(said: object) -> str:
    code, message = getattr(said, "code", None), getattr(said, "message", "")
    return f"{code.value}: {message}" if code is not None else str(message)


# -- the table ------------------------------------------------------------------------------

P = Phase
_GIVE_UP = (P.FAILED,)
_GO_BACK = (P.ROLLING_BACK,)
_HARDER = (P.SWITCHING, P.ROLLING_BACK)


def _in(phases: tuple[Phase, ...], handler: Handler, *to: Phase) -> dict[Phase, Rule]:
    return {phase: Rule(handler, to or (phase,)) for phase in phases}


TABLE: Mapping[Signal, Row] = {
    Signal.JOB_OFFERED: Row(
        _in((P.IDLE,), _claim, P.IDLE, P.CLAIMING, P.ROLLING_BACK, P.FAILED),
        "it is asked for again when this one has ended",
    ),
    Signal.JOB_LIVES: Row(
        _in((P.PROVING,), _commit, P.COMMITTING), "only over the new connection it proves anything"
    ),
    Signal.JOB_DOUBTED: Row(
        {
            **_in((*BEFORE_SWITCH, P.SWITCHING, P.PROVING), _inquire),
            # The job's end may have taken the new certificate's right to ask for the commit.
            **_in((P.COMMITTING,), _try_both),
        },
        "the answer to the report says how the job stands",
    ),
    Signal.JOB_ENDED: Row(
        {
            **_in((P.CLAIMING,), _not_ours, P.IDLE),
            **_in(BEFORE_SWITCH[1:], _job_gone, *_GIVE_UP),
            **_in((P.SWITCHING, P.PROVING), _job_gone, *_GO_BACK),
            **_in(REPORTING, _done, P.IDLE),
        },
        "a commit may have arrived before: its answer decides",
    ),
    Signal.UPDATE_TAKEN: Row(
        {**_in((P.CLAIMING,), _prepare, P.PREPARING), **_in(REPORTING, _done, P.IDLE)},
        "no other phase sends one",
    ),
    Signal.UPDATE_OUTDATED: Row(_in((P.CLAIMING,), _claim_anew), "no other phase names a version"),
    Signal.UPDATE_REFUSED: Row(
        {**_in((P.CLAIMING,), _not_ours, P.IDLE), **_in(REPORTING, _done, P.IDLE)},
        "no other phase sends one",
    ),
    Signal.PREPARED: Row(
        _in((P.PREPARING,), _request, P.REQUESTING), "the rotation was given up meanwhile"
    ),
    Signal.ISSUED: Row(_in((P.REQUESTING,), _stage, P.STAGED), "it has come before, or too late"),
    Signal.CREATE_REFUSED: Row(
        _in((P.REQUESTING,), _create_refused, *_GIVE_UP), "a certificate has come before"
    ),
    Signal.STAGED: Row(
        _in((P.STAGED,), _probe, P.PROBING, P.SWITCHING), "the rotation was given up meanwhile"
    ),
    Signal.PROBED: Row(
        {
            **_in((P.PROBING,), _after_probe, P.PROBING, P.SWITCHING, P.FAILED),
            **_in((P.COMMITTING,), _which_is_right, P.COMMITTING, P.ROLLING_BACK),
            **_in((P.IDLE,), _without_journal),
        },
        "the rotation was given up meanwhile",
    ),
    Signal.ARMED: Row(_in((P.SWITCHING,), _activate), "armed again after a restart: that is all"),
    Signal.ACTIVATED: Row(
        {
            **_in((P.SWITCHING,), _reconnect),
            **_in((P.ROLLING_BACK,), _back, P.ROLLING_BACK, P.FAILED),
            **_in((P.COMMITTING,), _send_commit),
            **_in((P.COMMITTED,), _tell_committed),
            **_in((P.IDLE,), _tell),
        },
        "the rotation was given up meanwhile",
    ),
    Signal.RECONNECTED: Row(
        {
            **_in((P.COMMITTED,), _told_committed),
            **_in((P.SWITCHING,), _prove, P.SWITCHING, P.PROVING),
            **_in((P.ROLLING_BACK,), _is_back, P.ROLLING_BACK, P.FAILED),
        },
        "the rotation was given up meanwhile",
    ),
    Signal.DISARMED: Row(
        _in((P.COMMITTING,), _make_sure), "after the end of a rotation: that is all"
    ),
    Signal.COMMITTED: Row(
        _in((P.COMMITTING,), _committed, P.COMMITTED), "it has come before, or too late"
    ),
    Signal.OTHER_PRINCIPAL: Row(
        _in((P.COMMITTING,), _other_principal, *_HARDER), "nobody asks any more"
    ),
    Signal.COMMIT_REFUSED: Row(
        _in((P.COMMITTING,), _commit_refused, *_GO_BACK), "nobody asks any more"
    ),
    Signal.WIPED: Row(_in((P.IDLE,), _rest), "a slot is emptied before a new key comes into it"),
    Signal.STEP_FAILED: Row(
        {
            **_in((P.PREPARING, P.STAGED), _step_failed, *_GIVE_UP),
            **_in((P.SWITCHING,), _reconnect_failed, *_HARDER),
            **_in((P.ROLLING_BACK,), _back_failed, P.ROLLING_BACK, P.FAILED),
            **_in((P.PROBING, P.COMMITTING), _stay),
        },
        "what was tidied up or armed again can wait",
    ),
    Signal.NOT_SAVED: Row(
        {
            **_in((P.IDLE,), _not_saved, P.FAILED, P.ROLLING_BACK),
            **_in(BEFORE_SWITCH, _not_saved, *_GIVE_UP),
            **_in((P.SWITCHING, P.PROVING), _not_saved, *_GO_BACK),
            **_in((P.COMMITTING,), _not_saved, P.COMMITTING, P.ROLLING_BACK),
        },
        "what follows these may begin unsaved",
    ),
    Signal.TRY_AGAIN: Row(_in(tuple(P), _again), "there is no other phase"),
    Signal.OUT_OF_TIME: Row(
        {
            **_in((P.CLAIMING,), _not_ours, P.IDLE),
            **_in((P.REQUESTING,), _fail(FailureReason.CREATE_UNANSWERED), *_GIVE_UP),
            **_in((P.SWITCHING,), _not_restarted, *_HARDER),
            **_in((P.PROVING,), _fail(FailureReason.PROVE_UNANSWERED), *_GO_BACK),
            **_in((P.COMMITTING,), _try_both),
        },
        "these have no end but an answer",
    ),
}
