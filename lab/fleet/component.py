"""One process of the component on a simulated device: the real daemon, event by event.

Its disk, its nucleus, the children that it starts and its clock are made of memory; whatever
would take time there takes simulated time here. ``point`` is called wherever the process may
be killed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from certkeeper import ports
from certkeeper.core import effects, events, journal, monitor
from certkeeper.core.certificate import Inventory, PairState, Reading, Role
from certkeeper.core.effects import RotatorStep
from certkeeper.core.events import Event, Tick
from certkeeper.core.journal import Journal
from certkeeper.core.link import Link
from certkeeper.core.moment import Moment
from certkeeper.core.record import Record
from certkeeper.core.settings import Settings
from certkeeper.daemon import Daemon, Inbox, World
from certkeeper.wiring import rules_for, settings_kept
from lab.fleet.certificates import DeviceCertificates
from lab.fleet.store import SimulatedStore, failed
from lab.fleet.virtual_time import VirtualTime
from rotation_protocol.messages import Alert
from rotation_protocol.reasons import FailureReason

_LINES_KEPT = 60


@dataclass(frozen=True)
class Pace:
    """How long things take on a device, in seconds: estimates."""

    look: float = 0.4  # a look at the certificates
    step: float = 0.4  # a step of the rotating child
    process: float = 3.0  # from the nucleus's start to our process
    restart: float = 20.0  # the nucleus ends, and starts again
    boot: float = 40.0  # the power is back, and the nucleus starts


@dataclass
class Disk:
    """What survives in the component's work folder."""

    record: Record = field(default_factory=Record)
    configuration: Mapping[str, Any] | None = None


@dataclass
class Host:
    """What a process finds on its device. ``fails`` names the steps that cannot be done."""

    thing: str
    time: VirtualTime
    pace: Pace
    store: SimulatedStore
    certificates: DeviceCertificates
    disk: Disk
    nucleus: ports.Nucleus
    point: Callable[[str], None]
    clock_is_off_by: timedelta = timedelta(0)
    fails: Mapping[str, FailureReason] = field(default_factory=dict)
    log: deque[str] = field(default_factory=lambda: deque(maxlen=_LINES_KEPT))

    def now(self) -> Moment:
        """See ports.Clock."""
        wall = datetime.fromtimestamp(self.time.now, UTC) + self.clock_is_off_by
        return Moment(wall, self.time.now)


class Guard(Protocol):
    """Runs an action of a process, which may die in it."""

    def __call__(self, act: Callable[[], None]) -> None: ...


class Component:
    """``guard`` runs whatever it does. ``session`` tells the nucleus's starts apart."""

    def __init__(self, host: Host, guard: Guard, session: str) -> None:
        self._host = host
        self._guard = guard
        self._alive = True
        self._steps: deque[RotatorStep] = deque()
        self._busy = False
        self._wakes_at: float | None = None
        rules = rules_for(host.thing)
        settings = settings_kept(host.disk.configuration, rules)
        world = World(
            clock=host,
            log=_Log(host),
            records=_Records(host),
            configurations=_Configurations(host),
            nucleus=host.nucleus,
            inspector=_Inspector(self),
            journals=_Journals(host),
            rotator=_Rotator(self),
        )
        first = monitor.started(settings, host.disk.record, host.now())
        self._daemon = Daemon(world, Inbox(), rules, Link(seed=host.thing), first, session)

    def begin(self) -> None:
        """What the daemon does before its first event."""
        self._daemon.begin()
        self._sleep()
        self.post(Tick())

    def end(self) -> None:
        """The process is gone, with all that it knew."""
        self._alive = False

    def post(self, event: Event, seconds: float = 0.0) -> None:
        """Let the process have the event so much later, if it is still there."""
        self.later(seconds, lambda: self.take(event))

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Let that happen so much later, if the process is still there."""

        def run() -> None:
            if self._alive:
                self._guard(act)

        self._host.time.after(seconds, run)

    def take(self, event: Event) -> None:
        """The process takes an event, and sleeps again."""
        self._host.point(f"before {type(event).__name__}")
        self._daemon.take(event)
        self._sleep()

    def _sleep(self) -> None:
        wake_at = self._daemon.wake_at()
        if wake_at is None or (self._wakes_at is not None and self._wakes_at <= wake_at):
            return
        self._wakes_at = wake_at

        def wake() -> None:
            if self._wakes_at == wake_at:
                self._wakes_at = None
                self.take(Tick())

        self.later(max(wake_at - self._host.time.now, 0.01), wake)

    # -- the children --------------------------------------------------------------------------

    def look(self) -> None:
        """The inspecting child looks at the device."""

        def seen() -> None:
            host = self._host
            certificate = host.store.in_use
            facts = None if certificate is None else host.certificates.facts(certificate)
            if facts is None:
                self.take(events.InspectionFailed("there is no certificate"))
                return
            whole = host.store.is_whole(host.store.current)
            pair = PairState.MATCHES if whole else PairState.MISMATCH
            reading = Reading(Role.CORE_DEVICE, "/greengrass/v2/thingCert.crt", facts, pair=pair)
            key = "/greengrass/v2/privKey.key"
            runtime = host.store.runtime
            self.take(events.Inspected(Inventory(runtime, host.thing, key, (reading,), ())))

        self.later(self._host.pace.look, seen)

    def sign(self, alerts: tuple[Alert, ...]) -> None:
        """The inspecting child signs: a signature is a formality here."""
        self.post(events.AlertsSigned(alerts), self._host.pace.look)

    def do(self, step: RotatorStep) -> None:
        """The rotating child does one step after the other."""
        self._steps.append(step)
        self._work()

    def _work(self) -> None:
        if self._busy or not self._steps:
            return
        self._busy = True
        step, host = self._steps.popleft(), self._host

        def work() -> None:
            host.point(f"the child begins {type(step).__name__}")
            reason = host.fails.get(type(step).__name__)
            answer = host.store.do(step) if reason is None else failed(type(step).__name__, reason)
            host.point(f"the child has done {type(step).__name__}")
            self._watch_dead_man()
            self._busy = False
            if answer is not None:
                self.post(answer)
            self._work()

        self.later(host.pace.step, work)

    def _watch_dead_man(self) -> None:
        """The timer is systemd's: it outlives the process, and strikes if nobody disarms it."""
        store, timer = self._host.store, self._host.store.timer
        if timer is None:
            return

        def strike() -> None:
            if store.timer is timer:
                store.strike()

        self._host.time.after(timer.at - self._host.time.now, strike)


# -- ports ------------------------------------------------------------------------------------


class _Log:
    def __init__(self, host: Host) -> None:
        self._host = host

    def say(self, event: str, details: Mapping[str, object], level: str) -> None:
        self._host.log.append(f"{self._host.time.now:.1f} {event} {dict(details)}")

    def set_level(self, level: str) -> None:
        """All are kept."""


class _Records:
    def __init__(self, host: Host) -> None:
        self._host = host

    def load(self) -> tuple[Record, str | None]:
        return self._host.disk.record, None

    def save(self, record: Record) -> None:
        self._host.point("before the record is saved")
        self._host.disk.record = record
        self._host.point("after the record is saved")


class _Configurations:
    def __init__(self, host: Host) -> None:
        self._host = host

    def load(self) -> Mapping[str, Any] | None:
        return self._host.disk.configuration

    def save(self, values: Mapping[str, Any]) -> None:
        self._host.disk.configuration = values


class _Journals:
    def __init__(self, host: Host) -> None:
        self._host = host
        self._known = False

    def keep_in(self, folder: str) -> None:
        self._known = True

    def save(self, wanted: Journal) -> None:
        if not self._known:
            raise ports.StoreError("not known where")
        self._host.point("before the journal is saved")
        self._host.store.journal = journal.encode(wanted)
        self._host.point("after the journal is saved")


class _Inspector:
    def __init__(self, component: Component) -> None:
        self._component = component

    def inspect(self, settings: Settings) -> None:
        self._component.look()

    def sign(self, alerts: tuple[Alert, ...], private_key_source: str | None) -> None:
        self._component.sign(alerts)

    def close(self) -> None:
        """Nothing is left behind."""


class _Rotator:
    def __init__(self, component: Component) -> None:
        self._component = component

    def do(self, step: RotatorStep) -> None:
        if not isinstance(step, effects.EndRotator):
            self._component.do(step)

    def close(self) -> None:
        """Nothing is left behind."""
