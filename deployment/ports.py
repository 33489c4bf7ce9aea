"""What deploying needs from an AWS account: values, errors, and the account as a Protocol.

``account.py`` is the real thing. Every call of a Cloud may raise AwsError; a sub-class says
more where a decision depends on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

#: A deployment as CreateDeployment takes it, without ``targetArn`` and ``clientToken``.
Content = dict[str, Any]


class CannotDeploy(Exception):
    """It stops before anything was deployed. The text says why, and what to do."""


class AwsError(Exception):
    """AWS did not do it. The text says why, and what to do."""


class Passing(AwsError):
    """It may pass by itself: throttled, out of reach, or an error of AWS's own."""


class SignedOut(AwsError):
    """The credentials are not accepted, or not any more."""


class NotFound(AwsError):
    """What the call was about is not there."""


@dataclass(frozen=True)
class Caller:
    """Who deploys, and where."""

    account: str
    arn: str
    region: str
    partition: str = "aws"


@dataclass(frozen=True)
class Group:
    """A thing group. ``query`` is that of a dynamic one, which is ``building`` while AWS IoT
    still works out who is in it."""

    name: str
    arn: str
    query: str | None = None
    building: bool = False


@dataclass(frozen=True)
class ComponentVersion:
    """A version of the component as Greengrass has it; ``state`` as in the API."""

    state: str
    message: str = ""
    errors: Mapping[str, str] = field(default_factory=dict)
    guidance: str = "ACTIVE"
    guidance_message: str = ""


@dataclass(frozen=True)
class Revision:
    """One deployment of the group, as it is listed. ``parent`` is set for a subdeployment."""

    deployment_id: str
    number: int
    status: str
    latest: bool
    created: datetime | None = None
    parent: str | None = None

    def __str__(self) -> str:
        made = f", made {self.created:%Y-%m-%d %H:%M}Z" if self.created else ""
        return f"revision {self.number} ({self.status}{made})"


@dataclass(frozen=True)
class Deployment:
    """A whole deployment; ``unknown`` names fields that this boto3 does not know, and loses."""

    content: Content
    job_id: str
    status: str
    latest: bool
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True)
class Counts:
    """How many devices are in which state of the deployment's job."""

    queued: int = 0
    in_progress: int = 0
    succeeded: int = 0
    failed: int = 0
    timed_out: int = 0
    rejected: int = 0
    canceled: int = 0
    removed: int = 0

    @property
    def waiting(self) -> int:
        return self.queued + self.in_progress

    @property
    def unsuccessful(self) -> int:
        return self.failed + self.timed_out + self.rejected + self.canceled

    @property
    def devices(self) -> int:
        """Those that the deployment is for; who has left the group is none."""
        return self.waiting + self.succeeded + self.unsuccessful


@dataclass(frozen=True)
class Job:
    """The deployment's IoT job. ``rolling_out``: there are devices that it has not reached yet."""

    status: str
    counts: Counts
    rolling_out: bool
    why: str = ""


@dataclass(frozen=True, order=True)
class Attempt:
    """One device's execution of the job; a device that left and came back has several."""

    thing: str
    number: int
    status: str


class Cloud(Protocol):
    """The account, in one Region. ``most`` bounds how far a long list is read."""

    def caller(self) -> Caller: ...

    def group(self, name: str) -> Group: ...

    def members(self, name: str, most: int) -> int:
        """How many things are in the group and in those below it; ``most`` if more."""

    def component(self, version: str) -> ComponentVersion: ...

    def versions(self, most: int) -> Sequence[str]:
        """The component's versions, greatest first; none if there is no such component."""

    def revisions(self, group: Group, *, history: bool) -> Sequence[Revision]:
        """The latest, or with ``history`` all; the newest first."""

    def subdeployments(self, group: Group) -> Sequence[str]:
        """The ARNs of the groups that have a subdeployment of this group's deployment."""

    def deployment(self, deployment_id: str) -> Deployment: ...

    def create(self, target: str, content: Content, token: str) -> tuple[str, str]:
        """Makes the deployment; its id and its job's. The same token makes it once only."""

    def job(self, job_id: str) -> Job: ...

    def attempts(self, job_id: str, status: str, most: int) -> Sequence[Attempt]: ...

    def details(self, job_id: str, attempt: Attempt) -> Mapping[str, str]:
        """What the device said of its attempt: names and texts of its own choice."""
