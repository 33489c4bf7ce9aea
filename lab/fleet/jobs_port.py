"""ports.JobExecutions over the lab's Jobs service, with what ``aws.py`` makes of its answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lab.fleet.registry import BASE
from lab.jobs.service import Jobs, JobsError
from rotation_cloud.ports import AlreadyThere, Ending, Execution, NotFound


class ServiceJobs:
    """``template`` is the job template as the API has it; ``made`` hears of each job."""

    def __init__(self, jobs: Jobs, template: Mapping[str, Any], made: Callable[[], None]) -> None:
        self._jobs = jobs
        self._template = template
        self._made = made

    def execution(self, thing: str, job_id: str) -> Execution | None:
        try:
            found = self._jobs.describe_job_execution(thing, job_id)["execution"]
        except JobsError as error:
            if error.code == "ResourceNotFound":
                return None
            if error.code == "TerminalStateReached":
                return Execution("ENDED", ended=True)
            raise
        number = int(found["executionNumber"])
        return Execution(
            status=found["status"],
            ended=False,
            operation=json.loads(found["jobDocument"]).get("operation"),
            identity=f"{number}@{found['queuedAt']}",
            number=number,
        )

    def pending(self, thing: str) -> Sequence[str]:
        found = self._jobs.get_pending_job_executions(thing)
        return [one["jobId"] for one in (*found["inProgressJobs"], *found["queuedJobs"])]

    def create(self, job_id: str, thing: str) -> None:
        none = {"criteriaList": [{"failureType": "ALL", "numberOfRetries": 0}]}
        self.create_for(job_id, [thing], jobExecutionsRetryConfig=none)

    def cancel(self, thing: str, job_id: str) -> None:
        try:
            self._jobs.control.cancel_job_execution(thing, job_id, {}, force=True)
        except JobsError as error:
            if error.code == "ResourceNotFound":
                raise NotFound(job_id) from error
            if error.code != "InvalidStateTransition":
                raise

    def ending(self, thing: str, job_id: str, number: int | None = None) -> Ending | None:
        try:
            found = self._jobs.control.describe_job_execution(thing, job_id, number)
        except JobsError as error:
            raise NotFound(job_id) from error
        if found["status"] in ("QUEUED", "IN_PROGRESS"):
            return None
        return Ending(
            status=found["status"],
            details=found["statusDetails"]["detailsMap"],
            at=found["lastUpdatedAt"].timestamp(),
            queued=found["queuedAt"].timestamp(),
        )

    def create_for(self, job_id: str, things: Sequence[str], **request: Any) -> None:
        """A job of the template for these things, as an operator makes it."""
        targets = [f"{BASE}:thing/{thing}" for thing in things]
        request = {**self._template, **request, "jobId": job_id, "targets": targets}
        try:
            self._jobs.control.create_job(request, things)
        except JobsError as error:
            if error.code == "ResourceAlreadyExists":
                raise AlreadyThere(job_id) from error
            raise
        self._made()
