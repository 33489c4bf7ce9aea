"""A daemon over fakes: time stands still until a test moves it, and nothing waits."""

from __future__ import annotations

import queue
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from certkeeper.core import monitor
from certkeeper.core.certificate import CertificateFacts, Inventory, PairState, Reading, Role
from certkeeper.core.events import Event, Tick
from certkeeper.core.link import Link
from certkeeper.core.settings import Settings
from certkeeper.daemon import Daemon, Inbox, Stop, World
from certkeeper.wiring import rules_for, settings_kept
from rotation_protocol.codec import decode_alert, decode_health
from rotation_protocol.messages import Alert, Health
from tests.fakes import (
    START,
    FakeClock,
    FakeInspector,
    FakeNucleus,
    FakeRotator,
    MemoryConfigurations,
    MemoryJournals,
    MemoryLog,
    MemoryRecords,
)

THING = "press-7"
CERTIFICATE_ID = "ab" * 32


def inventory(
    *,
    not_after: datetime,
    not_before: datetime = START - timedelta(days=300),
    certificate_id: str = CERTIFICATE_ID,
    pair: PairState = PairState.MATCHES,
    synchronized: bool | None = None,
) -> Inventory:
    """A device that holds one certificate."""
    facts = CertificateFacts(
        certificate_id=certificate_id,
        subject="CN=AWS IoT Certificate",
        issuer="OU=Amazon Web Services O\\=Amazon.com Inc. L\\=Seattle ST\\=Washington C\\=US",
        serial_number="2a",
        not_before=not_before,
        not_after=not_after,
        key_algorithm="ECDSA-P256",
    )
    reading = Reading(Role.CORE_DEVICE, "/greengrass/v2/thingCert.crt", facts, pair=pair)
    key = "/greengrass/v2/privKey.key"
    return Inventory("classic", THING, key, (reading,), (), clock_synchronized=synchronized)


class House:
    """The daemon, its world, and what the cloud received."""

    def __init__(
        self,
        look: Callable[[Settings], Inventory | None],
        configuration: Mapping[str, Any] | None = None,
        clock: FakeClock | None = None,
    ) -> None:
        self.inbox: Inbox = Inbox()
        self.clock = clock or FakeClock()
        self.log = MemoryLog()
        self.records = MemoryRecords()
        self.configurations = MemoryConfigurations()
        self.nucleus = FakeNucleus(self.inbox.put, configuration)
        self.inspector = FakeInspector(self.inbox.put, look)
        self.journals = MemoryJournals()
        self.rotator = FakeRotator(self.inbox.put, self.journals)
        self.boot()

    def boot(self) -> None:
        """A new process, with what the last one left on disk."""
        self._drop_events()
        rules = rules_for(THING)
        record, _ = self.records.load()
        settings = settings_kept(self.configurations.load(), rules)
        world = World(
            clock=self.clock,
            log=self.log,
            records=self.records,
            configurations=self.configurations,
            nucleus=self.nucleus,
            inspector=self.inspector,
            journals=self.journals,
            rotator=self.rotator,
        )
        first = monitor.started(settings, record, self.clock.now())
        self.daemon = Daemon(world, self.inbox, rules, Link(seed=THING), first, "session-1")
        self.daemon.begin()

    def settle(self, *, safely: bool = False) -> None:
        """Take a tick and every event that follows from it, with no time passing.

        ``safely`` as the daemon's own loop does; else a fault fails the test.
        """
        take = self.daemon.take_safely if safely else self.daemon.take
        pending: list[Event] = [Tick()]
        while pending:
            for event in pending:
                take(event)
            pending = self._drop_events()

    def pass_time(self, span: timedelta, step: timedelta = timedelta(minutes=30)) -> None:
        """Let time go by, in steps, the daemon awake at each."""
        while span > timedelta(0):
            self.clock.advance(min(step, span).total_seconds())
            self.settle()
            span -= step

    @property
    def alerts(self) -> list[Alert]:
        """The alerts that the nucleus took, in order."""
        return [
            decode_alert(message.payload.encode())
            for message in self.nucleus.published
            if message.key != monitor.HEALTH_KEY
        ]

    @property
    def healths(self) -> list[Health]:
        """The health messages that the nucleus took, in order."""
        return [
            decode_health(message.payload.encode())
            for message in self.nucleus.published
            if message.key == monitor.HEALTH_KEY
        ]

    def _drop_events(self) -> list[Event]:
        events: list[Event] = []
        while True:
            try:
                event = self.inbox.get_nowait()
            except queue.Empty:
                return events
            if not isinstance(event, Stop):
                events.append(event)
