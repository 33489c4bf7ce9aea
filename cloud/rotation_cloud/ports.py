"""What the decisions need from AWS, and the errors that they tell apart.

``aws.py`` is the real thing. Every call may raise AwsError; a sub-class says more where a
decision depends on it. A certificate is named by its ARN, a thing by its name; where only the
id of a certificate is known, as from a message, that is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Protocol

from rotation_cloud.documents import Document
from rotation_cloud.records import Record
from rotation_cloud.security_events import SecurityEvent


class AwsError(Exception):
    """AWS did not do it, for the reason in the text."""


class Throttled(AwsError):
    """AWS is busy: nothing was done, and the same call may succeed later."""


class NotFound(AwsError):
    """What the call was about is not there."""


class AlreadyThere(AwsError):
    """What was to be made is there."""


class Refused(AwsError):
    """The input is at fault: the same call will be refused again."""


class InUse(AwsError):
    """A certificate that cannot be deleted yet: something is still attached to it."""


class RecordChanged(Exception):
    """The record is not the one that was read: somebody else wrote it in between."""


def certificate_id_of(arn: str) -> str:
    """A certificate's id; empty for the ARN of any other principal."""
    return arn.partition(":cert/")[2]


@dataclass(frozen=True)
class Order:
    """What is asked of an issuer: a certificate for the CSR (PEM) of a thing, in a job.

    ``token`` (36 characters) is the same for the same request.
    """

    csr: str
    token: str
    thing: str
    job_id: str


@dataclass(frozen=True)
class Issuance:
    """A certificate that is registered and ACTIVE, attached to nothing yet."""

    arn: str
    pem: str


@dataclass(frozen=True)
class Registered:
    """A certificate, or a CA's, in the registry. ``status`` is as in the AWS IoT API; ``ca_id``
    names the registered CA that signed it, and is empty if there is none. ``created`` is when it
    came into the registry, in seconds since the epoch."""

    arn: str
    pem: str
    status: str
    ca_id: str = ""
    created: float = 0.0

    @property
    def is_active(self) -> bool:
        return self.status == "ACTIVE"


@dataclass(frozen=True)
class Execution:
    """One thing's execution of a job: ``status`` as in the Jobs API, ``ended`` if it is final.

    A job may be executed again for the same thing: ``identity`` tells the executions apart,
    ``number`` counts them. ``operation`` is None where the document names none.
    """

    status: str
    ended: bool
    operation: str | None = None
    identity: str = ""
    number: int = 1


@dataclass(frozen=True)
class Listed:
    """A certificate as the registry lists it: ``status`` as in the API, ``created`` in seconds
    since the epoch."""

    arn: str
    status: str
    created: float

    @property
    def id(self) -> str:
        return certificate_id_of(self.arn)

    @property
    def is_active(self) -> bool:
        return self.status == "ACTIVE"


@dataclass(frozen=True)
class Ending:
    """How a job execution ended: its status, the details of its last update, and when (seconds
    since the epoch). ``queued`` is when it was made, 0 if that is not known."""

    status: str
    details: Mapping[str, str]
    at: float
    queued: float = 0


class Registry(Protocol):
    """The AWS IoT registry. Attaching and detaching twice is no error."""

    def principals(self, thing: str) -> dict[str, str]:
        """ARN and attachment type of every principal of the thing. Raises NotFound."""

    def registered(self, certificate_id: str) -> Registered:
        """The certificate of that id. Raises NotFound."""

    def things(self, arn: str) -> Sequence[str]:
        """Every thing that the certificate is attached to."""

    def policies(self, arn: str) -> Sequence[str]:
        """The names of all policies attached to the certificate."""

    def is_active(self, certificate_id: str) -> bool:
        """Whether there is a certificate of that id, and it opens anything."""

    def stray(self, public_keys: Set[str], since: float) -> Sequence[str]:
        """The certificates of these keys (SHA-256 of the SPKI) that are attached to no thing.

        Only recent ones are looked at, made after ``since`` (epoch seconds): the newest come
        first, and looking is costly. For the rare case that an answer was lost.
        """

    def attach_policy(self, arn: str, policy: str) -> None: ...

    def detach_policy(self, arn: str, policy: str) -> None:
        """Raises NotFound for a certificate or policy that is gone, or not attached."""

    def attach_thing(self, arn: str, thing: str, attachment: str) -> None: ...

    def detach_thing(self, arn: str, thing: str) -> None:
        """Raises NotFound. On return the detachment may still be on its way."""

    def deactivate(self, arn: str) -> None:
        """Raises NotFound."""

    def delete(self, arn: str) -> None:
        """Raises NotFound, or InUse while something is attached."""


class Registrar(Protocol):
    """What letting a device in asks of AWS IoT beside the registry."""

    def ca(self, ca_id: str) -> Registered:
        """A CA that is registered. Raises NotFound."""

    def create_thing(self, thing: str) -> None:
        """One that is there already is no error, and stays as it is."""

    def activate(self, arn: str) -> None:
        """Raises NotFound."""


class Issuer(Protocol):
    """Who signs: AWS IoT, a private CA, or a signer of the operator's own."""

    def issue(self, order: Order) -> Issuance:
        """A certificate, registered ACTIVE. Raises Refused for the CSR.

        After Refused and Throttled there is none; after any other error there may be one.
        """


class JobExecutions(Protocol):
    """The Jobs service."""

    def execution(self, thing: str, job_id: str) -> Execution | None:
        """The thing's latest execution of the job; None if there is none."""

    def pending(self, thing: str) -> Sequence[str]:
        """The ids of the jobs that wait for the thing or are in progress."""

    def create(self, job_id: str, thing: str) -> None:
        """Makes the rotation job for one thing. Raises AlreadyThere."""

    def cancel(self, thing: str, job_id: str) -> None:
        """Cancels the thing's execution, also one in progress. Raises NotFound.

        One that has ended stays as it is.
        """

    def ending(self, thing: str, job_id: str, number: int | None = None) -> Ending | None:
        """How the thing's latest execution ended, or the one of that number; None if it goes on.

        Raises NotFound.
        """


class Census(Protocol):
    """What only the reconciler asks: about all certificates, and about any one."""

    def certificates(self) -> Iterator[Listed]:
        """Every certificate of the account and region, those of others too. Many calls."""

    def status(self, certificate_id: str) -> str:
        """The status of a certificate now; empty if there is none."""

    def public_key(self, certificate_id: str) -> str:
        """SHA-256 (hex) of the certificate's SPKI, as create.public_key_of has it; empty if the
        certificate is gone or cannot be read."""


class JobEvents(Protocol):
    """Whether AWS IoT publishes what became of job executions: one switch for the account."""

    def are_on(self) -> bool: ...

    def switch(self, on: bool) -> None: ...


class Records(Protocol):
    """What is known of each rotation, written only on condition."""

    def get(self, thing: str, job_id: str) -> Record | None: ...

    def of_thing(self, thing: str) -> Sequence[Record]: ...

    def all(self) -> Iterator[Record]:
        """Every record of every thing. Reads the whole table; may lag behind a little."""

    def write(self, record: Record) -> Record:
        """Writes it if nobody did since it was read, and gives it as it now is.

        A record of version 0 is new. Raises RecordChanged. After an AwsError it may have been
        written or not.
        """


class Documents(Protocol):
    """What is known beside the records, written only on condition (documents.py)."""

    def get(self, thing: str, name: str) -> Document | None: ...

    def write(self, document: Document) -> Document:
        """As Records.write."""

    def all(self, prefix: str) -> Iterator[Document]:
        """Every document, of any thing, whose name begins so. Reads the whole table."""


class Answers(Protocol):
    """Messages to devices."""

    def publish(self, topic: str, payload: bytes) -> None: ...


class Notices(Protocol):
    """Messages to people."""

    def tell(self, subject: str, message: dict[str, str]) -> None: ...


class Alerts(Protocol):
    """Messages to people about the certificates of devices, on a topic of their own."""

    def tell(self, subject: str, text: str, attributes: Mapping[str, str]) -> None:
        """``attributes`` are for the filters of subscriptions; none is empty."""


class Audit(Protocol):
    """Events for whoever watches. Recording never fails: what has happened has happened."""

    def record(self, event: SecurityEvent) -> None: ...


class Workflows(Protocol):
    """The rotation workflow (cloud/statemachines)."""

    def start(self, name: str, given: Mapping[str, Any]) -> None:
        """Starts one. Raises AlreadyThere for another input under a name of the last 90 days;
        with the same input, and while it runs, nothing happens."""

    def end_task(self, token: str, result: Mapping[str, Any]) -> None:
        """Wakes a workflow that waits with this token. Raises NotFound if none does any more."""


class Clock(Protocol):
    """Time, in seconds since the epoch."""

    def now(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...


@dataclass(frozen=True)
class Cloud:
    """Everything that a decision asks of the world."""

    prefix: str
    registry: Registry
    registrar: Registrar
    issuer: Issuer
    jobs: JobExecutions
    records: Records
    answers: Answers
    notices: Notices
    alerts: Alerts
    documents: Documents
    audit: Audit
    workflows: Workflows
    census: Census
    job_events: JobEvents
    clock: Clock
    #: For how long the old certificate stays after a rotation; 0: it goes at once.
    grace_seconds: int = 0
    #: Whether certificates of an own CA are registered when they are first presented.
    registers: bool = False
