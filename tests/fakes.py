"""Fakes of the ports, in memory. tests/contract holds them to what the real ones do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from certkeeper.core import events
from certkeeper.core.certificate import Inventory
from certkeeper.core.events import Moment
from certkeeper.core.record import Message, Record
from certkeeper.core.settings import Settings
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
