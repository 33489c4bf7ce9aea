"""How the question of a rotation's phase is asked: when, again, and until when.

A question to the cloud is asked again until it is answered, with a growing wait; one to
the rotating child is always answered, so it is asked again only after a failure. Answers
of the Jobs service carry a token of the phase in which they were asked for: what comes
after that phase is over, or over a connection that is no more, is not taken for one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from certkeeper.core import effects, events, rotation_lines
from certkeeper.core.backoff import Backoff
from certkeeper.core.effects import Effect, Log
from certkeeper.core.events import Event, ProbeResult
from certkeeper.core.journal import Journal, Phase
from certkeeper.core.questions import QUESTIONS
from certkeeper.core.rotation_state import Context, Rotation, Step
from certkeeper.core.settings import Settings
from certkeeper.core.signals import Signal
from certkeeper.core.store import other

#: How often the nucleus is told to use another pair before that has failed.
MAX_RECONNECTS = 3
#: How often our process may begin in one phase: more, and it is the phase that ends it.
MAX_STARTS = 8
#: A nucleus that was told to restart stops its components first, which may take a minute.
RESTART_SECONDS = 120.0
#: Without an answer to the commit for so long, both pairs are tried with AWS IoT.
COMMIT_SILENCE = 30.0
#: The same for the report of a failure, once the nucleus may have used either.
FAILED_SILENCE = 300.0
STRUCK = "the dead-man's switch went back to the old pair"
#: Notifications can be lost: the next job is asked for now and then all the same.
IDLE_SECONDS = 6 * 3600.0
#: After so many questions without any answer everything is subscribed anew: where iotcored of
#: nucleus lite was restarted, publishing works and nobody hears a thing. If that was not why,
#: after twice as many the next time, and so on up to four times.
UNHEARD, MOST_UNHEARD = 3, 12
#: After a look at the device that failed; and before a restart of the nucleus that may be
#: one of many, since it cannot be written down.
PAUSE = 900.0
#: The nucleus asks again after this time; it may hold a deployment back any number of times.
DEFER_MILLISECONDS = 30_000

_CLOUD = Backoff(timedelta(seconds=5), timedelta(minutes=1))
_REPORT = Backoff(timedelta(seconds=10), timedelta(minutes=15))
_PROBE = Backoff(timedelta(seconds=2), timedelta(seconds=15))
_DEVICE = Backoff(timedelta(seconds=5), timedelta(minutes=5))
#: A message that the nucleus did not take; on nucleus lite it takes none while it reconnects.
_RESEND = Backoff(timedelta(seconds=1), timedelta(minutes=1))

#: What comes over the subscriptions.
_ANSWERS = (
    *(events.JobNotified, events.JobAnswered, events.JobAskRejected),
    *(events.UpdateTaken, events.UpdateRejected, events.RequestAnswered, events.MessageRefused),
    *(events.CreateAnswered, events.CreateRejected, events.CommitAnswered, events.CommitRejected),
)

#: Asked of the cloud, so that no answer may come; and of the device, which always answers.
_PACE: Mapping[Phase, Backoff] = {
    Phase.IDLE: _REPORT,
    Phase.CLAIMING: _CLOUD,
    Phase.REQUESTING: _CLOUD,
    Phase.PROVING: _CLOUD,
    Phase.COMMITTING: _CLOUD,
    Phase.COMMITTED: _REPORT,
    Phase.FAILED: _REPORT,
}


def enter(found: Rotation, context: Context, phase: Phase, **changes: Any) -> Step:
    """The rotation in another phase, or in the same one anew, its question asked.

    ``changes`` are fields of the journal.
    """
    base = found.journal
    if phase in (Phase.IDLE, Phase.CLAIMING):
        base = Journal()
    if phase is Phase.SWITCHING or (phase is Phase.ROLLING_BACK and base.session is not None):
        changes = {"session": context.session, **changes}
    journal = replace(base, phase=phase, **{"starts": 0, **changes})
    entered = replace(found, journal=journal, entry=found.entry + 1, tries=0)
    if phase is Phase.IDLE:
        entered = replace(entered, lost="", version=None, issued_pem="")
    line: tuple[Effect, ...] = () if phase is Phase.IDLE else (rotation_lines.phase_line(journal),)
    entered, asked = ask(at_entry(entered, context), context)
    return entered, (*line, *asked)


def at_entry(found: Rotation, context: Context) -> Rotation:
    """The rotation with the time of its phase begun now."""
    now = context.now.monotonic
    patience = {
        Phase.CLAIMING: context.settings.commit_timeout_seconds,
        Phase.REQUESTING: context.settings.commit_timeout_seconds,
        Phase.PROVING: context.settings.commit_timeout_seconds,
        Phase.COMMITTING: COMMIT_SILENCE,
        Phase.FAILED: FAILED_SILENCE if found.journal.session is not None else None,
    }.get(found.journal.phase)
    return replace(found, entered_at=now, until=None if patience is None else now + patience)


def ask(found: Rotation, context: Context) -> Step:
    """The phase's question, once more."""
    phase = found.journal.phase
    if phase in _PACE and not found.online:
        return replace(found, retry_at=None), ()
    if phase in _PACE and found.unheard >= min(UNHEARD * (1 + found.deaf), MOST_UNHEARD):
        unheard = Log("unheard", {"phase": phase.value, "asked": found.unheard}, effects.WARN)
        deaf = replace(found, unheard=0, deaf=found.deaf + 1, retry_at=None)
        return deaf, (unheard, effects.Resubscribe())
    tries = found.tries + 1
    retry_at = None
    if phase in _PACE:
        found = replace(found, unheard=found.unheard + 1)
        wait = _PACE[phase].delay(tries, context.thing_name).total_seconds()
        retry_at = context.now.monotonic + wait
    asking = replace(found, tries=tries, retry_at=retry_at)
    again: tuple[Effect, ...] = ()
    if tries > 1 and phase is not Phase.IDLE:
        again = (Log("asked-again", {"phase": phase.value, "attempt": tries}),)
    return asking, (*again, *QUESTIONS[phase](asking, context))


def survey(found: Rotation, context: Context) -> Step:
    """A look at the store, where the settings say that it is."""
    surveying = replace(found, survey_at=None, surveyed_for=_paths(context.settings))
    return surveying, (effects.Survey(context.settings),)


def survey_later(found: Rotation, context: Context) -> Rotation:
    """The rotation with another look at the store due in a while."""
    return replace(found, survey_at=context.now.monotonic + PAUSE)


def held_back(found: Rotation, context: Context) -> Rotation:
    """The rotation with its question asked after a pause, and not before."""
    return replace(found, tries=0, retry_at=context.now.monotonic + PAUSE)


def survey_is_due(found: Rotation, event: Event, context: Context) -> bool:
    """Whether the store is to be looked for anew: after a failure, or in another place."""
    if isinstance(event, events.Tick):
        return found.survey_at is not None and context.now.monotonic >= found.survey_at
    moved = found.surveyed_for != _paths(context.settings)
    return isinstance(event, events.ConfigurationRead) and moved and not found.under_way


def _paths(settings: Settings) -> tuple[str | None, str | None]:
    return settings.certificate_file_path, settings.private_key_path


def heard(found: Rotation, event: Event, context: Context) -> tuple[Rotation, Signal | None]:
    """What time, and the state of the connection, mean to the phase's question."""
    now = context.now.monotonic
    if isinstance(event, _ANSWERS):
        found = replace(found, unheard=0, deaf=0)
    elif isinstance(event, events.SendFailed):
        found = replace(found, unheard=0)
    if isinstance(event, events.Tick):
        if found.until is not None and now >= found.until:
            return replace(found, until=None), Signal.OUT_OF_TIME
        if found.retry_at is not None and now >= found.retry_at:
            return replace(found, retry_at=None), Signal.TRY_AGAIN
    elif isinstance(event, events.Online):
        found = replace(found, online=True, tries=0)
        return found, Signal.TRY_AGAIN if found.journal.phase in _PACE else None
    elif isinstance(event, (events.Connected, events.Disconnected)):
        return replace(found, online=False), None
    elif isinstance(event, events.SendFailed) and not event.unauthorized:
        wait = _RESEND.delay(found.tries, context.thing_name).total_seconds()
        return replace(found, retry_at=now + wait), None
    elif isinstance(event, events.Activated) and found.store is not None:
        return replace(found, store=replace(found.store, current=event.slot)), None
    elif isinstance(event, events.JobAnswered) and found.journal.phase is Phase.IDLE:
        return replace(found, retry_at=now + IDLE_SECONDS, tries=0), None
    return found, None


def is_answer(found: Rotation, event: Event, context: Context) -> bool:
    """Whether the Jobs service answers this phase's question with it, and none of before."""
    if not isinstance(event, events.JobAnswered):
        return False
    return event.next_job.client_token == found.token(context)


def later(found: Rotation, context: Context) -> Rotation:
    """The rotation with its question due again in a while."""
    pace = _PROBE if found.journal.phase is Phase.PROBING else _DEVICE
    wait = pace.delay(found.tries, context.thing_name).total_seconds()
    return replace(found, retry_at=context.now.monotonic + wait)


def awaiting_restart(found: Rotation, context: Context) -> Rotation:
    """The rotation that ends with this process, or is taken up again if it does not end."""
    at = context.now.monotonic + RESTART_SECONDS
    if found.journal.phase is Phase.SWITCHING:
        return replace(found, until=at)
    return replace(found, retry_at=at)


def is_back(found: Rotation) -> bool:
    """Whether the old pair was found active again, although the new one was proven."""
    return found.store is not None and found.store.current == found.journal.old_slot


def probing_is_over(found: Rotation, result: ProbeResult, context: Context) -> bool:
    """Whether that answer is to be believed: a new certificate takes a while to be known
    everywhere, and a network may come back."""
    patience = context.settings.commit_timeout_seconds
    if result.verdict == "refused":
        patience //= 5
    return context.now.monotonic - found.entered_at >= patience


def try_both(found: Rotation, context: Context) -> Step:
    """Which of the two certificates the cloud has kept, asked of AWS IoT itself."""
    committing = found.journal.phase is Phase.COMMITTING
    silence = COMMIT_SILENCE if committing else FAILED_SILENCE
    found = replace(found, until=context.now.monotonic + silence)
    if context.settings.probe == "off" and committing:
        return found, ()
    slots = (found.journal.new_slot or "", found.journal.old_slot or "")
    return found, (effects.Probe(slots),)


def _half_made(found: Rotation) -> str | None:
    """The slot of a pair that was never whole: no journal needs to say whose it was."""
    store = found.store
    if store is None or store.current is None:
        return None
    spare = other(store.current)
    slot = store.slots[spare]
    return spare if slot.has_key and not slot.whole else None


def done(found: Rotation, context: Context) -> Step:
    """The rotation is over, and reported: the pair that is of no more use is removed."""
    journal = found.journal
    succeeded = journal.phase is Phase.COMMITTED
    in_use = journal.certificate_id if succeeded else found.certificate_in_use
    details: dict[str, object] = {"job": journal.job_id, "certificateId": in_use}
    if journal.reason is not None:
        details["reason"] = journal.reason.value
    level = effects.INFO if succeeded else effects.ERROR
    log = Log("rotation-succeeded" if succeeded else "rotation-failed", details, level)
    if found.store is not None:
        found = replace(found, store=replace(found.store, in_use=in_use))
    unused = journal.old_slot if succeeded else journal.new_slot or _half_made(found)
    idle, asked = enter(found, context, Phase.IDLE)
    tidy = effects.EndRotator() if unused is None else effects.Wipe(unused)
    return idle, (log, tidy, *asked)
