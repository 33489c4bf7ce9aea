"""The Jobs service, asked through its data plane where that tells enough: its quota is larger."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rotation_cloud.aws_errors import error_code, translated
from rotation_cloud.ports import AwsError, Ending, Execution, NotFound, Throttled

_GOES_ON = ("QUEUED", "IN_PROGRESS")


def thing_arn(thing: str, job_template_arn: str) -> str:
    """The ARN of a thing in the account and region of the job template."""
    return f"{job_template_arn.partition(':jobtemplate/')[0]}:thing/{thing}"


class IotJobs:
    """See ports.JobExecutions."""

    def __init__(self, iot: Any, iot_jobs_data: Any, template_arn: str) -> None:
        self._iot = iot
        self._iot_jobs_data = iot_jobs_data
        self._template_arn = template_arn

    def execution(self, thing: str, job_id: str) -> Execution | None:
        try:
            with translated("DescribeJobExecution"):
                found = self._iot_jobs_data.describe_job_execution(
                    jobId=job_id, thingName=thing, includeJobDocument=True
                )["execution"]
        except NotFound:
            return None
        except AwsError as error:
            if error_code(error) == "TerminalStateException":
                return Execution("ENDED", ended=True)
            raise
        number = int(found.get("executionNumber", 1))
        return Execution(
            status=found["status"],
            ended=found["status"] not in _GOES_ON,
            operation=_operation(found.get("jobDocument")),
            # The number alone does not tell a job from one of the same id before it.
            identity=f"{number}@{found.get('queuedAt', 0)}",
            number=number,
        )

    def pending(self, thing: str) -> Sequence[str]:
        with translated("GetPendingJobExecutions"):
            found = self._iot_jobs_data.get_pending_job_executions(thingName=thing)
        both = (*found.get("inProgressJobs", []), *found.get("queuedJobs", []))
        return [one["jobId"] for one in both]

    def create(self, job_id: str, thing: str) -> None:
        try:
            with translated("CreateJob"):
                self._iot.create_job(
                    jobId=job_id,
                    targets=[thing_arn(thing, self._template_arn)],
                    jobTemplateArn=self._template_arn,
                    # Whoever makes it here tries again by himself.
                    jobExecutionsRetryConfig={
                        "criteriaList": [{"failureType": "ALL", "numberOfRetries": 0}]
                    },
                )
        except AwsError as error:
            if error_code(error) == "LimitExceededException":  # jobs at a time: it passes
                raise Throttled(str(error)) from error
            raise

    def cancel(self, thing: str, job_id: str) -> None:
        try:
            with translated("CancelJobExecution"):
                self._iot.cancel_job_execution(jobId=job_id, thingName=thing, force=True)
        except AwsError as error:
            if error_code(error) != "InvalidStateTransitionException":  # it has ended
                raise

    def ending(self, thing: str, job_id: str, number: int | None = None) -> Ending | None:
        which = {} if number is None else {"executionNumber": number}
        # Through the control plane: the data plane does not tell of what has ended.
        with translated("DescribeJobExecution"):
            found = self._iot.describe_job_execution(jobId=job_id, thingName=thing, **which)
        execution = found["execution"]
        if execution["status"] in _GOES_ON:
            return None
        return Ending(
            status=execution["status"],
            details=execution.get("statusDetails", {}).get("detailsMap", {}),
            at=execution["lastUpdatedAt"].timestamp(),
            queued=execution["queuedAt"].timestamp(),
        )


def _operation(document: str | None) -> str | None:
    """What a job's document asks for; documents of others may be anything."""
    try:
        parsed = json.loads(document or "{}")
    except ValueError:
        return None
    operation = parsed.get("operation") if isinstance(parsed, dict) else None
    return operation if isinstance(operation, str) else None
