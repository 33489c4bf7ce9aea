"""The executions of moto's Step Functions, led to the lab's own.

moto either mocks them or runs them by an interpreter that knows no JSONata and no clock but its
own. Here they are those of ``lab/states``; moto keeps what describes a state machine.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

from moto.core.exceptions import AWSError
from moto.core.responses import ActionResult, EmptyResult
from moto.stepfunctions.models import StepFunctionBackend
from moto.stepfunctions.responses import StepFunctionResponse

from lab.states.definition import DefinitionError
from lab.states.execution import Execution
from lab.states.service import StateMachines, StatesError

#: What replaces what, for moto_corrections.corrected_moto; it also sets ``states_service`` of
#: the backend, which all of these read.
CORRECTIONS: list[tuple[type, str, object]] = []

_Function = TypeVar("_Function", bound=Callable[..., Any])


def _corrects(function: _Function) -> _Function:
    """Replaces the operation of that name; StatesError is answered as the API's error."""

    def corrected(*arguments: Any, **named: Any) -> Any:
        with _api_errors():
            return function(*arguments, **named)

    corrected.__doc__ = function.__doc__
    CORRECTIONS.append((StepFunctionResponse, function.__name__, corrected))
    return function


@contextmanager
def _api_errors() -> Iterator[None]:
    try:
        yield
    except StatesError as refusal:
        raise AWSError(str(refusal), refusal.code, 400) from refusal
    except DefinitionError as error:
        raise AWSError(str(error), "InvalidDefinition", 400) from error


def _service(response: Any) -> StateMachines:
    service: StateMachines = response.stepfunction_backend.states_service
    return service


def _given(response: Any, name: str) -> Any:
    return response._get_param(name)


_moto_create_state_machine = StepFunctionBackend.create_state_machine


def _create_state_machine(backend: Any, **named: Any) -> Any:
    """Any text was taken for a definition."""
    with _api_errors():
        backend.states_service.create(named["name"], named["definition"])
    return _moto_create_state_machine(backend, **named)


CORRECTIONS.append((StepFunctionBackend, "create_state_machine", _create_state_machine))


@_corrects
def start_execution(response: Any) -> ActionResult:
    """moto's did nothing."""
    execution = _service(response).start(
        _given(response, "stateMachineArn"),
        _given(response, "name"),
        _given(response, "input") or "{}",
    )
    return ActionResult({"executionArn": execution.arn, "startDate": _time(execution.started_at)})


@_corrects
def describe_execution(response: Any) -> ActionResult:
    """As start_execution."""
    execution = _service(response).execution(_given(response, "executionArn"))
    told = {**_summary(execution), "input": json.dumps(execution.given)}
    if execution.status == "SUCCEEDED":
        told["output"] = json.dumps(execution.output)
    if execution.error is not None:
        told["error"] = execution.error
    if execution.cause is not None:
        told["cause"] = execution.cause
    return ActionResult(told)


@_corrects
def list_executions(response: Any) -> ActionResult:
    """As start_execution; all on one page."""
    wanted = _given(response, "statusFilter")
    executions = _service(response).executions(_given(response, "stateMachineArn"))
    found = [_summary(one) for one in executions if wanted in (None, one.status)]
    return ActionResult({"executions": found})


@_corrects
def get_execution_history(response: Any) -> ActionResult:
    """Which states were entered and left by an error, and when; moto made one up."""
    execution = _service(response).execution(_given(response, "executionArn"))
    events = [
        {
            "timestamp": _time(at),
            "type": "".join(part.capitalize() for part in what.split("-")),
            "id": number,
            "previousEventId": number - 1,
            "stateEnteredEventDetails": {"name": state},
        }
        for number, (at, what, state) in enumerate(execution.events, 1)
    ]
    return ActionResult({"events": events})


@_corrects
def stop_execution(response: Any) -> ActionResult:
    """As start_execution."""
    execution = _service(response).stop(
        _given(response, "executionArn"), _given(response, "error"), _given(response, "cause")
    )
    return ActionResult({"stopDate": _time(execution.stopped_at or 0.0)})


@_corrects
def send_task_success(response: Any) -> EmptyResult:
    """As start_execution."""
    _service(response).succeed(_given(response, "taskToken"), _given(response, "output"))
    return EmptyResult()


@_corrects
def send_task_failure(response: Any) -> EmptyResult:
    """As start_execution."""
    _service(response).fail(
        _given(response, "taskToken"),
        _given(response, "error") or "",
        _given(response, "cause") or "",
    )
    return EmptyResult()


def _summary(execution: Execution) -> dict[str, Any]:
    told = {
        "executionArn": execution.arn,
        "stateMachineArn": execution.machine_arn,
        "name": execution.name,
        "status": execution.status,
        "startDate": _time(execution.started_at),
    }
    if execution.stopped_at is not None:
        told["stopDate"] = _time(execution.stopped_at)
    return told


def _time(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
