"""Fakes of the ports, in memory. tests/contract holds them to what the real ones do."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from certkeeper.core import effects, events, inbound, journal
from certkeeper.core.certificate import Inventory
from certkeeper.core.journal import Journal
from certkeeper.core.link import JOB_SUBSCRIPTIONS
from certkeeper.core.moment import Moment
from certkeeper.core.record import Message, Record
from certkeeper.core.settings import Settings
from certkeeper.core.store import Slot, Store, other
from certkeeper.ports import EventSink, StoreError
from rotation_protocol.messages import Alert

START = datetime(2026, 11, 22, 1, 0, tzinfo=UTC)


class FakeClock:
    """A clock that moves only when it is told to."""

    def __init__(self, wall: datetime = START) -> None:
        self.wall = wall
        self.monotonic = 1000.0

    def now(self) -> Moment:
        return Moment(self.wall, self.monotonic)

    def advance(self, seconds: float) -> None:
        """Let time pass for both clocks."""
        self.wall += timedelta(seconds=seconds)
        self.monotonic += seconds


class MemoryLog:
    """Keeps every line."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, object], str]] = []
        self.level = "INFO"

    def say(self, event: str, details: Mapping[str, object], level: str) -> None:
        self.lines.append((event, dict(details), level))

    def set_level(self, level: str) -> None:
        self.level = level

    def said(self, event: str) -> list[dict[str, object]]:
        """The details of each line of that event."""
        return [details for name, details, _ in self.lines if name == event]


class MemoryRecords:
    """A record store; ``full`` makes it fail as a full disk does."""

    def __init__(self, record: Record | None = None) -> None:
        self.record = record or Record()
        self.full = False

    def load(self) -> tuple[Record, str | None]:
        return self.record, None

    def save(self, record: Record) -> None:
        if self.full:
            raise StoreError("record.json: No space left on device")
        self.record = record


class MemoryConfigurations:
    """A configuration store."""

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        self.values = values
        self.full = False

    def load(self) -> Mapping[str, Any] | None:
        return self.values

    def save(self, values: Mapping[str, Any]) -> None:
        if self.full:
            raise StoreError("configuration.json: No space left on device")
        self.values = {key: value for key, value in values.items() if key != "accessControl"}


class MemoryJournals:
    """A journal store; ``full`` makes it fail as a full disk does."""

    def __init__(self) -> None:
        self.content: bytes | None = None
        self.full = False

    def keep_in(self, folder: str) -> None:
        self.folder = folder

    def save(self, value: Journal) -> None:
        if self.full:
            raise StoreError("journal.json: No space left on device")
        self.content = journal.encode(value)


class FakeRotator:
    """Has a device with one whole pair, and does every step at once and well."""

    def __init__(self, post: EventSink, journals: MemoryJournals) -> None:
        self.post = post
        self.journals = journals
        self.steps: list[effects.RotatorStep] = []
        self.current = "a"
        self.slots = {"a": Slot(True, "ab" * 32, True), "b": Slot()}

    def do(self, step: effects.RotatorStep) -> None:
        self.steps.append(step)
        event = self._outcome(step)
        if event is not None:
            self.post(event)

    def close(self) -> None:
        self.steps.append(effects.EndRotator())

    def _outcome(self, step: effects.RotatorStep) -> events.Event | None:
        new = other(self.current)
        if isinstance(step, effects.Survey):
            content = self.journals.content
            in_use = self.slots[self.current].certificate_id
            found = Store("/store", "classic", True, self.current, self.slots, in_use, content)
            return events.Surveyed(found)
        if isinstance(step, effects.Prepare):
            self.slots = {**self.slots, new: Slot(has_key=True)}
            return events.Prepared(self.current, new, "CSR", "ab" * 32, "ECDSA-P256")
        if isinstance(step, effects.Stage):
            self.slots = {**self.slots, step.slot: Slot(True, "cd" * 32, True)}
            return events.Staged("cd" * 32)
        if isinstance(step, effects.Probe):
            results = tuple(events.ProbeResult(slot, "accepted") for slot in step.slots)
            return events.Probed(results)
        if isinstance(step, effects.Arm):
            return events.Armed()
        if isinstance(step, effects.Activate):
            self.current = step.slot
            return events.Activated(step.slot)
        if isinstance(step, effects.Reconnect):
            return events.Reconnected("ss", restarts_us=False)
        if isinstance(step, effects.Disarm):
            return events.Disarmed()
        if isinstance(step, effects.Wipe):
            self.slots = {**self.slots, step.slot: Slot()}
            return events.Wiped(step.slot)
        return None


class FakeNucleus:
    """A nucleus that answers at once, and can be away, refuse, or keep silent."""

    def __init__(self, post: EventSink, configuration: Mapping[str, Any] | None = None) -> None:
        self.post = post
        self.configuration: dict[str, Any] = dict(configuration or {})
        self.away = False
        self.silent = False
        self.denied_topics: set[str] = set()
        self.publish_error: str | None = None
        self.published: list[Message] = []
        self.validity: list[tuple[str, str]] = []
        self.sent: list[tuple[str, bytes]] = []
        self.deferred: list[str] = []
        self.attempts: list[int] = []
        self._attempt: int | None = None

    def connect(self, attempt: int) -> None:
        self.attempts.append(attempt)
        self._attempt = None
        if self.silent:
            return
        if self.away:
            self.post(events.Disconnected(attempt, "no socket"))
            return
        self._attempt = attempt
        self.post(events.Connected(attempt))

    def subscribe(self, attempt: int) -> None:
        self.post(events.Subscribed(attempt, "configuration-updates"))
        self.read_configuration(attempt)
        self.post(events.Subscribed(attempt, "configuration-validation"))

    def subscribe_jobs(self, attempt: int, topic_prefix: str) -> None:
        for name in sorted(JOB_SUBSCRIPTIONS):
            self.post(events.Subscribed(attempt, name))
        self.post(events.Online(attempt))

    def send(self, topic: str, payload: bytes) -> None:
        if self._attempt is None:
            self.post(events.SendFailed(topic, "not connected", False))
            return
        self.sent.append((topic, payload))
        if topic.endswith("/jobs/$next/get"):  # there is no job
            answer = json.dumps({"timestamp": 1, **json.loads(payload)}).encode()
            event = inbound.event_of(f"{topic}/accepted", answer)
            assert event is not None
            self.post(event)

    def defer_update(self, deployment_id: str, milliseconds: int) -> None:
        self.deferred.append(deployment_id)

    def read_configuration(self, attempt: int) -> None:
        self.post(events.ConfigurationRead(attempt, dict(self.configuration)))

    def report_validity(self, deployment_id: str, problem: str) -> None:
        self.validity.append((deployment_id, problem))

    def publish(self, message: Message) -> None:
        if self.silent:
            return
        if self._attempt is None:
            self.post(events.PublishFailed(message, "not connected", False))
        elif message.topic in self.denied_topics:
            self.post(events.PublishFailed(message, "UnauthorizedError", True))
        elif self.publish_error is not None:
            self.post(events.PublishFailed(message, self.publish_error, False))
        else:
            self.published.append(message)
            self.post(events.Published(message))

    def close(self) -> None:
        self._attempt = None

    def change(self, **values: Any) -> None:
        """A deployment gives the component another configuration."""
        self.configuration.update(values)
        if self._attempt is not None:
            self.post(events.ConfigurationChanged(self._attempt))

    def validate(self, deployment_id: str, values: Mapping[str, Any]) -> None:
        """A deployment asks whether it may."""
        if self._attempt is not None:
            self.post(events.ValidationAsked(self._attempt, deployment_id, values))

    def drop(self) -> None:
        """The connection ends from the nucleus's side."""
        if self._attempt is not None:
            attempt, self._attempt = self._attempt, None
            self.post(events.Disconnected(attempt, "closed"))


class FakeInspector:
    """Finds what ``look`` returns; None is a look that fails. Signs with a stamp."""

    def __init__(self, post: EventSink, look: Callable[[Settings], Inventory | None]) -> None:
        self.post = post
        self.look = look
        self.looks = 0
        self.closed = False

    def inspect(self, settings: Settings) -> None:
        self.looks += 1
        inventory = self.look(settings)
        if inventory is None:
            self.post(events.InspectionFailed("no process could be started"))
        else:
            self.post(events.Inspected(inventory))

    def sign(self, alerts: tuple[Alert, ...], private_key_source: str | None) -> None:
        if private_key_source is None:
            self.post(events.AlertsSigned(alerts, "there is no private key that can be read"))
        else:
            signed = tuple(replace(alert, signature="header..signature") for alert in alerts)
            self.post(events.AlertsSigned(signed))

    def close(self) -> None:
        self.closed = True
