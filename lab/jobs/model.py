"""A job and its executions, and the forms in which a device is told of them."""

from __future__ import annotations

import json
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

from lab.jobs.rollout import Rollout

PENDING = ("QUEUED", "IN_PROGRESS")
TERMINAL = ("SUCCEEDED", "FAILED", "TIMED_OUT", "REJECTED", "REMOVED", "CANCELED")
RETRYABLE = ("FAILED", "TIMED_OUT")
DEVICE_SETTABLE = ("IN_PROGRESS", "SUCCEEDED", "FAILED", "REJECTED")


@dataclass(eq=False)
class Job:
    """As its owner made it; times are in seconds since the epoch."""

    job_id: str
    arn: str
    document: str  # JSON
    targets: list[str]  # ARNs
    target_selection: str
    created_at: float
    description: str | None = None
    template_arn: str | None = None
    timeout_minutes: int | None = None
    retries: dict[str, int] = field(default_factory=dict)  # by failureType
    abort_criteria: list[dict[str, Any]] = field(default_factory=list)
    #: What is kept and told, under its API name, and plays no part here.
    settings: dict[str, Any] = field(default_factory=dict)
    status: str = "IN_PROGRESS"
    updated_at: float = 0.0
    completed_at: float | None = None
    force_canceled: bool = False
    reason_code: str | None = None
    comment: str | None = None
    #: The latest execution of each thing, by its name.
    latest: dict[str, Execution] = field(default_factory=dict)
    pending: int = 0  # how many of the executions are not over
    #: How many things are through with it, by the status of their latest execution.
    over: Counter[str] = field(default_factory=Counter)
    rollout: Rollout | None = None
    #: Name and ARN of each thing that has not been told yet.
    waiting: deque[tuple[str, str]] = field(default_factory=deque)

    def process_details(self) -> dict[str, int]:
        """How many things are where, as DescribeJob says it."""
        counts = Counter(execution.status for execution in self.latest.values())
        return {
            f"numberOf{status.title().replace('_', '')}Things": counts[status]
            for status in (*PENDING, *TERMINAL)
        }


@dataclass(eq=False)
class Execution:
    """One attempt of one thing at a job. ``version`` counts the changes, ``number`` the
    attempts of this thing at this job; both begin with 1.
    """

    job: Job
    thing_name: str
    thing_arn: str
    number: int
    queued_at: float
    status: str = "QUEUED"
    details: dict[str, str] = field(default_factory=dict)
    started_at: float | None = None
    updated_at: float = 0.0
    version: int = 1
    force_canceled: bool = False
    deadline: float | None = None  # the job's own, set when it starts
    step_deadline: float | None = None
    retried: Counter[str] = field(default_factory=Counter)  # the failures before this attempt

    @property
    def is_pending(self) -> bool:
        return self.status in PENDING

    @property
    def times_out_at(self) -> float | None:
        """When it is TIMED_OUT if nothing happens."""
        if self.status != "IN_PROGRESS":
            return None
        return min(
            (at for at in (self.deadline, self.step_deadline) if at is not None), default=None
        )

    def may_be_retried(self) -> bool:
        """Whether its failure is of a kind of which the job has retries left."""
        if self.status not in RETRYABLE:
            return False
        own, every = self.job.retries.get(self.status), self.job.retries.get("ALL")
        if own is not None:
            return self.retried[self.status] < own
        return every is not None and sum(self.retried.values()) < every

    def summary(self) -> dict[str, Any]:
        """JobExecutionSummary of the data plane."""
        return _without_none(
            jobId=self.job.job_id,
            queuedAt=int(self.queued_at),
            startedAt=None if self.started_at is None else int(self.started_at),
            lastUpdatedAt=int(self.updated_at),
            versionNumber=self.version,
            executionNumber=self.number,
        )

    def state(self) -> dict[str, Any]:
        """JobExecutionState: what update answers, and refusals carry."""
        return {
            "status": self.status,
            "statusDetails": dict(self.details),
            "versionNumber": self.version,
        }

    def description(self, now: float, *, with_document: bool) -> dict[str, Any]:
        """JobExecution of the data plane, with the document as JSON text, as HTTPS has it."""
        ends = self.times_out_at
        return _without_none(
            **self.summary(),
            thingName=self.thing_name,
            status=self.status,
            statusDetails=dict(self.details) or None,
            approximateSecondsBeforeTimedOut=None if ends is None else max(0, int(ends - now)),
            jobDocument=self.job.document if with_document else None,
        )


def with_document_as_object(answer: dict[str, Any]) -> dict[str, Any]:
    """The same as MQTT has it: there the job document is a JSON object."""
    if "execution" in answer:
        return {**answer, "execution": with_document_as_object(answer["execution"])}
    if "jobDocument" in answer:
        return {**answer, "jobDocument": json.loads(answer["jobDocument"])}
    return answer


def _without_none(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
