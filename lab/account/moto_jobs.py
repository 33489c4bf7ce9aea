"""The Jobs control plane of moto, led to the lab's own Jobs service.

moto's jobs have no executions that a device could reach. Here its operations are those of
``lab/jobs``; moto keeps the things, the groups and the job templates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from moto.core.responses import ActionResult, EmptyResult
from moto.iot.exceptions import IoTClientError
from moto.iot.models import IoTBackend
from moto.iot.responses import IoTResponse

from lab.jobs import fields
from lab.jobs.control import ControlPlane
from lab.jobs.errors import JobsError, invalid

#: What replaces what, for moto_corrections.corrected_moto; it also sets ``jobs_service`` of
#: the backend, which all of these read.
CORRECTIONS: list[tuple[type, str, object]] = []

_Function = TypeVar("_Function", bound=Callable[..., Any])
_PAGE = 250  # the largest that the API has

#: What a template gives to its jobs unless they say otherwise: moto's name, the API's.
_OF_TEMPLATE = {
    "description": "description",
    "presigned_url_config": "presignedUrlConfig",
    "job_executions_rollout_config": "jobExecutionsRolloutConfig",
    "abort_config": "abortConfig",
    "timeout_config": "timeoutConfig",
    "job_execution_retry_config": "jobExecutionsRetryConfig",
}


def _corrects(owner: type, name: str | None = None) -> Callable[[_Function], _Function]:
    """Replaces the attribute of that name, or of the function's own; JobsError is answered
    as the API's error.
    """

    def register(function: _Function) -> _Function:
        def corrected(*arguments: Any, **named: Any) -> Any:
            with _api_errors():
                return function(*arguments, **named)

        corrected.__doc__ = function.__doc__
        CORRECTIONS.append((owner, name or function.__name__, corrected))
        return function

    return register


@contextmanager
def _api_errors() -> Iterator[None]:
    try:
        yield
    except JobsError as refusal:
        error = IoTClientError(refusal.http_error, refusal.message)
        error.code = refusal.http_status
        raise error from refusal


def _control(response: Any) -> ControlPlane:
    control: ControlPlane = response.iot_backend.jobs_service.control
    return control


def _request(response: Any, *names: str) -> dict[str, Any]:
    """The parameters of the request that are there."""
    given = {name: response._get_param(name) for name in names}
    return {name: value for name, value in given.items() if value is not None}


def _job_id(response: Any) -> str:
    return str(response._get_param("jobId"))


def _thing(response: Any) -> str:
    return str(response._get_param("thingName"))


def _force(response: Any) -> bool:
    return bool(response._get_bool_param("force", False))


def _page(response: Any, name: str, entries: list[dict[str, Any]]) -> ActionResult:
    token = response._get_param("nextToken") or "0"
    if not token.isdecimal():
        raise invalid(f"nextToken {token!r} was not given out")
    start, size = int(token), response._get_int_param("maxResults", _PAGE)
    page: dict[str, Any] = {name: [_present(entry) for entry in entries[start : start + size]]}
    if start + size < len(entries):
        page["nextToken"] = str(start + size)
    return ActionResult(page)


def _present(told: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _present(value) if isinstance(value, Mapping) else value
        for name, value in told.items()
        if value is not None
    }


# --- jobs -------------------------------------------------------------------------


@_corrects(IoTResponse)
def create_job(response: Any) -> ActionResult:
    """moto made no executions for the members of groups, and knew no templates."""
    request = _request(
        response,
        "jobId",
        "targets",
        "document",
        "documentSource",
        "targetSelection",
        "schedulingConfig",
        "documentParameters",
        "jobTemplateArn",
        *_OF_TEMPLATE.values(),
    )
    backend = response.iot_backend
    if "jobTemplateArn" in request:
        request = {**_from_template(backend, request), **request}
    things = _things(backend, request.get("targets") or [])
    return ActionResult(_present(_control(response).create_job(request, things)))


def _from_template(backend: Any, request: Mapping[str, Any]) -> dict[str, Any]:
    arn = request["jobTemplateArn"]
    if "document" in request:
        raise invalid("a job of a template has the template's document")
    for template in backend.jobs_templates.values():
        if template.job_template_arn == arn:
            given = {api: getattr(template, name) for name, api in _OF_TEMPLATE.items()}
            given["document"] = template.document
            return {name: value for name, value in given.items() if value is not None}
    raise JobsError("ResourceNotFound", f"there is no job template {arn}")


def _things(backend: Any, targets: list[str]) -> list[str]:
    """The things of the targets: themselves, and the members of groups and of those below.
    https://docs.aws.amazon.com/iot/latest/developerguide/thing-groups.html
    """
    if not targets:
        raise invalid("a job needs a target")
    groups = {group.arn: group for group in list(backend.thing_groups.values())}
    names: list[str] = []
    for target in targets:
        if target in backend.things:
            names.append(backend.things[target].thing_name)
        elif target in groups:
            for group in groups.values():
                above = group.metadata.get("rootToParentThingGroups", [])
                if target == group.arn or target in [parent["groupArn"] for parent in above]:
                    names.extend(thing.thing_name for thing in list(group.things.values()))
        elif ":thing/" in target or ":thinggroup/" in target:
            raise JobsError("ResourceNotFound", f"there is no target {target}")
        else:
            raise invalid(f"target {target!r} is the ARN of neither a thing nor a thing group")
    return names


@_corrects(IoTResponse)
def describe_job(response: Any) -> ActionResult:
    """moto's counts of executions and status never changed."""
    return ActionResult({"job": _present(_control(response).describe_job(_job_id(response)))})


@_corrects(IoTResponse)
def get_job_document(response: Any) -> ActionResult:
    """An unknown job was an internal error."""
    return ActionResult({"document": _control(response).get_job_document(_job_id(response))})


@_corrects(IoTResponse)
def list_jobs(response: Any) -> ActionResult:
    """moto did not filter."""
    asked = _request(response, "status", "targetSelection")
    jobs = _control(response).list_jobs(
        status=asked.get("status"), target_selection=asked.get("targetSelection")
    )
    return _page(response, "jobs", jobs)


@_corrects(IoTResponse)
def cancel_job(response: Any) -> ActionResult:
    """moto canceled no execution."""
    request = _request(response, "reasonCode", "comment")
    job = _control(response).cancel_job(_job_id(response), request, force=_force(response))
    return ActionResult(_present(job))


@_corrects(IoTResponse)
def delete_job(response: Any) -> EmptyResult:
    """moto left the executions, and deleted what was in progress."""
    _control(response).delete_job(_job_id(response), force=_force(response))
    return EmptyResult()


# --- executions -------------------------------------------------------------------


@_corrects(IoTResponse)
def describe_job_execution(response: Any) -> ActionResult:
    """moto's executions were all number 123, and never moved."""
    execution = _control(response).describe_job_execution(
        _thing(response), _job_id(response), response._get_int_param("executionNumber")
    )
    return ActionResult({"execution": _present(execution)})


@_corrects(IoTResponse)
def list_job_executions_for_job(response: Any) -> ActionResult:
    """As describe_job_execution."""
    executions = _control(response).list_job_executions_for_job(
        _job_id(response), status=response._get_param("status")
    )
    return _page(response, "executionSummaries", executions)


@_corrects(IoTResponse)
def list_job_executions_for_thing(response: Any) -> ActionResult:
    """As describe_job_execution."""
    thing_name = _thing(response)
    response.iot_backend.describe_thing(thing_name)  # ResourceNotFoundException
    executions = _control(response).list_job_executions_for_thing(
        thing_name, status=response._get_param("status"), job_id=response._get_param("jobId")
    )
    return _page(response, "executionSummaries", executions)


@_corrects(IoTResponse)
def cancel_job_execution(response: Any) -> EmptyResult:
    """moto read neither expectedVersion nor statusDetails."""
    request = _request(response, "expectedVersion", "statusDetails")
    _control(response).cancel_job_execution(
        _thing(response), _job_id(response), request, force=_force(response)
    )
    return EmptyResult()


@_corrects(IoTResponse)
def delete_job_execution(response: Any) -> EmptyResult:
    """An unknown execution was an internal error."""
    number = int(response._get_param("executionNumber"))
    _control(response).delete_job_execution(
        _thing(response), _job_id(response), number, force=_force(response)
    )
    return EmptyResult()


_moto_delete_thing = IoTBackend.delete_thing


@_corrects(IoTBackend)
def delete_thing(backend: Any, thing_name: str) -> None:
    """A deleted thing's executions are REMOVED."""
    _moto_delete_thing(backend, thing_name)
    backend.jobs_service.control.remove_thing(thing_name)


# --- templates --------------------------------------------------------------------

_moto_create_job_template = IoTBackend.create_job_template


@_corrects(IoTBackend)
def create_job_template(backend: Any, **named: Any) -> Any:
    """Any text was taken for a document, and the configurations were not looked at."""
    if not named.get("description"):
        raise invalid("a job template needs a description")
    if named.get("document_source") is not None:
        raise invalid("documentSource: this service reads no S3, give the document itself")
    fields.document(named.get("document"))
    fields.in_progress_timeout(named.get("timeout_config"))
    fields.retries(named.get("job_execution_retry_config"))
    return _moto_create_job_template(backend, **named)


# --- event configurations -----------------------------------------------------------


@_corrects(IoTResponse)
def update_event_configurations(response: Any) -> EmptyResult:
    """moto does not have it."""
    configurations = response._get_param("eventConfigurations") or {}
    _control(response).update_event_configurations(configurations)
    return EmptyResult()


@_corrects(IoTResponse)
def describe_event_configurations(response: Any) -> ActionResult:
    """moto does not have it."""
    return ActionResult(_present(_control(response).describe_event_configurations()))
