"""The Jobs data plane as HTTPS clients see it: which request asks what of the Jobs service.

https://docs.aws.amazon.com/iot/latest/developerguide/jobs-http-device-api.html
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lab.https.message import Request, Response, failed
from lab.jobs.service import Jobs, JobsError


@dataclass(frozen=True)
class Operation:
    """One call: its name in IAM (``iotjobsdata:NAME``), the thing it is about, and how to make it.

    ``call`` gives the answer, errors of the service too.
    """

    name: str
    thing: str
    call: Callable[[], Response]


class JobsRoutes:
    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    def operation(self, request: Request) -> Operation | None:
        """What the request asks for; None if it is none of the Jobs data plane."""
        match (request.method, *request.path):
            case ("GET", "things", thing, "jobs"):
                return self._operation("GetPendingJobExecutions", thing, lambda: self._list(thing))
            case ("GET", "things", thing, "jobs", job_id):
                return self._operation(
                    "DescribeJobExecution", thing, lambda: self._describe(thing, job_id, request)
                )
            case ("PUT", "things", thing, "jobs", "$next"):
                return self._operation(
                    "StartNextPendingJobExecution", thing, lambda: self._start_next(thing, request)
                )
            case ("POST", "things", thing, "jobs", job_id):
                return self._operation(
                    "UpdateJobExecution", thing, lambda: self._update(thing, job_id, request)
                )
        return None

    def _operation(self, name: str, thing: str, ask: Callable[[], Mapping[str, Any]]) -> Operation:
        def call() -> Response:
            try:
                return Response(200, ask())
            except _BadRequest as bad:
                return failed(400, "InvalidRequestException", str(bad))
            except JobsError as refusal:
                return failed(refusal.http_status, refusal.http_error, refusal.message)

        return Operation(name, thing, call)

    def _list(self, thing: str) -> Mapping[str, Any]:
        return self._jobs.get_pending_job_executions(thing)

    def _start_next(self, thing: str, request: Request) -> Mapping[str, Any]:
        return self._jobs.start_next_pending_job_execution(thing, _body(request))

    def _describe(self, thing: str, job_id: str, request: Request) -> Mapping[str, Any]:
        number = request.query.get("executionNumber")
        if number is not None and not (number.isascii() and number.isdigit()):
            raise _BadRequest("executionNumber is no number")
        include = request.query.get("includeJobDocument", "true")
        if include not in ("true", "false"):
            raise _BadRequest("includeJobDocument is neither true nor false")
        return self._jobs.describe_job_execution(
            thing, job_id, None if number is None else int(number), include == "true"
        )

    def _update(self, thing: str, job_id: str, request: Request) -> Mapping[str, Any]:
        return self._jobs.update_job_execution(thing, job_id, _body(request))


class _BadRequest(Exception):
    """A query or a body that cannot be understood; says why."""


def _body(request: Request) -> dict[str, Any]:
    try:
        fields = json.loads(request.body or b"{}")
    except (ValueError, RecursionError):
        raise _BadRequest("the body is not JSON") from None
    if not isinstance(fields, dict):
        raise _BadRequest("the body is no JSON object")
    return fields
