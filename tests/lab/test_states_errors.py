"""What is tried again, what is caught, and what ends an execution."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lab.states_site import CAUGHT, RETRY, Site, failing_times, task


@pytest.fixture
def site() -> Site:
    return Site()


def test_retries_with_backoff(site: Site) -> None:
    """Ten seconds later, then twenty; the third try's answer counts."""
    site.handler = failing_times(2)
    execution = site.run({"A": task(Retry=[RETRY], Output="{% $states.result.Payload %}")})
    site.advance(9)
    assert len(site.events) == 1
    site.advance(1)
    assert len(site.events) == 2
    site.advance(19)
    assert len(site.events) == 2
    site.advance(1)
    assert execution.output == 3


def test_retries_end(site: Site) -> None:
    """After the last try the error is caught, or the execution fails by it."""
    site.handler = failing_times(9)
    execution = site.run({"A": task(Retry=[RETRY])})
    site.advance(1000)
    site.advance(1000)
    assert len(site.events) == 3
    assert (execution.status, execution.error, execution.cause) == ("FAILED", "Raised", "not yet")


def test_delay_has_a_limit(site: Site) -> None:
    """MaxDelaySeconds is the longest."""
    site.handler = failing_times(3)
    retry = {**RETRY, "MaxAttempts": 9, "BackoffRate": 100, "MaxDelaySeconds": 15}
    execution = site.run({"A": task(Retry=[retry])})
    for seconds in (10, 15, 15):
        site.advance(seconds)
    assert execution.status == "SUCCEEDED"


def test_the_first_retrier_that_matches(site: Site) -> None:
    """An error that a retrier of its own does not try again is not tried by the next one."""
    site.handler = failing_times(9)
    own = {"ErrorEquals": ["Raised"], "MaxAttempts": 0}
    execution = site.run({"A": task(Retry=[own, RETRY])})
    assert (execution.status, len(site.events)) == ("FAILED", 1)


def test_catch(site: Site) -> None:
    """The first catcher that matches: what went wrong is its input, and its assignments'."""
    site.handler = failing_times(9)
    catch = [
        {"ErrorEquals": ["States.Timeout", "Another"], "Next": "C"},
        {
            "ErrorEquals": ["States.ALL"],
            "Assign": {"why": "{% $states.errorOutput.Cause %}"},
            "Next": "B",
        },
    ]
    states = {
        "A": task(Catch=catch, Next="C"),
        "B": {"Type": "Pass", "Output": ["{% $states.input.Error %}", "{% $why %}"], "End": True},
        "C": CAUGHT,
    }
    assert site.run(states).output == ["Raised", "not yet"]


def test_catcher_that_cannot_be_evaluated(site: Site) -> None:
    """What a catcher cannot evaluate nothing catches."""
    site.handler = failing_times(9)
    catch = [{"ErrorEquals": ["States.ALL"], "Output": "{% $unknown %}", "Next": "B"}]
    execution = site.run({"A": task(Catch=catch, Next="B"), "B": CAUGHT})
    assert (execution.status, execution.error) == ("FAILED", "States.QueryEvaluationError")


@pytest.mark.parametrize(
    "state",
    [
        {"Type": "Pass", "Output": "{% $states.input.nothing %}", "End": True},
        {"Type": "Pass", "Assign": {"a": "{% $unknown %}"}, "End": True},
        {"Type": "Pass", "Output": "{% 1 + 'a' %}", "End": True},
        {"Type": "Wait", "Seconds": "{% -1 %}", "End": True},
        {"Type": "Wait", "Timestamp": "tomorrow", "End": True},
        {"Type": "Wait", "Timestamp": "2027-01-22", "End": True},
        task(TimeoutSeconds="{% 0 %}"),
    ],
)
def test_expression_that_gives_nothing(site: Site, state: dict[str, Any]) -> None:
    """An expression without a result, or with one that is of no use, is an error."""
    assert site.run({"A": state}, {}).error == "States.QueryEvaluationError"


def test_null_is_a_result(site: Site) -> None:
    """Null that stands there is another thing than nothing."""
    state = {"Type": "Pass", "Output": {"a": "{% $states.input.a %}"}, "End": True}
    assert site.run({"A": state}, {"a": None}).output == {"a": None}


def test_too_large(site: Site) -> None:
    """A state is not entered with more than 256 KiB, and nothing catches that."""
    site.handler = lambda _: "x" * 300_000
    states = {"A": task(Next="B"), "B": task(Catch=[{"ErrorEquals": ["States.ALL"], "Next": "A"}])}
    assert site.run(states).error == "States.DataLimitExceeded"
