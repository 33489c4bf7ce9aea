"""The rotation workflows of an account, as an operator starts them and looks at them."""

from __future__ import annotations

import json

from lab.lab import Lab


class Workflows:
    """The executions of one state machine. Each is named by its ARN."""

    def __init__(self, lab: Lab, machine_arn: str) -> None:
        self._timeline = lab.timeline
        self._client = lab.account.client("stepfunctions")
        self._machine_arn = machine_arn

    def start(self, thing: str, certificate_id: str, name: str | None = None) -> str:
        """Start the rotation of the thing's certificate; the execution."""
        given = {"thing": thing, "certificateId": certificate_id, "cause": "operator"}
        return self._start(given, **({} if name is None else {"name": name}))

    def start_grace(self, thing: str, job_id: str) -> str:
        """Start the end of a job's grace period; the execution."""
        return self._start({"stage": "grace", "thing": thing, "jobId": job_id})

    def wait_for_job(self, event: str, timeout: float = 90.0) -> str:
        """Until that happens to a job that a workflow made; the job's id."""
        entry = self._timeline.wait_until(
            lambda entry: (
                entry.source == "jobs"
                and entry.event == event
                and str(entry.details.get("job")).startswith("certkeeper-")
            ),
            f"a workflow's job {event}",
            timeout=timeout,
        )
        return str(entry.details["job"])

    def all(self) -> list[str]:
        """Every execution, the newest first."""
        found = self._client.list_executions(stateMachineArn=self._machine_arn)
        return [execution["executionArn"] for execution in found["executions"]]

    def status(self, execution: str) -> str:
        """As in the console of Step Functions."""
        return str(self._client.describe_execution(executionArn=execution)["status"])

    def given(self, execution: str) -> dict[str, object]:
        """What an execution was started with."""
        found = self._client.describe_execution(executionArn=execution)
        given: dict[str, object] = json.loads(found["input"])
        return given

    def output(self, execution: str) -> dict[str, object]:
        """What an execution that succeeded says at its end."""
        found = self._client.describe_execution(executionArn=execution)
        output: dict[str, object] = json.loads(found.get("output", "{}"))
        return output

    def _start(self, given: dict[str, str], **more: str) -> str:
        started = self._client.start_execution(
            stateMachineArn=self._machine_arn, input=json.dumps(given), **more
        )
        return str(started["executionArn"])
