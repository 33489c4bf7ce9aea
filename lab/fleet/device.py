"""A simulated core device: its power, its nucleus, and the component on it.

Nucleus classic reads the pair at its start, keeps messages while it is offline, and restarts
to use another pair; nucleus lite reads it at each connect, refuses messages while it is
offline, and just connects anew. Both try again for ever when they are not let in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from certkeeper.core import events, inbound
from certkeeper.core.backoff import Backoff
from certkeeper.core.link import JOB_SUBSCRIPTIONS
from certkeeper.core.record import Message
from lab.fleet.certificates import DeviceCertificates
from lab.fleet.component import Component, Disk, Host, Pace
from lab.fleet.iot_core import IotCore
from lab.fleet.store import Pair, SimulatedStore
from lab.fleet.virtual_time import VirtualTime
from lab.nucleus.recipe import Runtime

#: How the nuclei come back to a broker that does not let them in.
_RECONNECT = {
    "classic": Backoff(timedelta(seconds=1), timedelta(seconds=128)),
    "lite": Backoff(timedelta(seconds=1), timedelta(minutes=5)),
}


class Death(Exception):
    """The process, or the whole device, ends here."""


class Device:
    """``principal`` is the certificate of its connection; None while it has none."""

    def __init__(
        self,
        thing: str,
        runtime: Runtime,
        first: Pair,
        configuration: dict[str, Any],
        time: VirtualTime,
        iot_core: IotCore,
        certificates: DeviceCertificates,
        pace: Pace,
    ) -> None:
        self.thing = thing
        self.configuration = configuration
        self.born_with = first.certificate
        self.principal: str | None = None
        self.has_network = True
        self.point: Callable[[str], None] = lambda _what: None
        self.deaths = 0
        self._time = time
        self._iot_core = iot_core
        self.store = SimulatedStore(
            runtime, first, certificates, lambda what: self.point(what), lambda: time.now
        )
        self.store.restart = self._restart
        self.store.break_connection = self._connect_anew
        self.host = Host(
            thing, time, pace, self.store, certificates, Disk(), self, lambda what: self.point(what)
        )
        self._component: Component | None = None
        self._boot = self._line = self._failures = 0
        self._loaded: str | None = None
        self._restarting = False
        self._spool: deque[tuple[str, bytes]] = deque()
        self._attempt: int | None = None
        self._subscribing: int | None = None
        self._hears = False

    # -- power and processes -------------------------------------------------------------------

    def start(self) -> None:
        """The nucleus starts, and with it our process."""
        self._boot += 1
        self._restarting = False
        self._spool.clear()
        self._loaded = self.store.in_use
        self._connect_anew()
        self._start_process(self.host.pace.process)

    def cut_power(self) -> None:
        """At once everything is gone but the disk; then the device boots."""
        self._end()
        self.store.timer = None
        self._boot += 1
        self._in_this_boot(self.host.pace.boot, self.start)

    def rest(self) -> None:
        """Our process does no more, for whoever has days to wait for something else."""
        self._end_process()

    def kill_process(self) -> None:
        """Our process is gone; the nucleus starts another."""
        self._end_process()
        self._start_process(self.host.pace.process)

    def guard(self, act: Callable[[], None]) -> None:
        """Do it; a death in it is a power cut."""
        try:
            act()
        except Death:
            self.deaths += 1
            self.cut_power()

    def _end(self) -> None:
        self._end_process()
        self._disconnect()

    def _end_process(self) -> None:
        if self._component is not None:
            self._component.end()
        self._component, self._attempt, self._subscribing, self._hears = None, None, None, False

    def _start_process(self, seconds: float) -> None:
        def start() -> None:
            if self._component is None:
                self._component = Component(self.host, self.guard, f"session-{self._boot}")
                self.guard(self._component.begin)

        self._in_this_boot(seconds, start)

    def _restart(self) -> None:
        """``systemctl --no-block restart``: soon all of it starts again."""
        if self._restarting:
            return
        self._restarting = True

        def restart() -> None:
            self._end()
            self.start()

        self._in_this_boot(self.host.pace.restart, restart)

    def _in_this_boot(self, seconds: float, act: Callable[[], None]) -> None:
        boot = self._boot

        def run() -> None:
            if boot == self._boot:
                act()

        self._time.after(seconds, run)

    # -- the connection ------------------------------------------------------------------------

    def lose_network(self) -> None:
        """The device is offline until ``regain_network``."""
        self.has_network = self.store.network = False
        if self.principal is not None:
            self._connect_anew()

    def regain_network(self) -> None:
        self.has_network = self.store.network = True

    def drop(self) -> None:
        """See iot_core.Line."""
        self._connect_anew()

    def deliver(self, topic: str, payload: bytes) -> None:
        """See iot_core.Line."""
        component = self._component
        if component is None or not self._hears:
            return
        event = inbound.event_of(topic, payload)
        if event is not None:
            self.guard(lambda: component.take(event))

    def _disconnect(self) -> None:
        self._line += 1
        if self.principal is not None:
            self.principal = None
            self._iot_core.disconnected(self.thing)

    def _connect_anew(self) -> None:
        self._disconnect()
        self._failures = 0
        self._try_to_connect(1.0)

    def _try_to_connect(self, seconds: float) -> None:
        line = self._line

        def connect() -> None:
            if line != self._line:
                return
            lite = self.store.runtime == "lite"
            certificate = self.store.in_use if lite else self._loaded
            let_in = self.has_network and certificate is not None
            if let_in and self._iot_core.connect(self.thing, certificate or "", self):
                self.principal = certificate
                self._connected()
                return
            self._failures += 1
            wait = _RECONNECT[self.store.runtime].delay(self._failures, self.thing)
            self._try_to_connect(wait.total_seconds())

        self._in_this_boot(seconds, connect)

    def _connected(self) -> None:
        self._failures = 0
        while self._spool:
            self._take(*self._spool.popleft())
        if self._subscribing is not None:
            self._subscribed(self._subscribing)

    def _take(self, topic: str, payload: bytes) -> None:
        assert self.principal is not None
        self._iot_core.take(self.thing, self.principal, topic, payload)

    # -- what the component asks of the nucleus (certkeeper.ports.Nucleus) ---------------------

    def _post(self, event: events.Event) -> None:
        if self._component is not None:
            self._component.post(event, 0.01)

    def connect(self, attempt: int) -> None:
        self._attempt, self._subscribing = attempt, None
        self._post(events.Connected(attempt))

    def subscribe(self, attempt: int) -> None:
        self._post(events.Subscribed(attempt, "configuration-updates"))
        self.read_configuration(attempt)

    def read_configuration(self, attempt: int) -> None:
        self._post(events.ConfigurationRead(attempt, self.configuration))

    def report_validity(self, deployment_id: str, problem: str) -> None:
        """Nothing is deployed here."""

    def subscribe_jobs(self, attempt: int, topic_prefix: str) -> None:
        """On classic the answer comes once there is a connection, on lite at once."""
        if self.principal is not None:
            self._subscribed(attempt)
        elif self.store.runtime == "classic":
            self._subscribing = attempt
        else:
            refused = events.SubscriptionRefused(attempt, "next-job", "ServiceError", False)
            self._post(refused)

    def _subscribed(self, attempt: int) -> None:
        self._subscribing, self._hears = None, True
        for name in sorted(JOB_SUBSCRIPTIONS):
            self._post(events.Subscribed(attempt, name))
        self._post(events.Online(attempt))

    def send(self, topic: str, payload: bytes) -> None:
        if not self._accept(topic, payload):
            self._post(events.SendFailed(topic, "offline", False))

    def publish(self, message: Message) -> None:
        if self._accept(message.topic, message.payload.encode()):
            self._post(events.Published(message))
        else:
            self._post(events.PublishFailed(message, "offline", False))

    def _accept(self, topic: str, payload: bytes) -> bool:
        if self.principal is not None:
            self._take(topic, payload)
        elif self.store.runtime == "classic":
            self._spool.append((topic, payload))
        else:
            return False
        return True

    def defer_update(self, deployment_id: str, milliseconds: int) -> None:
        """Nothing is deployed here."""

    def close(self) -> None:
        """The connection to the component ends."""
        self._attempt = None

    # -- looking -------------------------------------------------------------------------------

    @property
    def is_settled(self) -> bool:
        """Whether no rotation is under way, as the journal has it."""
        journal = self.store.journal
        return journal is None or b'"phase": "idle"' in journal

    def story(self) -> str:
        """What has happened lately, for whoever has to find out why."""
        state = f"current={self.store.current} {self.store.slots} connected={self.principal}"
        return "\n".join([f"-- {self.thing}", *self.host.log, state])
