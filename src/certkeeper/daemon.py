"""The daemon: one thread that takes events, asks the machines in core, runs their effects.

    inbox -> monitor, link, rotation: step -> effects -> the world -> (later) inbox

It waits for the next event or the next deadline, whichever comes first. What a step
wants saved is saved before whatever follows from it; a journal that cannot be saved
takes back the step that wanted it, or is saved as soon as that is possible.
"""

from __future__ import annotations

import queue
from dataclasses import replace
from typing import Callable, Union

from certkeeper import ports
from certkeeper.core import effects, link, monitor, policy, recovery, rotation
from certkeeper.core.effects import Effect
from certkeeper.core.events import (
    Disconnected,
    Event,
    JournalNotSaved,
    Surveyed,
    SurveyFailed,
    Tick,
)
from certkeeper.core.link import Link
from certkeeper.core.moment import Moment
from certkeeper.core.monitor import Monitor, Rules
from certkeeper.core.policy import Policy, Terms
from certkeeper.core.rotation_state import Context, Rotation
from rotation_protocol.values import dataclass

#: The wall clock is looked at this often, so that a jump or a resume is noticed.
LONGEST_WAIT = 60.0
#: A journal that is still to be saved is tried again this often.
UNSAVED_WAIT = 5.0


@dataclass(frozen=True)
class Stop:
    """Somebody asks the daemon to end."""

    why: str


#: Thread-safe, and safe to put into from a signal handler.
Inbox = queue.SimpleQueue[Union[Event, Stop]]


@dataclass(frozen=True)
class World:
    """The real things behind the ports, or their fakes."""

    clock: ports.Clock
    log: ports.Log
    records: ports.RecordStore
    configurations: ports.ConfigurationStore
    nucleus: ports.Nucleus
    inspector: ports.Inspector
    journals: ports.JournalStore
    rotator: ports.Rotator


class Daemon:
    """Runs until a Stop arrives in ``inbox``. ``session`` tells the nucleus's starts apart."""

    def __init__(
        self,
        world: World,
        inbox: Inbox,
        rules: Rules,
        link: Link,
        monitor: Monitor,
        session: str,
    ) -> None:
        self._world = world
        self._inbox = inbox
        self._rules = rules
        self._link = link
        self._monitor = monitor
        self._session = session
        self._rotation = Rotation()
        self._saved = self._rotation.journal
        self._policy = Policy()

    def begin(self) -> None:
        """What comes before the first event: a look at what the last process left."""
        self._rotation, todo = recovery.begun(self._context(self._world.clock.now()))
        for effect in todo:
            self._run(effect)

    def run(self) -> None:
        """Take events until a Stop; then begin to close what is open, and return."""
        self.begin()
        while True:
            try:
                event = self._inbox.get(timeout=self._wait())
            except queue.Empty:
                event = Tick()
            if isinstance(event, Stop):
                self._world.log.say("stopping", {"why": event.why}, effects.INFO)
                break
            self.take_safely(event)
        self._world.inspector.close()
        self._world.rotator.close()
        self._world.nucleus.close()

    def take_safely(self, event: Event) -> None:
        """``take``, and whatever it raises is logged instead."""
        try:
            self.take(event)
        except Exception as error:  # noqa: BLE001  # a fault in one event must not end the watch
            details = {"during": type(event).__name__, "error": repr(error)[:300]}
            self._world.log.say("internal-error", details, effects.ERROR)
            now = self._world.clock.now()
            self._monitor = monitor.after_fault(self._monitor, now)
            context = self._context(now)
            self._write_down(*rotation.after_fault(self._rotation, context), context)

    def take(self, event: Event) -> None:
        """Let one event have all its effects."""
        now = self._world.clock.now()
        muted = replace(self._monitor, muted=self._rotation.muted)
        self._monitor, of_monitor = monitor.step(
            muted, event, now, self._rules, (self._link.check(),)
        )
        prefix = self._monitor.settings.topic_prefix
        self._link, of_link = link.step(self._link, event, now, prefix)
        self._policy, of_policy = policy.step(self._policy, event, now, self._terms())
        for effect in (*of_link, *of_monitor, *of_policy):
            self._run(effect)
        was_under_way = self._rotation.under_way
        self._rotate(event, self._context(now))
        if was_under_way and not self._rotation.under_way:
            self._monitor = monitor.check_soon(self._monitor, now)

    def _rotate(self, event: Event, context: Context) -> None:
        if isinstance(event, (Surveyed, SurveyFailed)):
            if isinstance(event, Surveyed):
                self._world.journals.keep_in(event.store.folder)
                self._take_up(recovery.as_found(self._rotation, event.store))
            step = recovery.on_survey(self._rotation, event, context)
        else:
            step = rotation.step(self._rotation, event, context)
        self._write_down(*step, context)

    def _take_up(self, found: Rotation) -> None:
        if found is not self._rotation:
            self._rotation, self._saved = found, found.journal

    def _write_down(self, wanted: Rotation, todo: tuple[Effect, ...], context: Context) -> None:
        """Save the journal, and only then do what follows from it."""
        before = self._rotation.journal
        problem = self._save_journal(wanted)
        if problem is not None and rotation.must_be_saved(before, wanted.journal):
            unsaved = JournalNotSaved(wanted.journal, problem)
            wanted, todo = rotation.step(self._rotation, unsaved, context)
            self._save_journal(wanted)
        self._rotation = wanted
        for effect in todo:
            self._run(effect)

    def _save_journal(self, wanted: Rotation) -> str | None:
        """Why the journal could not be saved; None if it was, or is saved already."""
        if wanted.journal == self._saved:
            return None
        try:
            self._world.journals.save(wanted.journal)
        except ports.StoreError as error:
            if wanted.journal != self._rotation.journal:
                details = {"what": "journal", "reason": str(error)}
                self._world.log.say("not-saved", details, effects.ERROR)
            return str(error)
        self._saved = wanted.journal
        return None

    def _terms(self) -> Terms:
        return Terms(
            self._rules.thing_name,
            self._monitor.settings,
            self._rules.next_time,
            self._monitor.record.newest_seen,
            self._rotation.under_way,
        )

    def _context(self, now: Moment) -> Context:
        return Context(now, self._monitor.settings, self._rules.thing_name, self._session)

    def wake_at(self) -> float | None:
        """When a Tick is wanted, in monotonic seconds, if the clocks go as they should."""
        now = self._world.clock.now()
        wanted = [
            *(self._link.wake_at(), self._monitor.wake_at(now)),
            *(self._policy.wake_at(now), self._rotation.wake_at()),
        ]
        if self._rotation.journal != self._saved:
            wanted.append(now.monotonic + UNSAVED_WAIT)
        return min((at for at in wanted if at is not None), default=None)

    def _wait(self) -> float:
        wake_at = self.wake_at()
        if wake_at is None:
            return LONGEST_WAIT
        return max(0.0, min(LONGEST_WAIT, wake_at - self._world.clock.now().monotonic))

    def _run(self, effect: Effect) -> None:
        world = self._world
        if isinstance(effect, effects.Log):
            world.log.say(effect.event, effect.details, effect.level)
        elif isinstance(effect, effects.SaveRecord):
            self._keep("record", lambda: world.records.save(effect.record))
        elif isinstance(effect, effects.KeepConfiguration):
            self._keep("configuration", lambda: world.configurations.save(effect.values))
        elif isinstance(effect, effects.SetLogLevel):
            world.log.set_level(effect.level)
        elif isinstance(effect, effects.Connect):
            world.nucleus.connect(effect.attempt)
        elif isinstance(effect, effects.Subscribe):
            world.nucleus.subscribe(effect.attempt)
        elif isinstance(effect, effects.ReadConfiguration):
            world.nucleus.read_configuration(effect.attempt)
        elif isinstance(effect, effects.ReportValidity):
            world.nucleus.report_validity(effect.deployment_id, effect.problem)
        elif isinstance(effect, effects.Publish):
            world.nucleus.publish(effect.message)
        elif isinstance(effect, effects.Inspect):
            world.inspector.inspect(effect.settings)
        elif isinstance(effect, effects.SignAlerts):
            world.inspector.sign(effect.alerts, effect.private_key_source)
        elif isinstance(effect, effects.SubscribeJobs):
            world.nucleus.subscribe_jobs(effect.attempt, effect.topic_prefix)
        elif isinstance(effect, effects.Send):
            world.nucleus.send(effect.topic, effect.payload)
        elif isinstance(effect, effects.DeferUpdate):
            world.nucleus.defer_update(effect.deployment_id, effect.milliseconds)
        elif isinstance(effect, effects.Resubscribe):
            self.take(Disconnected(self._link.attempt, "nothing is heard over it"))
        else:
            world.rotator.do(effect)

    def _keep(self, what: str, save: Callable[[], None]) -> None:
        """An alert must reach people even from a device whose disk is full."""
        try:
            save()
        except ports.StoreError as error:
            details = {"what": what, "reason": str(error)}
            self._world.log.say("not-saved", details, effects.ERROR)
