"""Tokens, time-outs, and executions as an account sees them."""

from __future__ import annotations

from typing import Any

import pytest

from lab.states.execution import Answer
from lab.states.service import StatesError
from tests.lab.states_site import CAUGHT, RETRY, Raised, Site, failing_times, task, waiting


@pytest.fixture
def site() -> Site:
    return Site()


def test_token(site: Site) -> None:
    """The task waits after its function's answer, however long, and its result is the token's."""
    execution = site.run({"A": waiting(Output="{% $states.result %}")})
    site.advance(300 * 24 * 3600)
    assert execution.status == "RUNNING"
    assert not site.machines.is_working
    site.machines.succeed(site.events[0]["token"], '{"a": 1}')
    assert execution.output == {"a": 1}


def test_token_before_the_answer(site: Site) -> None:
    """A function may send its own token; what it answers or raises then is of no matter."""

    def handler(event: Any) -> None:
        site.machines.succeed(event["token"], "1")
        raise Raised("too late")

    site.handler = handler
    execution = site.run({"A": waiting(Output="{% $states.result %}")})
    assert (execution.status, execution.output) == ("SUCCEEDED", 1)


def test_token_that_failed(site: Site) -> None:
    """SendTaskFailure is an error like any other."""
    execution = site.run({"A": waiting()})
    site.machines.fail(site.events[0]["token"], "Mine", "because")
    assert (execution.error, execution.cause) == ("Mine", "because")


def test_time_out(site: Site) -> None:
    """The time-out counts from the try's beginning; States.TaskFailed is not it; no token lives."""
    site.handler = lambda _: None
    catch = [
        {"ErrorEquals": ["States.TaskFailed"], "Next": "C"},
        {"ErrorEquals": ["States.Timeout"], "Next": "B"},
    ]
    states = {
        "A": waiting(TimeoutSeconds="{% $number('48') * 3600 %}", Catch=catch, Next="C"),
        "B": {"Type": "Succeed", "Output": "timed out"},
        "C": CAUGHT,
    }
    execution = site.run(states)
    site.advance(48 * 3600 - 1)
    assert execution.status == "RUNNING"
    site.advance(1)
    assert execution.output == "timed out"
    with pytest.raises(StatesError) as refused:
        site.machines.succeed(site.events[0]["token"], "1")
    assert refused.value.code == "TaskTimedOut"


def test_a_new_token_for_each_try(site: Site) -> None:
    """A function that fails is tried again with another token; the first is dead."""
    site.handler = failing_times(1)
    execution = site.run({"A": waiting(Retry=[RETRY])})
    site.advance(10)
    first, second = (event["token"] for event in site.events)
    with pytest.raises(StatesError):
        site.machines.succeed(first, "1")
    site.machines.succeed(second, "1")
    assert execution.status == "SUCCEEDED"


def test_answer_of_an_earlier_try(site: Site) -> None:
    """A function that answers after its time-out is not heard any more."""
    site.holds = True
    retry = [{"ErrorEquals": ["States.Timeout"], "IntervalSeconds": 1}]
    execution = site.run(
        {"A": task(TimeoutSeconds=60, Retry=retry, Output="{% $states.result.Payload %}")}
    )
    site.advance(60)
    site.advance(1)
    first, second = site.held
    first(Answer("first"))
    assert site.machines.is_working
    second(Answer("second"))
    assert execution.output == "second"


PASS = {"A": {"Type": "Wait", "Seconds": 60, "End": True}}


def test_the_same_execution_twice(site: Site) -> None:
    """Same name and input: the one that runs. Another input, or one that has ended: refused."""
    execution = site.run(PASS, {"a": 1})
    arn = execution.machine_arn
    assert site.machines.start(arn, "run", '{"a":1}') is execution
    for given in ('{"a": 2}', '{"a": 1}'):
        with pytest.raises(StatesError) as refused:
            site.machines.start(arn, "run", given)
        assert refused.value.code == "ExecutionAlreadyExists"
        site.advance(60)
    assert len(site.machines.executions(arn)) == 1


@pytest.mark.parametrize("name", ["", "a b", "a/b", "x" * 81, "a\n"])
def test_names(site: Site, name: str) -> None:
    """A name has the characters and the length that AWS takes; without one it gets one."""
    arn = site.run(PASS).machine_arn
    if name:
        with pytest.raises(StatesError) as refused:
            site.machines.start(arn, name, "{}")
        assert refused.value.code == "InvalidName"
    assert len(site.machines.start(arn, None, "{}").name) == 36


def test_refusals(site: Site) -> None:
    """What is not there, and what is no JSON."""
    arn = site.run(PASS).machine_arn
    for call, code in (
        (lambda: site.machines.start("arn", "a", "{}"), "StateMachineDoesNotExist"),
        (lambda: site.machines.start(arn, "a", "{"), "InvalidExecutionInput"),
        (lambda: site.machines.execution("arn"), "ExecutionDoesNotExist"),
        (lambda: site.machines.executions("arn"), "StateMachineDoesNotExist"),
        (lambda: site.machines.succeed("t", "{}"), "TaskTimedOut"),
    ):
        with pytest.raises(StatesError) as refused:
            call()
        assert refused.value.code == code


def test_stop(site: Site) -> None:
    """An execution that is stopped stays so, whatever comes."""
    execution = site.run({"A": waiting()})
    site.machines.stop(execution.arn, "Enough", "said the operator")
    assert (execution.status, execution.error) == ("ABORTED", "Enough")
    with pytest.raises(StatesError):
        site.machines.succeed(site.events[0]["token"], "1")
    site.machines.stop(execution.arn)
    assert execution.cause == "said the operator"
