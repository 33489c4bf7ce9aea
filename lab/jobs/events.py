"""Event messages: what became of jobs and their executions, for rules and dashboards.

Each kind is off until UpdateEventConfigurations switches it on. As with AWS there is none
for QUEUED and IN_PROGRESS.

https://docs.aws.amazon.com/iot/latest/developerguide/events-jobs.html
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from lab.jobs.errors import invalid
from lab.jobs.model import Execution, Job

# https://docs.aws.amazon.com/iot/latest/apireference/API_UpdateEventConfigurations.html
EVENT_TYPES = (
    "THING",
    "THING_GROUP",
    "THING_TYPE",
    "THING_GROUP_MEMBERSHIP",
    "THING_GROUP_HIERARCHY",
    "THING_TYPE_ASSOCIATION",
    "JOB",
    "JOB_EXECUTION",
    "POLICY",
    "CERTIFICATE",
    "CA_CERTIFICATE",
)


class Events:
    """The account's event configurations, and the messages of the two that are played here.

    ``say`` takes a topic and a body.
    """

    def __init__(self, say: Callable[[str, dict[str, Any]], None]) -> None:
        self._say = say
        self._enabled = dict.fromkeys(EVENT_TYPES, False)
        self._created_at: float | None = None
        self._changed_at: float | None = None

    def configure(self, configurations: Mapping[str, Mapping[str, Any]], now: float) -> None:
        """Switch some kinds on or off; the others stay as they are. Raises JobsError."""
        unknown = set(configurations) - set(EVENT_TYPES)
        if unknown:
            raise invalid(f"no such event type: {', '.join(sorted(unknown))}")
        for kind, configuration in configurations.items():
            self._enabled[kind] = bool(configuration.get("Enabled", False))
        self._created_at = now if self._created_at is None else self._created_at
        self._changed_at = now

    def describe(self) -> tuple[dict[str, dict[str, bool]], float | None, float | None]:
        """The configurations, and when they were made and last changed."""
        configurations = {kind: {"Enabled": on} for kind, on in self._enabled.items()}
        return configurations, self._created_at, self._changed_at

    def execution(self, execution: Execution, operation: str, now: float) -> None:
        """``operation`` is a terminal status in lower case, or deleted."""
        if not self._enabled["JOB_EXECUTION"]:
            return
        job_id = execution.job.job_id
        self._say(
            f"$aws/events/jobExecution/{job_id}/{operation}",
            {
                "eventType": "JOB_EXECUTION",
                "eventId": str(uuid.uuid4()),
                "timestamp": int(now),
                "operation": operation,
                "jobId": job_id,
                "thingArn": execution.thing_arn,
                "status": operation.upper(),
                "statusDetails": dict(execution.details),
            },
        )

    def job(self, job: Job, operation: str, now: float) -> None:
        """``operation`` is the last level of the topic, such as cancellation_in_progress."""
        if not self._enabled["JOB"]:
            return
        body = {
            "eventType": "JOB",
            "eventId": str(uuid.uuid4()),
            "timestamp": int(now),
            "operation": operation,
            "jobId": job.job_id,
            "status": operation.upper(),
            "targetSelection": job.target_selection,
            "targets": list(job.targets),
            "createdAt": int(job.created_at * 1000),
            "lastUpdatedAt": int(job.updated_at * 1000),
        }
        if job.description is not None:
            body["description"] = job.description
        if job.comment is not None:
            body["comment"] = job.comment
        if job.completed_at is not None:
            body["completedAt"] = int(job.completed_at * 1000)
            body["jobProcessDetails"] = job.process_details()
        self._say(f"$aws/events/job/{job.job_id}/{operation}", body)
