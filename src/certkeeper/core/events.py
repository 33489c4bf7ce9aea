"""What happens to the daemon, as values: the input of the machines in core."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Union

from certkeeper.core.certificate import Inventory
from certkeeper.core.journal import Journal
from certkeeper.core.record import Message
from certkeeper.core.store import Store
from rotation_protocol.jobs import JobRejected, NextJob, UpdateAccepted
from rotation_protocol.messages import Alert
from rotation_protocol.reasons import FailureReason
from rotation_protocol.rotation import Committed, Issued, Rejected
from rotation_protocol.values import dataclass


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


# -- rotation: what the cloud says ---------------------------------------------------


@dataclass(frozen=True)
class Online:
    """Every subscription that a rotation needs is in place."""

    attempt: int


@dataclass(frozen=True)
class JobNotified:
    """The Jobs service says, unasked, which job is next."""

    next_job: NextJob


@dataclass(frozen=True)
class JobAnswered:
    """The Jobs service answers which job is next, or how the one asked about stands.

    ``job_id`` is the topic's: ``$next``, or a job's id."""

    job_id: str
    next_job: NextJob


@dataclass(frozen=True)
class JobAskRejected:
    """The Jobs service does not answer a question about a job."""

    job_id: str
    rejected: JobRejected


@dataclass(frozen=True)
class UpdateTaken:
    """The Jobs service took an update of the job."""

    job_id: str
    accepted: UpdateAccepted


@dataclass(frozen=True)
class UpdateRejected:
    """The Jobs service refused an update of the job."""

    job_id: str
    rejected: JobRejected


@dataclass(frozen=True)
class CreateAnswered:
    """The cloud issued a certificate."""

    issued: Issued = field(repr=False)


@dataclass(frozen=True)
class CreateRejected:
    """The cloud issues no certificate."""

    rejected: Rejected


@dataclass(frozen=True)
class CommitAnswered:
    """The cloud committed the new certificate."""

    committed: Committed


@dataclass(frozen=True)
class CommitRejected:
    """The cloud does not commit the new certificate."""

    rejected: Rejected


@dataclass(frozen=True)
class RequestAnswered:
    """The cloud has a job for us, or will not make one (``problem``)."""

    problem: str = ""


@dataclass(frozen=True)
class MessageRefused:
    """A message on one of our topics cannot be understood."""

    topic: str
    reason: str


@dataclass(frozen=True)
class SendFailed:
    """The nucleus did not take a message of the rotation."""

    topic: str
    reason: str
    unauthorized: bool


@dataclass(frozen=True)
class UpdateAnnounced:
    """A deployment is about to change components, us or the nucleus perhaps among them."""

    deployment_id: str


# -- rotation: what the rotating child answers -----------------------------------------


@dataclass(frozen=True)
class Surveyed:
    """The store, and the journal in it, as they are."""

    store: Store


@dataclass(frozen=True)
class SurveyFailed:
    """There is no telling where the store is."""

    reason: str


@dataclass(frozen=True)
class Prepared:
    """A new key is in ``new_slot``, and this is its CSR (PKCS#10 in PEM)."""

    old_slot: str
    new_slot: str
    csr: str
    old_certificate_id: str
    key_algorithm: str


@dataclass(frozen=True)
class Staged:
    """The certificate issued is good, and kept beside its key."""

    certificate_id: str


@dataclass(frozen=True)
class ProbeResult:
    """What trying a pair showed: accepted, refused, unclear or unreachable, and why."""

    slot: str
    verdict: str
    detail: str = ""


@dataclass(frozen=True)
class Probed:
    """The pairs asked about have been tried."""

    results: tuple[ProbeResult, ...]

    def of(self, slot: str | None) -> ProbeResult:
        """The result for this slot; "unclear" for one that was not tried."""
        for result in self.results:
            if result.slot == slot:
                return result
        return ProbeResult(slot or "", "unclear", "it was not tried")


@dataclass(frozen=True)
class Armed:
    """The dead-man's switch is armed."""


@dataclass(frozen=True)
class Activated:
    """The nucleus's paths lead to this slot."""

    slot: str


@dataclass(frozen=True)
class Reconnected:
    """The nucleus was told to use what its paths lead to. ``restarts_us``: by a restart of the
    nucleus, which ends this process too."""

    means: str
    restarts_us: bool


@dataclass(frozen=True)
class Disarmed:
    """The dead-man's switch is off, and whatever is left of it does nothing."""


@dataclass(frozen=True)
class Wiped:
    """There is no pair in this slot any more."""

    slot: str


@dataclass(frozen=True)
class StepFailed:
    """A step could not be done; ``step`` is the effect's name."""

    step: str
    reason: FailureReason
    detail: str


@dataclass(frozen=True)
class JournalNotSaved:
    """``wanted`` could not be written down, so what it announces has not been begun."""

    wanted: Journal
    reason: str


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
    Online,
    JobNotified,
    JobAnswered,
    JobAskRejected,
    UpdateTaken,
    UpdateRejected,
    CreateAnswered,
    CreateRejected,
    CommitAnswered,
    CommitRejected,
    RequestAnswered,
    MessageRefused,
    SendFailed,
    UpdateAnnounced,
    Surveyed,
    SurveyFailed,
    Prepared,
    Staged,
    Probed,
    Armed,
    Activated,
    Reconnected,
    Disarmed,
    Wiped,
    StepFailed,
    JournalNotSaved,
]
