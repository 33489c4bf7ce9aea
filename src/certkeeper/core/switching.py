"""What a rotation does from the switch on: its proof, the way back, and the end.

The handlers before it, and those of every failure, are in core/transitions.py; when one of
them is asked is in core/rotation.py.
"""

from __future__ import annotations

from dataclasses import replace

from certkeeper.core import asking, effects, events, questions, rotation_lines
from certkeeper.core.asking import MAX_RECONNECTS, ask, enter
from certkeeper.core.events import Event
from certkeeper.core.journal import Phase
from certkeeper.core.rotation_state import Context, Rotation, Step
from certkeeper.core.transitions import failed, only, step_failed, words
from rotation_protocol.reasons import FailureReason


def activate(rotation: Rotation, event: Event, context: Context) -> Step:
    return rotation, (effects.Activate(rotation.journal.new_slot or ""),)


def reconnect(rotation: Rotation, event: Event, context: Context) -> Step:
    if only(event, events.Activated).slot != rotation.journal.new_slot:
        return rotation, ()
    return rotation, (effects.Reconnect(rotation.journal.reconnects),)


def prove(rotation: Rotation, event: Event, context: Context) -> Step:
    """A restart of the nucleus ends this process too: the next one goes on from there."""
    if only(event, events.Reconnected).restarts_us:
        return asking.awaiting_restart(rotation, context), ()
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
    return asking.survey(rotation, context)


def which_is_right(rotation: Rotation, event: Event, context: Context) -> Step:
    """No answer to the commit: the certificates themselves say which one the cloud kept."""
    probed = only(event, events.Probed)
    new, old = probed.of(rotation.journal.new_slot), probed.of(rotation.journal.old_slot)
    lines = (rotation_lines.probe_line(new), rotation_lines.probe_line(old))
    if new.verdict == "refused" and old.verdict == "accepted":
        rotation, then = failed(rotation, context, FailureReason.CERTIFICATE_REFUSED, new.detail)
    elif old.verdict == "accepted" and asking.is_back(rotation):
        reason = FailureReason.PROVE_UNANSWERED
        rotation, then = failed(rotation, context, reason, asking.STRUCK)
    elif asking.is_back(rotation):
        # The certificates do not say: the answer to a commit over the old connection does.
        rotation, then = (
            asking.later(rotation, context),
            (questions.commit(rotation, context),),
        )
    else:
        rotation, then = ask(rotation, context)
    return rotation, (*lines, *then)


def try_both(rotation: Rotation, event: Event, context: Context) -> Step:
    return asking.try_both(rotation, context)


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
    if rotation.store is not None and not asking.is_back(rotation):
        return rotation, ()  # it was told of the new pair, just before that was given up
    if only(event, events.Reconnected).restarts_us and rotation.tries < MAX_RECONNECTS:
        return asking.awaiting_restart(rotation, context), ()
    return enter(rotation, context, Phase.FAILED)


def back_failed(rotation: Rotation, event: Event, context: Context) -> Step:
    """The files must be right, whatever it takes; a nucleus that cannot be told finds them at
    its next start."""
    if only(event, events.StepFailed).step == "Reconnect" and rotation.tries >= MAX_RECONNECTS:
        return enter(rotation, context, Phase.FAILED)
    return asking.later(rotation, context), ()


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
    return asking.done(rotation, context)


def again(rotation: Rotation, event: Event, context: Context) -> Step:
    return ask(rotation, context)


def stay(rotation: Rotation, event: Event, context: Context) -> Step:
    """The question is asked again in a while."""
    return asking.later(rotation, context), ()


def without_journal(rotation: Rotation, event: Event, context: Context) -> Step:
    """The journal is gone: the pair in use is left only if it is dead and the other is not.

    With a journal, it is the late answer to a rotation that has ended meanwhile.
    """
    probed = only(event, events.Probed)
    if not rotation.lost:
        return rotation, ()
    in_use, spare = probed.results
    lines = tuple(rotation_lines.probe_line(result) for result in probed.results)
    if in_use.verdict == "refused" and spare.verdict == "accepted":
        return rotation, (*lines, effects.Activate(spare.slot))
    if in_use.verdict != "accepted" or spare.verdict != "refused":
        # The job, which nobody remembers, may yet end, and take one of the two with it.
        rotation = asking.survey_later(replace(rotation, taken_up=False), context)
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
        return asking.awaiting_restart(rotation, context), ()
    return ask(rotation, context)


def not_tried(rotation: Rotation, event: Event, context: Context) -> Step:
    """Without its journal, a device whose pairs could not be tried tries them again."""
    if rotation.lost:
        rotation = asking.survey_later(replace(rotation, taken_up=False), context)
    return rotation, (effects.EndRotator(),)


def rest(rotation: Rotation, event: Event, context: Context) -> Step:
    return rotation, (effects.EndRotator(),)
