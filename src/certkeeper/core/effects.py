"""What the machines in core ask of the world, as values. Each may be repeated harmlessly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Union

from certkeeper.core.record import Message, Record
from certkeeper.core.settings import Settings
from rotation_protocol.messages import Alert

DEBUG, INFO, WARN, ERROR = "DEBUG", "INFO", "WARN", "ERROR"


@dataclass(frozen=True)
class Log:
    """Say one line: an event's name and its details."""

    event: str
    details: Mapping[str, object] = field(default_factory=dict)
    level: str = INFO


@dataclass(frozen=True)
class Connect:
    """Open the IPC connection anew; whatever an earlier attempt has open is closed."""

    attempt: int


@dataclass(frozen=True)
class Subscribe:
    """Read the configuration, and subscribe to whatever tells of its changes."""

    attempt: int


@dataclass(frozen=True)
class ReadConfiguration:
    """Read the configuration again."""

    attempt: int


@dataclass(frozen=True)
class ReportValidity:
    """Answer a deployment that asked about a configuration; an empty ``problem`` accepts it."""

    deployment_id: str
    problem: str


@dataclass(frozen=True)
class KeepConfiguration:
    """Save the configuration that is now in force, for starts without the nucleus and the CLI."""

    values: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class SetLogLevel:
    """Say lines of this level and above from now on."""

    level: str


@dataclass(frozen=True)
class SaveRecord:
    """Write the record durably."""

    record: Record


@dataclass(frozen=True)
class Inspect:
    """Look at the device; answered by Inspected or InspectionFailed, in bounded time."""

    settings: Settings


@dataclass(frozen=True)
class SignAlerts:
    """Sign these alerts with the device's private key; answered by AlertsSigned, signed or not."""

    alerts: tuple[Alert, ...]
    private_key_source: str | None


@dataclass(frozen=True)
class Publish:
    """Hand a message to the nucleus, QoS 1."""

    message: Message


Effect = Union[
    Log,
    Connect,
    Subscribe,
    ReadConfiguration,
    ReportValidity,
    KeepConfiguration,
    SetLogLevel,
    SaveRecord,
    Inspect,
    SignAlerts,
    Publish,
]
