"""How a rotation goes on after a restart: from the journal, and from what is on the disk.

``resume`` is total: every phase has a row, and each row says what it needs to find on the
disk to go on, and what becomes of the rotation otherwise. A journal that cannot be read is
a case of its own: which pair is right is then asked of AWS IoT, and the job, which nobody
remembers, is reported as failed when it shows up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Callable

from certkeeper.core import asking, effects, events, questions
from certkeeper.core.asking import ask, at_entry, enter
from certkeeper.core.effects import Effect, Log
from certkeeper.core.journal import Journal, JournalError, Phase, decode
from certkeeper.core.rotation_state import Context, Rotation, Step
from certkeeper.core.store import SLOTS, Slot, Store, other
from rotation_protocol.reasons import FailureReason
from rotation_protocol.values import dataclass


def begun(context: Context) -> Step:
    """The rotation of a process that begins: first, the device is looked at."""
    return asking.survey(Rotation(), context)


def on_survey(
    found: Rotation, event: events.Surveyed | events.SurveyFailed, context: Context
) -> Step:
    """A look at the device: the first one takes up what the journal says."""
    if isinstance(event, events.SurveyFailed):
        failed = asking.survey_later(replace(found, survey_problem=event.reason), context)
        log = Log("survey-failed", {"reason": event.reason}, effects.WARN)
        return failed, (log, effects.EndRotator())
    found = replace(found, survey_at=None, survey_problem="")
    if found.taken_up:
        found = replace(found, store=event.store)
        if found.journal.phase is Phase.COMMITTING:
            return _look_before_commit(found, event.store, context)
        return found, (effects.EndRotator(),)
    return resume(found, event.store, context)


def _look_before_commit(found: Rotation, store: Store, context: Context) -> Step:
    if _is_active(found, store):
        return found, (questions.commit(found, context),)
    if found.journal.starts == 0:  # nothing has been sent yet
        reason = FailureReason.PROVE_UNANSWERED
        return enter(found, context, Phase.ROLLING_BACK, reason=reason, detail=asking.STRUCK)
    if context.settings.probe == "off":
        return found, (questions.commit(found, context),)
    return asking.try_both(found, context)


def as_found(found: Rotation, store: Store) -> Rotation:
    """The rotation as the last process left it: what cannot be saved now comes back to this."""
    if found.taken_up or store.journal is None:
        return found
    try:
        return replace(found, journal=decode(store.journal))
    except JournalError:
        return found


def resume(found: Rotation, store: Store, context: Context) -> Step:
    """The rotation that the journal in ``store`` tells of, gone on with."""
    found = replace(found, store=store, taken_up=True)
    try:
        journal = _journal(store)
    except JournalError as error:
        return _without_journal(replace(found, journal=Journal(), lost=str(error)), store, context)
    resumed = at_entry(replace(found, journal=replace(journal, starts=journal.starts + 1)), context)
    if journal.phase is Phase.IDLE:
        return _idle(replace(resumed, journal=journal), store, context)
    details = {"phase": journal.phase.value, "job": journal.job_id, "start": journal.starts + 1}
    log = Log("rotation-resumed", details, effects.WARN)
    resumption = _RESUMPTIONS[journal.phase]
    if resumption.may_give_up and journal.starts >= asking.MAX_STARTS:
        detail = f"started {journal.starts} times while {journal.phase.value}"
        resumed, then = enter(
            resumed,
            context,
            resumption.given_up,
            reason=FailureReason.INTERRUPTED,
            detail=detail,
        )
    else:
        resumed, then = resumption.go_on(resumed, store, context)
    return resumed, (log, *then)


def _journal(store: Store) -> Journal:
    """The journal in the store. Raises JournalError."""
    if store.journal is not None:
        return decode(store.journal)
    if store.current is not None:
        raise JournalError("it is gone")  # none was ever there before the link was
    return Journal()


def _without_journal(found: Rotation, store: Store, context: Context) -> Step:
    log = Log("journal-unreadable", {"reason": found.lost, "store": store.folder}, effects.ERROR)
    found, asked = ask(found, context)
    if store.current is None or not all(store.slots[slot].whole for slot in SLOTS):
        return found, (log, effects.EndRotator(), *asked)
    return found, (log, effects.Probe((store.current, other(store.current))), *asked)


def _idle(found: Rotation, store: Store, context: Context) -> Step:
    """Between two rotations; what the last one had no time to remove is removed now."""
    spare = None if store.current is None else other(store.current)
    left = spare is not None and store.slots[spare].has_key
    tidy: Effect = effects.Wipe(spare) if left and spare is not None else effects.EndRotator()
    found, asked = ask(found, context)
    return found, (tidy, *asked)


# -- one for each phase ------------------------------------------------------------------


@dataclass(frozen=True)
class _Resumption:
    """``given_up``: the phase that follows where the same phase was begun too often, if it
    ``may_give_up`` at all."""

    go_on: Callable[[Rotation, Store, Context], Step]
    given_up: Phase = Phase.FAILED
    may_give_up: bool = True


def _again(found: Rotation, store: Store, context: Context) -> Step:
    return ask(found, context)


def _request(found: Rotation, store: Store, context: Context) -> Step:
    """The key is there: the cloud answers the same CSR with the same certificate."""
    if _new(found, store).has_key and found.journal.csr:
        return enter(found, context, Phase.REQUESTING, starts=found.journal.starts)
    return _interrupted(found, context, Phase.FAILED)


def _probe(found: Rotation, store: Store, context: Context) -> Step:
    if _is_whole(found, store):
        return ask(found, context)
    return _request(found, store, context)


def _switch(found: Rotation, store: Store, context: Context) -> Step:
    """Another session than the one written down: the nucleus was started since."""
    if not _is_whole(found, store):
        return _interrupted(found, context, Phase.ROLLING_BACK)
    if _is_active(found, store) and found.journal.session != context.session:
        found, then = enter(found, context, Phase.PROVING)
        return found, (questions.arming(found, context), *then)
    return ask(found, context)


def _prove(found: Rotation, store: Store, context: Context) -> Step:
    """A dead-man's switch does not outlive a power cut; one that has struck leaves the old
    pair active."""
    if not _is_active(found, store):
        reason = FailureReason.PROVE_UNANSWERED
        return enter(found, context, Phase.ROLLING_BACK, reason=reason, detail=asking.STRUCK)
    found, then = ask(found, context)
    return found, (questions.arming(found, context), *then)


def _commit(found: Rotation, store: Store, context: Context) -> Step:
    """With the old pair active, the certificates say which one the cloud has kept."""
    if _is_active(found, store):
        return ask(found, context)
    return asking.try_both(found, context)


def _report_success(found: Rotation, store: Store, context: Context) -> Step:
    """The old certificate may be gone: nothing but the new pair may be active."""
    if _is_active(found, store) or not _is_whole(found, store):
        return ask(found, context)
    return found, (effects.Activate(found.journal.new_slot or ""),)


def _roll_back(found: Rotation, store: Store, context: Context) -> Step:
    journal = found.journal
    told_since = journal.session is not None and journal.session != context.session
    if store.current == journal.old_slot and told_since:
        return enter(found, context, Phase.FAILED)
    if store.current != journal.old_slot:
        # The nucleus may have found the new pair at its start, told of it or not.
        found = replace(found, journal=replace(journal, session=context.session))
    return ask(found, context)


def _report_failure(found: Rotation, store: Store, context: Context) -> Step:
    """A failure is reported over the pair that is kept, and that one has to be active."""
    journal = found.journal
    if journal.session is not None and _is_active(found, store):
        reason, detail = journal.reason, journal.detail
        return enter(found, context, Phase.ROLLING_BACK, reason=reason, detail=detail)
    return ask(found, context)


def _interrupted(found: Rotation, context: Context, phase: Phase) -> Step:
    detail = f"the new pair was not whole at a restart while {found.journal.phase.value}"
    return enter(found, context, phase, reason=FailureReason.INTERRUPTED, detail=detail)


def _new(found: Rotation, store: Store) -> Slot:
    return store.slots.get(found.journal.new_slot or "", Slot())


def _is_whole(found: Rotation, store: Store) -> bool:
    new = _new(found, store)
    return new.whole and new.certificate_id == found.journal.certificate_id


def _is_active(found: Rotation, store: Store) -> bool:
    return store.adopted and store.current == found.journal.new_slot


_RESUMPTIONS: Mapping[Phase, _Resumption] = {
    Phase.CLAIMING: _Resumption(_again),
    Phase.PREPARING: _Resumption(_again),
    Phase.REQUESTING: _Resumption(_request),
    Phase.STAGED: _Resumption(_request),
    Phase.PROBING: _Resumption(_probe),
    Phase.SWITCHING: _Resumption(_switch, Phase.ROLLING_BACK),
    Phase.PROVING: _Resumption(_prove, Phase.ROLLING_BACK),
    Phase.COMMITTING: _Resumption(_commit, may_give_up=False),
    Phase.COMMITTED: _Resumption(_report_success, may_give_up=False),
    Phase.ROLLING_BACK: _Resumption(_roll_back, may_give_up=False),
    Phase.FAILED: _Resumption(_report_failure, may_give_up=False),
}
