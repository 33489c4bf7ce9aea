"""A device in the hands of a test: its two clocks, its disk, its nucleus, its certificates.

What the monitor asks for is done at once, and answered as the real edges do. What must
hold at every step is asserted here, once: a message is on disk before it is handed over,
one message and one inspection at a time, and no waking without end.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from certkeeper.core import effects, events, monitor, record
from certkeeper.core.certificate import CertificateFacts, Inventory, PairState, Reading, Role
from certkeeper.core.effects import Effect
from certkeeper.core.events import Event, Tick
from certkeeper.core.moment import Moment
from certkeeper.core.monitor import HEALTH_KEY, Rules
from certkeeper.core.record import Message, Record
from certkeeper.core.settings import Settings
from rotation_protocol.codec import decode_alert, decode_health
from rotation_protocol.messages import Alert, Health

NOW = datetime(2026, 11, 22, 1, 0, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
THING = "press-7"
CERTIFICATE_ID = "ab" * 32
SOURCE = "/greengrass/v2/thingCert.crt"
END_OF_2049 = datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)
END_OF_TIME = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
START_OF_TIME = datetime(1, 1, 1, tzinfo=UTC)

DAILY = "cron(0 2 * * ? *)"
HOURLY = "rate(1 hour)"
NEVER = "cron(0 2 1 1 ? 1999)"


def schedule_problem(expression: str) -> str | None:
    """The schedules of these tests are three; edge/schedule.py knows the others."""
    return None if expression in (DAILY, HOURLY, NEVER) else "write cron(...) or rate(...)"


def next_check(expression: str, after: datetime) -> datetime | None:
    """The next time of one of the three."""
    try:
        if expression == HOURLY:
            return after + HOUR
        today = after.replace(hour=2, minute=0, second=0, microsecond=0)
        if expression == DAILY:
            return today if today > after else today + DAY
    except OverflowError:
        pass
    return None


RULES = Rules(THING, "0.1.0", next_check, next_check, schedule_problem)


def facts(
    not_after: datetime = END_OF_2049,
    not_before: datetime = NOW - 300 * DAY,
    issuer_not_after: datetime | None = None,
    certificate_id: str = CERTIFICATE_ID,
) -> CertificateFacts:
    """A certificate as AWS IoT issues it."""
    return CertificateFacts(
        certificate_id=certificate_id,
        subject="CN=AWS IoT Certificate",
        issuer="OU=Amazon Web Services O\\=Amazon.com Inc. L\\=Seattle ST\\=Washington C\\=US",
        serial_number="2a",
        not_before=not_before,
        not_after=not_after,
        key_algorithm="ECDSA-P256",
        issuer_not_after=issuer_not_after,
    )


def reading(
    certificate: CertificateFacts, role: Role = Role.CORE_DEVICE, source: str = SOURCE
) -> Reading:
    """That certificate, found and read, beside its own key."""
    core = role is Role.CORE_DEVICE
    return Reading(
        role, source, certificate, pair=PairState.MATCHES if core else PairState.NOT_CHECKED
    )


def inventory(*readings: Reading, synchronized: bool | None = None) -> Inventory:
    """A device that holds these."""
    key = "/greengrass/v2/privKey.key"
    return Inventory("classic", THING, key, readings, (), clock_synchronized=synchronized)


def ending_in(span: timedelta) -> Inventory:
    """A device whose one certificate ends ``span`` after NOW."""
    return inventory(reading(facts(NOW + span)))


class Clock:
    """A wall clock of whole seconds, as edge/clock.py reads it, and a monotonic one."""

    def __init__(self, wall: datetime = NOW) -> None:
        self.monotonic = 1000.0
        self._wall_at_zero = wall - timedelta(seconds=1000)

    def now(self) -> Moment:
        return Moment(
            self._wall_at_zero + timedelta(seconds=math.floor(self.monotonic)), self.monotonic
        )

    def advance(self, seconds: float) -> None:
        """Both clocks go on."""
        self.monotonic += seconds

    def jump(self, to: datetime) -> None:
        """Somebody sets the wall clock; the monotonic one does not notice."""
        self._wall_at_zero += to - self.now().wall


def takes_all(message: Message) -> Event | None:
    """A nucleus that takes every message."""
    return events.Published(message)


def keeps_silent(message: Message) -> Event | None:
    """A nucleus that never answers."""
    return None


class Device:
    """The monitor on a device, from start to restart to restart."""

    def __init__(
        self, holds: Inventory | None, settings: Settings | None = None, wall: datetime = NOW
    ) -> None:
        self.holds = holds
        self.settings = settings or Settings()
        self.clock = Clock(wall)
        self.disk = record.encode(Record())
        self.inspection_seconds = 0.0
        self.answer: Callable[[Message], Event | None] = takes_all
        self.cloud: list[Message] = []
        self.handed: list[Message] = []
        self.logs: list[effects.Log] = []
        self.checks = 0
        self.attempt = 0
        self.restart()

    def restart(self) -> None:
        """A new process, with what the last one left on disk; not yet connected."""
        self.unanswered: Message | None = None
        self.monitor = monitor.started(self.settings, record.decode(self.disk), self.clock.now())

    def connect(self) -> None:
        """The nucleus accepts a new connection."""
        self.attempt += 1
        self.give(events.Connected(self.attempt))

    def disconnect(self) -> None:
        """The nucleus goes away."""
        self.unanswered = None
        self.give(events.Disconnected(self.attempt, "closed"))

    def give(self, event: Event) -> None:
        """Let one event happen, and everything that follows from it at once."""
        if getattr(event, "message", None) == self.unanswered:
            self.unanswered = None
        pending, steps = [event], 0
        while pending:
            steps += 1
            assert steps < 2000, "goes on without end"
            now = self.clock.now()
            self.monitor, asked = monitor.step(self.monitor, pending.pop(0), now, RULES)
            for effect in asked:
                pending.extend(self._carry_out(effect))

    def tick(self) -> None:
        """Time has passed; the next waking lies ahead."""
        self.give(Tick())
        wake_at = self.monitor.wake_at(self.clock.now())
        assert wake_at is None or wake_at > self.clock.monotonic, "wakes without end"

    def pass_time(self, span: timedelta) -> None:
        """Let time go by, waking the monitor whenever it wants to be woken."""
        end = self.clock.monotonic + span.total_seconds()
        while self.clock.monotonic < end:
            wake_at = self.monitor.wake_at(self.clock.now())
            until = end if wake_at is None else min(wake_at, end)
            self.clock.advance(max(until - self.clock.monotonic, 0.0))
            self.tick()

    def check(self) -> None:
        """Let the first check of a process run."""
        self.pass_time(timedelta(seconds=6))

    def said(self, event: str) -> list[effects.Log]:
        """The log lines of that event."""
        return [log for log in self.logs if log.event == event]

    @property
    def raised(self) -> list[Alert]:
        """The alerts that the cloud got, in order."""
        return [decode_alert(m.payload.encode()) for m in self.cloud if m.key != HEALTH_KEY]

    @property
    def healths(self) -> list[Health]:
        """The health messages that the cloud got, in order."""
        return [decode_health(m.payload.encode()) for m in self.cloud if m.key == HEALTH_KEY]

    def _carry_out(self, effect: Effect) -> list[Event]:
        if isinstance(effect, effects.Log):
            self.logs.append(effect)
        elif isinstance(effect, effects.SaveRecord):
            self.disk = record.encode(effect.record)
            assert record.decode(self.disk) == effect.record
        elif isinstance(effect, effects.Inspect):
            self.checks += 1
            self.clock.advance(self.inspection_seconds)
            if self.holds is None:
                return [events.InspectionFailed("no process could be started")]
            return [events.Inspected(self.holds)]
        elif isinstance(effect, effects.SignAlerts):
            signed = tuple(replace(alert, signature="header..signature") for alert in effect.alerts)
            return [events.AlertsSigned(signed)]
        elif isinstance(effect, effects.Publish):
            return self._hand_over(effect.message)
        return []

    def _hand_over(self, message: Message) -> list[Event]:
        assert message in record.decode(self.disk).waiting, "handed over before it was saved"
        assert self.unanswered is None or self._has_waited_long(), "two messages at a time"
        self.handed.append(message)
        answer = self.answer(message)
        if isinstance(answer, events.Published):
            self.cloud.append(message)
        self.unanswered = message if answer is None else None
        self._handed_at = self.clock.monotonic
        return [] if answer is None else [answer]

    def _has_waited_long(self) -> bool:
        return self.clock.monotonic >= self._handed_at + 30
