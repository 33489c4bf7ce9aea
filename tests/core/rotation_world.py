"""A device, its nucleus, the network and the cloud, in simulated time: no two runs differ.

Whatever is to happen is an action with a time. ``point`` is called at each instant at which a
process or a device may die, and what must hold at every instant is asserted there:

- the pair that the nucleus's paths lead to is whole, and its certificate is active, unless the
  job was ended from outside, which retires a certificate behind the device's back;
- the pair that the device had is untouched, and active, until the cloud has committed another.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from certkeeper.core import effects, events, inbound, journal
from certkeeper.core.effects import Effect
from certkeeper.core.events import Event, Tick
from certkeeper.core.journal import Journal, Phase
from certkeeper.core.moment import Moment
from certkeeper.core.settings import Settings
from certkeeper.core.signals import Signal
from lab.fleet.store import Pair, SimulatedStore, failed
from rotation_protocol.reasons import FailureReason
from tests.core.rotation_cloud import THING, FakeCloud
from tests.core.rotation_process import Process, Surroundings

START = datetime(2026, 11, 22, tzinfo=UTC)
LONGEST = 3 * 86400.0


class Death(Exception):
    """The process, or the whole device, ends here."""


@dataclass
class Plan:
    """What is to go wrong. ``die_at`` are numbers of points, ``fates`` the delays with which
    the n-th message arrives (none: it is lost), ``fails`` says which steps of the child fail."""

    runtime: str = "classic"
    settings: Settings = field(default_factory=Settings)
    die_at: frozenset[int] = frozenset()
    power: bool = False
    fates: Mapping[int, tuple[float, ...]] = field(default_factory=dict)
    fails: Callable[[str, int], bool] = lambda step, number: False
    fails_late: bool = False
    unsavable: Callable[[Phase], bool] = lambda phase: False
    heals_at: float = 1000.0 + 2 * 3600
    at_point: Callable[[World, int], None] = lambda world, number: None
    at_phase: Callable[[World, Phase], None] = lambda world, phase: None
    at_death: Callable[[World], None] = lambda world: None
    refuses_new: bool = False
    online_while_offline: bool = False
    interfered: bool = False


#: All that the rotating child does, in order; its end is nothing here.
STEPS_OF_THE_CHILD = (
    *(effects.Survey, effects.Prepare, effects.Stage, effects.Probe, effects.Arm),
    *(effects.Activate, effects.Reconnect, effects.Disarm, effects.Wipe),
)


class World:
    """One run of a plan."""

    def __init__(self, plan: Plan | None = None) -> None:
        self.plan = plan or Plan()
        self.time = 1000.0
        self.points = 0
        self.messages = 0
        self.steps = 0
        self.actions = 0
        self.seen: set[tuple[Signal, Phase, Phase]] = set()
        self.phases: list[Phase] = []
        self.said: list[effects.Log] = []
        self.deferred: list[effects.DeferUpdate] = []
        self.interfered = self.plan.interfered
        self._heap: list[tuple[float, int, bool, Callable[[], None]]] = []
        self._number = 0
        self._awaited = 0
        self.cloud = FakeCloud(self._to_device, lambda act: self.after(0.5, act))
        self.device = SimulatedStore(
            self.plan.runtime, Pair("key-0", "cert-0"), self.cloud, self.point, lambda: self.time
        )
        self.device.restart = self._restart
        self.device.break_connection = self._connect_anew
        self.process: Process | None = None
        self.connected: str | None = None
        self._subscribed = False
        self._life = self._boot = self._line = 0
        self._restarting = self.unsaved = False
        self._spool: list[tuple[str, bytes]] = []
        self._start_nucleus()

    # -- time ----------------------------------------------------------------------------------

    def after(self, seconds: float, act: Callable[[], None], idly: bool = False) -> None:
        """Let that happen then; a run does not end before it unless it happens ``idly``."""
        self._number += 1
        self._awaited += not idly
        heapq.heappush(self._heap, (self.time + seconds, self._number, idly, act))

    def run(self, done: Callable[[], bool] | None = None) -> World:
        """Let time pass until all is settled, or until ``done``."""
        done = done or self.settled
        while not done():
            assert self._heap, "nothing will ever happen again"
            at, _, idly, act = heapq.heappop(self._heap)
            self.time = max(self.time, at)
            self._awaited -= not idly
            self.actions += 1
            assert self.time < LONGEST, f"not settled: {self.story()}"
            assert self.actions < 20000, f"goes round: {self.story()}"
            try:
                act()
                self.check()
            except Death:
                self._die()
        return self

    def settled(self) -> bool:
        """Whether nothing is under way any more."""
        process = self.process
        return (
            self._awaited == 0
            and process is not None
            and process.rotation.taken_up
            and process.rotation.journal.phase is Phase.IDLE
            and self.connected is not None
            and all(job.ended for job in self.cloud.jobs.values())
        )

    def point(self, what: str) -> None:
        """Here a process or a device may die."""
        self.points += 1
        self.check()
        self.plan.at_point(self, self.points)
        if self.points in self.plan.die_at:
            raise Death(what)

    # -- what must hold ------------------------------------------------------------------------

    def check(self) -> None:
        """What must hold at every instant."""
        device, cloud = self.device, self.cloud
        assert device.is_whole(device.current), f"no whole pair is in use: {self.story()}"
        if not self.interfered:
            assert cloud.is_active(device.in_use), f"a dead pair is in use: {self.story()}"
        said = {job.details.get("certificateId", "cert-0") for job in cloud.jobs.values()}
        if not cloud.committed() and said == {"cert-0"}:
            assert device.slots["a"].certificate == "cert-0", self.story()
            assert device.is_whole("a"), f"the old pair is gone: {self.story()}"
            assert cloud.is_active("cert-0"), self.story()

    def check_end(self) -> None:
        """What must hold once all is settled."""
        active = [name for name, found in self.cloud.certificates.items() if found.active]
        assert active == [self.device.in_use], f"{active} are active: {self.story()}"
        assert self.connected == self.device.in_use, self.story()
        for job in self.cloud.jobs.values():
            assert len(job.ends) == 1, self.story()
        assert not self.device.may_strike, f"the dead-man's switch is armed: {self.story()}"
        assert self.process is not None
        is_lost = self.unsaved or self.process.rotation.lost
        if self.device.journal is not None and not is_lost:
            assert journal.decode(self.device.journal).phase is Phase.IDLE

    def story(self) -> str:
        """What has happened, for whoever has to find out why."""
        lines = [f"{log.event} {dict(log.details)}" for log in self.said[-40:]]
        device = self.device
        state = f"current={device.current} {device.slots} connected={self.connected}"
        cloud = f"{self.cloud.certificates} {self.cloud.jobs} {self.cloud.records}"
        return "\n".join([*lines, f"t={self.time}", state, cloud])

    # -- the network ---------------------------------------------------------------------------

    def _fate(self) -> tuple[float, ...]:
        self.messages += 1
        return self.plan.fates.get(self.messages, (0.1,))

    def _send(self, topic: str, payload: bytes) -> None:
        if self.connected is not None:
            principal = self.connected
            for delay in self._fate():
                self.after(delay, lambda: self.cloud.handle(topic, payload, principal))
        elif self.plan.runtime == "classic":
            self._spool.append((topic, payload))
        else:
            self._post(0.1, events.SendFailed(topic, "offline", False))

    def _to_device(self, topic: str, payload: bytes) -> None:
        for delay in self._fate():
            self.after(delay, lambda: self._deliver(topic, payload))

    def _deliver(self, topic: str, payload: bytes) -> None:
        if self.connected is None or not self._subscribed or self.process is None:
            return
        event = inbound.event_of(topic, payload)
        if event is not None:
            self.take(event)

    # -- the nucleus ---------------------------------------------------------------------------

    def _start_nucleus(self) -> None:
        self._boot += 1
        self._spool, self._restarting = [], False
        self._loaded = self.device.in_use
        self._connect_anew()
        self._start_process(2.0)

    def _connect_anew(self) -> None:
        self.connected = None
        self._line += 1
        self._try_to_connect(1.0)

    def _try_to_connect(self, seconds: float) -> None:
        boot, line = self._boot, self._line

        def connect() -> None:
            if (boot, line) != (self._boot, self._line):
                return
            lite = self.plan.runtime == "lite"
            certificate = self.device.in_use if lite else self._loaded
            refused = self.plan.refuses_new and certificate != "cert-0"
            let_in = self.device.network and self.cloud.is_active(certificate) and not refused
            if not let_in:
                self._try_to_connect(5.0)
                return
            self.connected = certificate
            spool, self._spool = self._spool, []
            for topic, payload in spool:
                self._send(topic, payload)
            self._go_online()
            self._watch_connection()

        self.after(seconds, connect, idly=seconds > 1)

    def _watch_connection(self) -> None:
        """AWS IoT ends the connection of a certificate that is retired."""
        boot, line = self._boot, self._line

        def look() -> None:
            if (boot, line) != (self._boot, self._line):
                return
            if self.device.network and self.cloud.is_active(self.connected):
                self._watch_connection()
            else:
                self._connect_anew()

        self.after(2.0, look, idly=True)

    def _restart(self) -> None:
        """``systemctl --no-block restart``: at some time soon all of it starts again."""
        if self._restarting:
            return
        self._restarting, boot = True, self._boot

        def restart() -> None:
            if boot == self._boot:
                self._end_process()
                self.connected = None
                self._start_nucleus()

        self.after(3.0, restart)

    # -- our process ----------------------------------------------------------------------------

    def take(self, event: Event) -> None:
        """The process takes an event, and sleeps again."""
        process = self.process
        assert process is not None
        self.point(f"before {type(event).__name__}")
        process.take(event)
        self.said.extend(process.logs)
        process.logs.clear()
        self._sleep()

    def _sleep(self) -> None:
        process = self.process
        wake_at = None if process is None else process.rotation.wake_at()
        if process is None or wake_at is None:
            return
        self._sleeps += 1
        life, sleeps = self._life, self._sleeps

        def wake() -> None:
            if (life, sleeps) == (self._life, self._sleeps):
                self.take(Tick())

        self.after(max(wake_at - self.time, 0.0), wake, idly=True)

    def _post(self, seconds: float, event: Event) -> None:
        life = self._life

        def take() -> None:
            if life == self._life and self.process is not None:
                self.take(event)

        self.after(seconds, take)

    def _start_process(self, seconds: float) -> None:
        self._life += 1
        self._queue: list[effects.RotatorStep] = []
        self._sleeps, self._busy = 0, False
        self._subscribed = self._asks = False
        life = self._life

        def subscribe() -> None:
            if life == self._life:
                self._ask_for_subscriptions()

        def start() -> None:
            if life != self._life:
                return
            around = Surroundings(self._now, self.point, self._save, self._carry_out, self._entered)
            session = f"session-{self._boot}"
            self.process = Process(around, self.plan.settings, session, self.seen)
            self._post(0.5, events.Connected(1))
            self.after(1.0, subscribe)
            self.process.begin()
            self._sleep()

        self.after(seconds, start)

    def _ask_for_subscriptions(self) -> None:
        self._asks = True
        if self.connected is not None or self.plan.online_while_offline:
            self._go_online()

    def _go_online(self) -> None:
        if self._asks and not self._subscribed and self.process is not None:
            self._subscribed = True
            self._post(0.1, events.Online(1))

    def _end_process(self) -> None:
        self._life += 1
        self.process = None
        self._subscribed = self._asks = False

    def _die(self) -> None:
        if self.process is not None:
            self.said.extend(self.process.logs)
        self.said.append(effects.Log("-- dies --", {"point": self.points, "at": self.time}))
        self._end_process()
        self.plan.at_death(self)
        if not self.plan.power:
            self._start_process(5.0)
            return
        self._boot += 1
        self.connected, self._restarting, self.device.timer = None, False, None
        boot = self._boot

        def start() -> None:
            if boot == self._boot:
                self._start_nucleus()

        self.after(20.0, start)

    def _now(self) -> Moment:
        return Moment(START + timedelta(seconds=self.time), self.time)

    def _save(self, wanted: Journal) -> str | None:
        if self.time < self.plan.heals_at and self.plan.unsavable(wanted.phase):
            self.unsaved = True
            return "No space left on device"
        self.unsaved = False
        self.device.journal = journal.encode(wanted)
        return None

    def _entered(self, phase: Phase) -> None:
        self.phases.append(phase)
        self.plan.at_phase(self, phase)

    def _carry_out(self, effect: Effect) -> None:
        if isinstance(effect, effects.Send):
            self._send(effect.topic, effect.payload)
        elif isinstance(effect, effects.DeferUpdate):
            self.deferred.append(effect)
        elif isinstance(effect, effects.Resubscribe):
            self._post(0.0, events.Disconnected(1, "asked for"))
            self._subscribed = False
            self.after(1.0, self._ask_for_subscriptions)
        elif isinstance(effect, STEPS_OF_THE_CHILD):
            self._queue.append(effect)
            self._work()

    def _work(self) -> None:
        """The child does one step after the other."""
        if self._busy or not self._queue:
            return
        self._busy = True
        effect, life = self._queue.pop(0), self._life

        def work() -> None:
            if life != self._life:
                return
            self.point(f"the child begins {type(effect).__name__}")
            answer = self._answer(effect)
            self.point(f"the child has done {type(effect).__name__}")
            timer = self.device.timer
            if timer is not None:
                self.after(timer.at - self.time, lambda: self._timer_ends(timer), idly=True)
            self._busy = False
            if answer is not None:
                self._post(0.0, answer)
            self._work()

        self.after(0.2, work)

    def _answer(self, effect: effects.RotatorStep) -> Event | None:
        self.steps += 1
        name = type(effect).__name__
        if not self.plan.fails(name, self.steps):
            return self.device.do(effect)
        if self.plan.fails_late:
            self.device.do(effect)
        if name == "Survey":
            return events.SurveyFailed("as the test has it")
        return failed(name, FailureReason.STORE_FAILED)

    def _timer_ends(self, timer: object) -> None:
        if self.device.timer is timer:
            self.device.strike()


def rotate(plan: Plan, jobs: int = 1) -> World:
    """A device whose plan is carried out while it has that many jobs."""
    world = World(plan)
    for number in range(1, jobs + 1):
        world.cloud.add(f"job-{number}")
    world.run()
    world.check_end()
    return world


__all__ = ["THING", "Plan", "World", "rotate"]
