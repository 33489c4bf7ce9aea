"""What the machines in core ask of the world, as values. Each may be repeated harmlessly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Union

from certkeeper.core.record import Message, Record
from certkeeper.core.settings import Settings
from rotation_protocol.messages import Alert
from rotation_protocol.values import dataclass

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


# -- rotation: done in the rotating child, in order; each is answered by the event named ------


@dataclass(frozen=True)
class Survey:
    """Look at the store and its journal; answered by Surveyed or SurveyFailed."""

    settings: Settings


@dataclass(frozen=True)
class Prepare:
    """Make a new key in the spare slot, and a CSR for it; answered by Prepared or StepFailed."""

    key_algorithm: str
    signing_algorithm: str


@dataclass(frozen=True)
class Stage:
    """Check what the cloud issued for ``csr`` and keep it beside its key; answered by Staged
    or StepFailed."""

    slot: str
    csr: str
    certificate_pem: str


@dataclass(frozen=True)
class Probe:
    """Try the pairs in these slots with AWS IoT; answered by Probed."""

    slots: tuple[str, ...]


@dataclass(frozen=True)
class Arm:
    """Arm the dead-man's switch: in ``seconds`` it goes back from the new slot to the old one
    unless it is disarmed; answered by Armed or StepFailed."""

    old_slot: str
    new_slot: str
    seconds: int


@dataclass(frozen=True)
class Activate:
    """Make the nucleus's paths lead to this slot; answered by Activated or StepFailed."""

    slot: str


@dataclass(frozen=True)
class Reconnect:
    """Make the nucleus use what its paths lead to, the stronger the larger the number; answered
    by Reconnected or StepFailed."""

    strength: int


@dataclass(frozen=True)
class Disarm:
    """Disarm the dead-man's switch; answered by Disarmed or StepFailed."""


@dataclass(frozen=True)
class Wipe:
    """Remove the pair in this slot, unless it is the one in use; answered by Wiped or
    StepFailed."""

    slot: str


@dataclass(frozen=True)
class EndRotator:
    """The rotating child is not needed for now."""


@dataclass(frozen=True)
class Send:
    """Hand a message of the rotation to the nucleus, QoS 1; answered by SendFailed if at all:
    what counts is the cloud's own answer."""

    topic: str
    payload: bytes = field(repr=False)


@dataclass(frozen=True)
class SubscribeJobs:
    """Subscribe to what the cloud says of jobs and certificates."""

    attempt: int
    topic_prefix: str


@dataclass(frozen=True)
class DeferUpdate:
    """Ask the nucleus to hold a deployment back for so long."""

    deployment_id: str
    milliseconds: int


@dataclass(frozen=True)
class Resubscribe:
    """Connect to the nucleus anew, and subscribe again to everything."""


#: What the rotating child does.
RotatorStep = Union[
    Survey, Prepare, Stage, Probe, Arm, Activate, Reconnect, Disarm, Wipe, EndRotator
]

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
    RotatorStep,
    Send,
    SubscribeJobs,
    DeferUpdate,
    Resubscribe,
]
