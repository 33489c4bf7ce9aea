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
from dataclasses import replace

from certkeeper.core import asking, effects, events, rotation_lines, signals, switching, transitions
from certkeeper.core.effects import Effect, Log
from certkeeper.core.events import Event
from certkeeper.core.journal import Journal, Phase
from certkeeper.core.rotation_state import Context, Rotation, Step
from certkeeper.core.signals import Signal
from certkeeper.core.transitions import BEFORE_SWITCH, Handler
from rotation_protocol.reasons import FailureReason
from rotation_protocol.values import dataclass

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
    if asking.survey_is_due(rotation, event, context):
        return asking.survey(rotation, context)
    rotation, signal = asking.heard(rotation, event, context)
    if signal is None:
        signal = signals.of(event, rotation.journal.job_id, rotation.token(context))
    if signal is None:
        return rotation, rotation_lines.remarks(event)
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
    return transitions.failed(rotation, context, FailureReason.INTERNAL_ERROR, "")


def _defer(rotation: Rotation, event: events.UpdateAnnounced) -> tuple[Effect, ...]:
    """A deployment that restarts the nucleus or us has to wait; the nucleus asks again."""
    if not rotation.under_way:
        return ()
    details = {"deployment": event.deployment_id, "phase": rotation.journal.phase.value}
    log = Log("deployment-deferred", details)
    return (effects.DeferUpdate(event.deployment_id, asking.DEFER_MILLISECONDS), log)


# -- the table ------------------------------------------------------------------------------

P = Phase
_GIVE_UP = (P.FAILED,)
_GO_BACK = (P.ROLLING_BACK,)
_HARDER = (P.SWITCHING, P.ROLLING_BACK)


def _in(phases: tuple[Phase, ...], handler: Handler, *to: Phase) -> dict[Phase, Rule]:
    return {phase: Rule(handler, to or (phase,)) for phase in phases}


TABLE: Mapping[Signal, Row] = {
    Signal.JOB_OFFERED: Row(
        _in((P.IDLE,), transitions.claim, P.IDLE, P.CLAIMING, P.ROLLING_BACK, P.FAILED),
        "it is asked for again when this one has ended",
    ),
    Signal.JOB_LIVES: Row(
        _in((P.PROVING,), switching.commit, P.COMMITTING),
        "only over the new connection it proves anything",
    ),
    Signal.JOB_DOUBTED: Row(
        {
            **_in((*BEFORE_SWITCH, P.SWITCHING, P.PROVING), transitions.inquire),
            # The job's end may have taken the new certificate's right to ask for the commit.
            **_in((P.COMMITTING,), switching.try_both),
        },
        "the answer to the report says how the job stands",
    ),
    Signal.JOB_ENDED: Row(
        {
            **_in((P.CLAIMING,), transitions.not_ours, P.IDLE),
            **_in(BEFORE_SWITCH[1:], transitions.job_gone, *_GIVE_UP),
            **_in((P.SWITCHING, P.PROVING), transitions.job_gone, *_GO_BACK),
            **_in(REPORTING, switching.done, P.IDLE),
        },
        "a commit may have arrived before: its answer decides",
    ),
    Signal.UPDATE_TAKEN: Row(
        {
            **_in((P.CLAIMING,), transitions.prepare, P.PREPARING),
            **_in(REPORTING, switching.done, P.IDLE),
        },
        "no other phase sends one",
    ),
    Signal.UPDATE_OUTDATED: Row(
        _in((P.CLAIMING,), transitions.claim_anew), "no other phase names a version"
    ),
    Signal.UPDATE_REFUSED: Row(
        {
            **_in((P.CLAIMING,), transitions.not_ours, P.IDLE),
            **_in(REPORTING, switching.done, P.IDLE),
        },
        "no other phase sends one",
    ),
    Signal.PREPARED: Row(
        _in((P.PREPARING,), transitions.request, P.REQUESTING),
        "the rotation was given up meanwhile",
    ),
    Signal.ISSUED: Row(
        _in((P.REQUESTING,), transitions.stage, P.STAGED), "it has come before, or too late"
    ),
    Signal.CREATE_REFUSED: Row(
        _in((P.REQUESTING,), transitions.create_refused, *_GIVE_UP), "a certificate has come before"
    ),
    Signal.STAGED: Row(
        _in((P.STAGED,), transitions.probe, P.PROBING, P.SWITCHING),
        "the rotation was given up meanwhile",
    ),
    Signal.PROBED: Row(
        {
            **_in((P.PROBING,), transitions.after_probe, P.PROBING, P.SWITCHING, P.FAILED),
            **_in((P.COMMITTING,), switching.which_is_right, P.COMMITTING, P.ROLLING_BACK),
            **_in((P.FAILED,), switching.after_all, P.FAILED, P.COMMITTED),
            **_in((P.IDLE,), switching.without_journal),
        },
        "the rotation was given up meanwhile",
    ),
    Signal.ARMED: Row(
        _in((P.SWITCHING,), switching.activate), "armed again after a restart: that is all"
    ),
    Signal.ACTIVATED: Row(
        {
            **_in((P.SWITCHING,), switching.reconnect),
            **_in((P.ROLLING_BACK,), switching.back, P.ROLLING_BACK, P.FAILED),
            **_in((P.COMMITTED,), switching.tell_committed),
            **_in((P.IDLE,), switching.tell),
        },
        "the rotation was given up meanwhile",
    ),
    Signal.RECONNECTED: Row(
        {
            **_in((P.COMMITTED,), switching.told_committed),
            **_in((P.SWITCHING,), switching.prove, P.SWITCHING, P.PROVING),
            **_in((P.ROLLING_BACK,), switching.is_back, P.ROLLING_BACK, P.FAILED),
        },
        "the rotation was given up meanwhile",
    ),
    Signal.DISARMED: Row(
        _in((P.COMMITTING,), switching.make_sure), "after the end of a rotation: that is all"
    ),
    Signal.COMMITTED: Row(
        _in((P.COMMITTING,), switching.committed, P.COMMITTED), "it has come before, or too late"
    ),
    Signal.OTHER_PRINCIPAL: Row(
        _in((P.COMMITTING,), switching.other_principal, *_HARDER), "nobody asks any more"
    ),
    Signal.COMMIT_REFUSED: Row(
        _in((P.COMMITTING,), switching.commit_refused, *_GO_BACK), "nobody asks any more"
    ),
    Signal.WIPED: Row(
        _in((P.IDLE,), switching.rest), "a slot is emptied before a new key comes into it"
    ),
    Signal.STEP_FAILED: Row(
        {
            **_in((P.IDLE,), switching.not_tried),
            **_in((P.PREPARING, P.STAGED), transitions.step_failed, *_GIVE_UP),
            **_in((P.SWITCHING,), switching.reconnect_failed, *_HARDER),
            **_in((P.ROLLING_BACK,), switching.back_failed, P.ROLLING_BACK, P.FAILED),
            **_in((P.PROBING, P.COMMITTING), switching.stay),
        },
        "what was tidied up or armed again can wait",
    ),
    Signal.NOT_SAVED: Row(
        {
            **_in((P.IDLE,), transitions.not_saved, P.FAILED, P.ROLLING_BACK),
            **_in(BEFORE_SWITCH, transitions.not_saved, *_GIVE_UP),
            **_in((P.SWITCHING, P.PROVING), transitions.not_saved, *_GO_BACK),
            **_in((P.COMMITTING,), transitions.not_saved, P.COMMITTING, P.ROLLING_BACK),
        },
        "what follows these may begin unsaved",
    ),
    Signal.TRY_AGAIN: Row(_in(tuple(P), switching.again), "there is no other phase"),
    Signal.OUT_OF_TIME: Row(
        {
            **_in((P.CLAIMING,), transitions.not_ours, P.IDLE),
            **_in((P.REQUESTING,), transitions.fail(FailureReason.CREATE_UNANSWERED), *_GIVE_UP),
            **_in((P.SWITCHING,), switching.not_restarted, *_HARDER),
            **_in((P.PROVING,), transitions.fail(FailureReason.PROVE_UNANSWERED), *_GO_BACK),
            **_in((P.COMMITTING, P.FAILED), switching.try_both),
        },
        "these have no end but an answer",
    ),
}
