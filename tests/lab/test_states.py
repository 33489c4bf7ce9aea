"""State machines go from state to state as Step Functions does."""

from __future__ import annotations

import pytest

from tests.lab.states_site import CAUGHT, Site, task


@pytest.fixture
def site() -> Site:
    return Site()


def test_output_and_variables(site: Site) -> None:
    """What a task answers is assigned and handed over; both see the variables as they were."""
    site.handler = lambda event: event + 1
    states = {
        "A": {"Type": "Pass", "Assign": {"n": 1, "old": 0}, "Next": "B"},
        "B": task(
            Assign={"n": "{% $states.result.Payload %}", "old": "{% $n %}"},
            Output={"n": "{% $n %}", "in": "{% $states.input %}"},
            Next="C",
        ),
        "C": {"Type": "Pass", "Output": {"n": "{% $n %}", "old": "{% $old %}"}, "End": True},
    }
    execution = site.run(states, 41)
    assert (execution.status, execution.output) == ("SUCCEEDED", {"n": 42, "old": 1})


def test_what_an_expression_gives_is_json(site: Site) -> None:
    """A list is a list; a function is no value."""
    append = {"Type": "Pass", "Output": "{% $append([], $states.input) %}", "End": True}
    assert type(site.run({"A": append}, {"a": 1}).output) is list
    site.machines.clear()
    function = {"Type": "Pass", "Output": "{% function($x){$x} %}", "End": True}
    assert site.run({"A": function}).error == "States.QueryEvaluationError"


def test_context(site: Site) -> None:
    """An execution knows itself; its start does not move with the clock."""
    states = {
        "A": {"Type": "Wait", "Seconds": 60, "Next": "B"},
        "B": {
            "Type": "Pass",
            "Output": {
                "id": "{% $states.context.Execution.Id %}",
                "start": "{% $states.context.Execution.StartTime %}",
                "entered": "{% $states.context.State.EnteredTime %}",
                "input": "{% $states.context.Execution.Input.x %}",
            },
            "End": True,
        },
    }
    execution = site.run(states, {"x": "y"})
    site.advance(60)
    assert execution.output == {
        "id": "arn:aws:states:eu-west-1:1:execution:m:run",
        "start": "2027-01-15T08:00:00.000Z",
        "entered": "2027-01-15T08:01:00.000Z",
        "input": "y",
    }


@pytest.mark.parametrize(("given", "way"), [(1, "B"), (2, "C"), (3, "D")])
def test_choice(site: Site, given: int, way: str) -> None:
    """The first rule that holds, else the default; each assigns for itself."""
    end = {"Type": "Pass", "Output": "{% $way %}", "End": True}
    states = {
        "A": {
            "Type": "Choice",
            "Choices": [
                {"Condition": "{% $states.input = 1 %}", "Assign": {"way": "B"}, "Next": "B"},
                {"Condition": "{% $states.input < 3 %}", "Assign": {"way": "C"}, "Next": "C"},
            ],
            "Assign": {"way": "D"},
            "Default": "D",
        },
        **dict.fromkeys("BCD", end),
    }
    assert site.run(states, given).output == way


def test_choice_without_a_way(site: Site) -> None:
    """No rule and no default: the execution fails."""
    states = {
        "A": {"Type": "Choice", "Choices": [{"Condition": "{% false %}", "Next": "B"}]},
        "B": CAUGHT,
    }
    assert site.run(states).error == "States.NoChoiceMatched"


def test_wait(site: Site) -> None:
    """Until a moment, or for some seconds; a moment that has passed is not waited for."""
    states = {
        "A": {"Type": "Wait", "Timestamp": "{% $states.input %}", "Next": "B"},
        "B": {"Type": "Wait", "Seconds": "{% 60 * 60 %}", "Next": "C"},
        "C": {"Type": "Wait", "Timestamp": "2001-01-01T00:00:00Z", "End": True},
    }
    execution = site.run(states, "2027-01-22T08:00:00Z")
    site.advance(7 * 24 * 3600 - 1)
    assert site.timeline.find("state-entered", state="B") == []
    site.advance(1)
    site.advance(3599)
    assert execution.status == "RUNNING"
    site.advance(1)
    assert execution.status == "SUCCEEDED"


def test_fail_and_succeed(site: Site) -> None:
    """The two ends that are states of their own."""
    fail = {"A": {"Type": "Fail", "Error": "No", "Cause": "{% 'it is ' & $states.input %}"}}
    execution = site.run(fail, "x")
    assert (execution.status, execution.error, execution.cause) == ("FAILED", "No", "it is x")
    succeed = {"A": {"Type": "Succeed", "Output": {"a": "{% $states.input %}"}}}
    site.machines.clear()
    assert site.run(succeed, 1).output == {"a": 1}
