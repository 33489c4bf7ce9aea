"""What happens to the daemon, as values: the input of the machines in core."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Union

from certkeeper.core.certificate import Inventory
from certkeeper.core.record import Message
from rotation_protocol.messages import Alert


@dataclass(frozen=True)
class Moment:
    """When something happens: the wall clock (aware, UTC), which may jump, and the monotonic
    clock (seconds), which may not."""

    wall: datetime
    monotonic: float


@dataclass(frozen=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True)
class Connected:
    """The nucleus accepted our IPC connection."""

    attempt: int


@dataclass(frozen=True)
class Disconnected:
    """The IPC connection could not be made, or is gone."""

    attempt: int
    reason: str


@dataclass(frozen=True)
class Subscribed:
    """A subscription is in place."""

    attempt: int
    subscription: str


@dataclass(frozen=True)
class SubscriptionRefused:
    """A subscription is not to be had: ``unauthorized`` by accessControl, else not offered."""

    attempt: int
    subscription: str
    reason: str
    unauthorized: bool


@dataclass(frozen=True)
class ConfigurationRead:
    """The component's configuration, as GetConfiguration gave it."""

    attempt: int
    values: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class ConfigurationChanged:
    """The nucleus says that the configuration is another now."""

    attempt: int


@dataclass(frozen=True)
class ValidationAsked:
    """A deployment asks whether it may give us this configuration."""

    attempt: int
    deployment_id: str
    values: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Inspected:
    """A look at the device is complete."""

    inventory: Inventory


@dataclass(frozen=True)
class InspectionFailed:
    """A look at the device brought nothing back."""

    reason: str


@dataclass(frozen=True)
class AlertsSigned:
    """The alerts that were to be signed, in the same order; ``problem`` says why some are not."""

    alerts: tuple[Alert, ...]
    problem: str = ""


@dataclass(frozen=True)
class Published:
    """The nucleus took the message."""

    message: Message


@dataclass(frozen=True)
class PublishFailed:
    """The nucleus did not take the message."""

    message: Message
    reason: str
    unauthorized: bool


Event = Union[
    Tick,
    Connected,
    Disconnected,
    Subscribed,
    SubscriptionRefused,
    ConfigurationRead,
    ConfigurationChanged,
    ValidationAsked,
    Inspected,
    InspectionFailed,
    AlertsSigned,
    Published,
    PublishFailed,
]
