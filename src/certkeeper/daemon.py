"""The daemon: one thread that takes events, asks the machines in core, runs their effects.

    inbox -> link.step, monitor.step -> effects -> the world -> (later) inbox

It waits for the next event or the next deadline, whichever comes first. What a step
wants saved is saved before whatever follows from it.
"""

from __future__ import annotations

import queue
from dataclasses import dataclass
from typing import Callable, Union

from certkeeper import ports
from certkeeper.core import effects, link, monitor
from certkeeper.core.effects import Effect
from certkeeper.core.events import Event, Tick
from certkeeper.core.link import Link
from certkeeper.core.monitor import Monitor, Rules

#: The wall clock is looked at this often, so that a jump or a resume is noticed.
LONGEST_WAIT = 60.0


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


class Daemon:
    """Runs until a Stop arrives in ``inbox``."""

    def __init__(
        self, world: World, inbox: Inbox, rules: Rules, link: Link, monitor: Monitor
    ) -> None:
        self._world = world
        self._inbox = inbox
        self._rules = rules
        self._link = link
        self._monitor = monitor

    def run(self) -> None:
        """Take events until a Stop; then begin to close what is open, and return."""
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
        self._world.nucleus.close()

    def take_safely(self, event: Event) -> None:
        """``take``, and whatever it raises is logged instead."""
        try:
            self.take(event)
        except Exception as error:  # noqa: BLE001  # a fault in one event must not end the watch
            details = {"during": type(event).__name__, "error": repr(error)[:300]}
            self._world.log.say("internal-error", details, effects.ERROR)
            self._monitor = monitor.after_fault(self._monitor, self._world.clock.now())

    def take(self, event: Event) -> None:
        """Let one event have all its effects."""
        now = self._world.clock.now()
        self._link, of_link = link.step(self._link, event, now)
        self._monitor, of_monitor = monitor.step(
            self._monitor, event, now, self._rules, (self._link.check(),)
        )
        for effect in (*of_link, *of_monitor):
            self._run(effect)

    def _wait(self) -> float:
        now = self._world.clock.now()
        wanted = [self._link.wake_at(), self._monitor.wake_at(now)]
        waits = [at - now.monotonic for at in wanted if at is not None]
        return max(0.0, min([LONGEST_WAIT, *waits]))

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
        else:
            world.inspector.sign(effect.alerts, effect.private_key_source)

    def _keep(self, what: str, save: Callable[[], None]) -> None:
        """An alert must reach people even from a device whose disk is full."""
        try:
            save()
        except ports.StoreError as error:
            details = {"what": what, "reason": str(error)}
            self._world.log.say("not-saved", details, effects.ERROR)
