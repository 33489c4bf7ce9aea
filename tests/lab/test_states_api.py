"""Step Functions of the account, as boto3 sees them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lab.account.account import Account
from lab.states.execution import Answer
from lab.timeline import Timeline
from rotation_cloud.aws_errors import translated
from rotation_cloud.bus import StepFunctions
from rotation_cloud.ports import AlreadyThere, NotFound
from tests.lab.states_site import waiting

pytestmark = pytest.mark.xdist_group("states-api")
ROLE = "arn:aws:iam::123456789012:role/workflow"


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    with Account(Timeline()) as account:
        yield account


@pytest.fixture
def events(account: Account) -> list[Any]:
    """What the functions are given; they answer nothing."""
    given: list[Any] = []

    def invoke(_: str, event: Any, told: Any) -> None:
        given.append(event)
        told(Answer({}))

    account.state_machines.functions = invoke
    return given


def machine(account: Account, name: str) -> str:
    definition = {"QueryLanguage": "JSONata", "StartAt": "A", "States": {"A": waiting()}}
    made = account.client("stepfunctions").create_state_machine(
        name=name, definition=json.dumps(definition), roleArn=ROLE
    )
    return str(made["stateMachineArn"])


def test_an_execution(account: Account, events: list[Any]) -> None:
    """Started, described, listed, woken by its token, and told of by its history."""
    client, arn = account.client("stepfunctions"), machine(account, "one")
    started = client.start_execution(stateMachineArn=arn, name="a", input='{"x": 1}')
    found = client.describe_execution(executionArn=started["executionArn"])
    assert (found["status"], found["input"]) == ("RUNNING", '{"x": 1}')
    client.send_task_success(taskToken=events[0]["token"], output='{"y": 2}')
    found = client.describe_execution(executionArn=started["executionArn"])
    assert (found["status"], found["output"]) == ("SUCCEEDED", '{"y": 2}')
    (listed,) = client.list_executions(stateMachineArn=arn)["executions"]
    assert (listed["name"], listed["status"]) == ("a", "SUCCEEDED")
    assert client.list_executions(stateMachineArn=arn, statusFilter="RUNNING")["executions"] == []
    history = client.get_execution_history(executionArn=started["executionArn"])["events"]
    assert [event["type"] for event in history] == [
        "ExecutionStarted",
        "StateEntered",
        "ExecutionSucceeded",
    ]


def test_failed_and_stopped(account: Account, events: list[Any]) -> None:
    """Both say why."""
    client, arn = account.client("stepfunctions"), machine(account, "two")
    first, second = (
        client.start_execution(stateMachineArn=arn, name=name)["executionArn"] for name in "ab"
    )
    client.send_task_failure(taskToken=events[0]["token"], error="E", cause="C")
    client.stop_execution(executionArn=second, error="Enough")
    told = [client.describe_execution(executionArn=one) for one in (first, second)]
    assert [(one["status"], one["error"]) for one in told] == [
        ("FAILED", "E"),
        ("ABORTED", "Enough"),
    ]


def test_refusals(account: Account, events: list[Any]) -> None:
    """The API's errors, by their codes."""
    client, arn = account.client("stepfunctions"), machine(account, "three")
    with pytest.raises(ClientError, match="InvalidDefinition"):
        client.create_state_machine(name="x", definition='{"StartAt": "A"}', roleArn=ROLE)
    with pytest.raises(ClientError, match="InvalidExecutionInput"):
        client.start_execution(stateMachineArn=arn, input="{")
    with pytest.raises(ClientError, match="TaskTimedOut"):
        client.send_task_success(taskToken="t", output="{}")


def test_the_port(account: Account, events: list[Any]) -> None:
    """ports.Workflows: the same once more is no error while it runs, another input is one."""
    client = account.client("stepfunctions")
    workflows = StepFunctions(client, machine(account, "four"))
    workflows.start("a", {"x": 1})
    workflows.start("a", {"x": 1})
    with pytest.raises(AlreadyThere):
        workflows.start("a", {"x": 2})
    workflows.end_task(events[0]["token"], {})
    with pytest.raises(NotFound):
        workflows.end_task(events[0]["token"], {})
    with pytest.raises(AlreadyThere):
        workflows.start("a", {"x": 1})
    assert len(events) == 1
    with translated("x"):
        pass
