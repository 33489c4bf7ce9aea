"""The operations of a job's owner, and the forms in which he is told of jobs.

Targets come here as the things that they stand for: who is a thing, and who in a group,
is the registry's business. Times in the answers are aware datetimes, as boto3's are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from lab.jobs import fields
from lab.jobs.errors import JobsError, invalid
from lab.jobs.ledger import Ledger
from lab.jobs.model import Execution, Job
from lab.jobs.rollout import Rollout

_REASON_CODE = re.compile(r"[A-Z0-9_]{1,128}")
_COMMENT_MAX = 2028
#: Kept and told; only the first of them has an effect here.
_SETTINGS = ("jobExecutionsRolloutConfig", "presignedUrlConfig", "documentParameters")


class ControlPlane:
    """Requests have the API's names. Every method raises JobsError; a VersionMismatch is
    the API's VersionConflictException.
    """

    def __init__(self, ledger: Ledger, arn_prefix: str) -> None:
        self._ledger = ledger
        self._arn_prefix = arn_prefix

    # --- jobs ---------------------------------------------------------------------------

    def create_job(self, request: Mapping[str, Any], thing_names: Iterable[str]) -> dict[str, Any]:
        """CreateJob for these things; the other fields are in ``request``, those of a
        template merged in.
        """
        job_id = fields.job_id(request["jobId"])
        if request.get("documentSource") is not None:
            raise invalid("documentSource: this service reads no S3, give the document itself")
        if request.get("schedulingConfig"):
            raise invalid("schedulingConfig: this service plays no schedules")
        selection = request.get("targetSelection") or "SNAPSHOT"
        if selection not in ("SNAPSHOT", "CONTINUOUS"):
            raise invalid(f"targetSelection {selection!r} is neither SNAPSHOT nor CONTINUOUS")
        with self._ledger.at_work() as now:
            if job_id in self._ledger.jobs:
                raise JobsError("ResourceAlreadyExists", f"there is a job {job_id} already")
            job = Job(
                job_id,
                f"{self._arn_prefix}job/{job_id}",
                fields.document(request.get("document")),
                list(request.get("targets") or ()),
                selection,
                now,
                updated_at=now,
                description=_free_text(request, "description"),
                template_arn=request.get("jobTemplateArn"),
                timeout_minutes=fields.in_progress_timeout(request.get("timeoutConfig")),
                retries=fields.retries(request.get("jobExecutionsRetryConfig")),
                abort_criteria=_abort_criteria(request.get("abortConfig")),
                settings={name: request[name] for name in _SETTINGS if request.get(name)},
            )
            if request.get("jobExecutionsRolloutConfig"):
                job.rollout = Rollout(request["jobExecutionsRolloutConfig"], now)
            if request.get("abortConfig"):
                job.settings["abortConfig"] = request["abortConfig"]
            self._ledger.jobs[job_id] = job
            for thing_name in dict.fromkeys(thing_names):
                job.waiting.append((thing_name, f"{self._arn_prefix}thing/{thing_name}"))
            self._ledger.roll_out(job, now)
            self._ledger.complete(job, now)
            return _named(job)

    def describe_job(self, job_id: str) -> dict[str, Any]:
        """The API's Job."""
        with self._ledger.at_work():
            job = self._ledger.job(job_id)
            pending_targets = job.targets if job.status == "IN_PROGRESS" else []
            told: dict[str, Any] = {
                **_job_summary(job),
                **job.settings,
                "targets": list(job.targets),
                "description": job.description,
                "comment": job.comment,
                "reasonCode": job.reason_code,
                "forceCanceled": job.force_canceled,
                "jobTemplateArn": job.template_arn,
                "jobProcessDetails": {
                    "processingTargets": list(pending_targets),
                    **job.process_details(),
                },
            }
            if job.timeout_minutes is not None:
                told["timeoutConfig"] = {"inProgressTimeoutInMinutes": job.timeout_minutes}
            if job.retries:
                told["jobExecutionsRetryConfig"] = {
                    "criteriaList": [
                        {"failureType": kind, "numberOfRetries": times}
                        for kind, times in job.retries.items()
                    ]
                }
            return told

    def get_job_document(self, job_id: str) -> str:
        with self._ledger.at_work():
            return self._ledger.job(job_id).document

    def list_jobs(
        self, *, status: str | None = None, target_selection: str | None = None
    ) -> list[dict[str, Any]]:
        """JobSummary of each, the newest first."""
        with self._ledger.at_work():
            return [
                _job_summary(job)
                for job in reversed(self._ledger.jobs.values())
                if status in (None, job.status) and target_selection in (None, job.target_selection)
            ]

    def cancel_job(self, job_id: str, request: Mapping[str, Any], *, force: bool) -> dict[str, Any]:
        """reasonCode and comment are in the request. A CANCELED job can be canceled once more,
        by ``force``, for what is still IN_PROGRESS.
        """
        reason = request.get("reasonCode")
        if reason is not None and not _REASON_CODE.fullmatch(reason):
            raise invalid(f"reasonCode does not match {_REASON_CODE.pattern}")
        comment = _free_text(request, "comment")
        with self._ledger.at_work() as now:
            job = self._ledger.job(job_id)
            if job.status != "IN_PROGRESS" and not (job.status == "CANCELED" and force):
                raise invalid(f"job {job_id} is {job.status} and cannot be canceled")
            job.reason_code, job.comment = reason or job.reason_code, comment or job.comment
            self._ledger.cancel_job(job, now, force=force)
            return _named(job)

    def delete_job(self, job_id: str, *, force: bool) -> None:
        with self._ledger.at_work() as now:
            job = self._ledger.job(job_id)
            if job.status == "IN_PROGRESS" and not force:
                raise JobsError("InvalidStateTransition", f"job {job_id} is {job.status}")
            self._ledger.events.job(job, "deletion_in_progress", now)
            job.status = "DELETION_IN_PROGRESS"
            job.waiting.clear()
            for execution in self._executions(job):
                self._ledger.delete(execution, now)
            del self._ledger.jobs[job_id]
            self._ledger.events.job(job, "deleted", now)

    # --- executions ---------------------------------------------------------------------

    def describe_job_execution(
        self, thing_name: str, job_id: str, number: int | None
    ) -> dict[str, Any]:
        """The control plane's JobExecution, which knows finished ones too."""
        with self._ledger.at_work() as now:
            execution = self._ledger.execution(thing_name, job_id, number)
            ends = execution.times_out_at
            return {
                **_execution_summary(execution),
                "jobId": job_id,
                "thingArn": execution.thing_arn,
                "statusDetails": {"detailsMap": dict(execution.details)},
                "forceCanceled": execution.force_canceled,
                "versionNumber": execution.version,
                "approximateSecondsBeforeTimedOut": None if ends is None else int(ends - now),
            }

    def list_job_executions_for_job(
        self, job_id: str, *, status: str | None = None
    ) -> list[dict[str, Any]]:
        """Every attempt of every thing."""
        with self._ledger.at_work():
            return [
                {"thingArn": e.thing_arn, "jobExecutionSummary": _execution_summary(e)}
                for e in self._executions(self._ledger.job(job_id))
                if status in (None, e.status)
            ]

    def list_job_executions_for_thing(
        self, thing_name: str, *, status: str | None = None, job_id: str | None = None
    ) -> list[dict[str, Any]]:
        """Every attempt at every job, the newest first."""
        with self._ledger.at_work():
            return [
                {"jobId": e.job.job_id, "jobExecutionSummary": _execution_summary(e)}
                for e in reversed(self._ledger.of_thing(thing_name))
                if status in (None, e.status) and job_id in (None, e.job.job_id)
            ]

    def cancel_job_execution(
        self, thing_name: str, job_id: str, request: Mapping[str, Any], *, force: bool
    ) -> None:
        """expectedVersion and statusDetails are in the request."""
        details = fields.status_details(request)
        expected = fields.number(request, "expectedVersion")
        with self._ledger.at_work() as now:
            execution = self._ledger.execution(thing_name, job_id, None)
            if expected not in (None, execution.version):
                raise JobsError(
                    "VersionMismatch",
                    f"expected version {expected}, the execution has {execution.version}",
                    execution.state(),
                )
            if execution.status != "QUEUED" and not (force and execution.is_pending):
                raise JobsError("InvalidStateTransition", f"the execution is {execution.status}")
            execution.force_canceled = force
            self._ledger.change(execution, "CANCELED", now, details=details)

    def delete_job_execution(
        self, thing_name: str, job_id: str, number: int, *, force: bool
    ) -> None:
        with self._ledger.at_work() as now:
            execution = self._ledger.execution(thing_name, job_id, number)
            if execution.is_pending and not force:
                raise JobsError("InvalidStateTransition", f"the execution is {execution.status}")
            self._ledger.delete(execution, now)

    def remove_thing(self, thing_name: str) -> None:
        """The thing is no longer a target of anything: what is pending is REMOVED."""
        with self._ledger.at_work() as now:
            for execution in self._ledger.pending(thing_name):
                self._ledger.change(execution, "REMOVED", now)

    # --- event configurations -------------------------------------------------------------

    def update_event_configurations(self, configurations: Mapping[str, Mapping[str, Any]]) -> None:
        with self._ledger.at_work() as now:
            self._ledger.events.configure(configurations, now)

    def describe_event_configurations(self) -> dict[str, Any]:
        with self._ledger.at_work():
            configurations, created, changed = self._ledger.events.describe()
        return {
            "eventConfigurations": configurations,
            "creationDate": _time(created),
            "lastModifiedDate": _time(changed),
        }

    def _executions(self, job: Job) -> list[Execution]:
        return [e for name in job.latest for e in self._ledger.of_thing(name) if e.job is job]


def _named(job: Job) -> dict[str, Any]:
    return {"jobArn": job.arn, "jobId": job.job_id, "description": job.description}


def _job_summary(job: Job) -> dict[str, Any]:
    return {
        "jobArn": job.arn,
        "jobId": job.job_id,
        "targetSelection": job.target_selection,
        "status": job.status,
        "createdAt": _time(job.created_at),
        "lastUpdatedAt": _time(job.updated_at),
        "completedAt": _time(job.completed_at),
        "isConcurrent": bool(job.waiting),  # something is still being rolled out
    }


def _execution_summary(execution: Execution) -> dict[str, Any]:
    return {
        "status": execution.status,
        "queuedAt": _time(execution.queued_at),
        "startedAt": _time(execution.started_at),
        "lastUpdatedAt": _time(execution.updated_at),
        "executionNumber": execution.number,
        "retryAttempt": sum(execution.retried.values()),
    }


def _time(at: float | None) -> datetime | None:
    return None if at is None else datetime.fromtimestamp(at, UTC)


def _free_text(request: Mapping[str, Any], name: str) -> str | None:
    text = fields.text(request, name)
    if text is not None and (len(text) > _COMMENT_MAX or not fields.printable(text)):
        raise invalid(f"{name} is not 1 to {_COMMENT_MAX} printable characters")
    return text


def _abort_criteria(config: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    criteria: list[dict[str, Any]] = list((config or {}).get("criteriaList") or ())
    for criterion in criteria:
        if criterion["failureType"] not in ("FAILED", "REJECTED", "TIMED_OUT", "ALL"):
            raise invalid(f"failureType {criterion['failureType']!r} is none of the API's")
        if not 0 < criterion["thresholdPercentage"] <= 100:
            raise invalid("thresholdPercentage is not above 0 and at most 100")
        if criterion["minNumberOfExecutedThings"] < 1:
            raise invalid("minNumberOfExecutedThings is below 1")
    return criteria
