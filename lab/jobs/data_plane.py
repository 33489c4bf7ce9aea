"""The four operations that a device has, on an open ledger.

Requests and answers are those of HTTPS, where the job document is JSON text.
https://docs.aws.amazon.com/iot/latest/developerguide/jobs-mqtt-api.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.jobs import fields
from lab.jobs.errors import JobsError, invalid
from lab.jobs.ledger import Ledger
from lab.jobs.model import DEVICE_SETTABLE

NEXT = "$next"


class DataPlane:
    """Every method is called at work, at the time of work, and raises JobsError."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def get_pending(self, thing_name: str) -> dict[str, Any]:
        pending = self._ledger.pending(thing_name)
        return {
            "inProgressJobs": [e.summary() for e in pending if e.status == "IN_PROGRESS"],
            "queuedJobs": [e.summary() for e in pending if e.status == "QUEUED"],
        }

    def start_next(self, thing_name: str, request: Mapping[str, Any], now: float) -> dict[str, Any]:
        """An execution that is IN_PROGRESS comes first, and stays as it is."""
        details = fields.status_details(request)
        step_timeout = fields.step_timeout(request)
        execution = self._ledger.next(thing_name)
        if execution is None:
            return {}
        if execution.status == "QUEUED":
            self._ledger.change(
                execution, "IN_PROGRESS", now, details=details, step_timeout=step_timeout
            )
        return {"execution": execution.description(now, with_document=True)}

    def describe(
        self, thing_name: str, job_id: str, request: Mapping[str, Any], now: float
    ) -> dict[str, Any]:
        number = fields.number(request, "executionNumber")
        with_document = fields.flag(request, "includeJobDocument", True)
        if job_id == NEXT:
            execution = self._ledger.next(thing_name)
            if execution is None:
                return {}
        else:
            execution = self._ledger.execution(thing_name, fields.job_id(job_id), number)
            if not execution.is_pending:
                raise JobsError(
                    "TerminalStateReached", f"the execution of {job_id} is {execution.status}"
                )
        return {"execution": execution.description(now, with_document=with_document)}

    def update(
        self, thing_name: str, job_id: str, request: Mapping[str, Any], now: float
    ) -> dict[str, Any]:
        """The version is looked at before the state."""
        status = fields.text(request, "status")
        if status not in DEVICE_SETTABLE:
            raise invalid(f"status {status!r} is not one of {', '.join(DEVICE_SETTABLE)}")
        details = fields.status_details(request)
        step_timeout = fields.step_timeout(request, may_end=True)
        expected = fields.number(request, "expectedVersion")
        number = fields.number(request, "executionNumber")
        with_state = fields.flag(request, "includeJobExecutionState", False)
        with_document = fields.flag(request, "includeJobDocument", False)

        execution = self._ledger.execution(thing_name, fields.job_id(job_id), number)
        if expected not in (None, execution.version):
            raise JobsError(
                "VersionMismatch",
                f"expected version {expected}, the execution has {execution.version}",
                execution.state(),
            )
        if not execution.is_pending:
            raise JobsError(
                "InvalidStateTransition",
                f"{execution.status} cannot become {status}",
                execution.state(),
            )
        self._ledger.change(execution, status, now, details=details, step_timeout=step_timeout)
        answer: dict[str, Any] = {}
        if with_state:
            answer["executionState"] = execution.state()
        if with_document:
            answer["jobDocument"] = execution.job.document
        return answer
