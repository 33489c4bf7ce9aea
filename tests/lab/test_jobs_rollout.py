"""At which rate a job reaches its things, and how an abort ends that."""

from __future__ import annotations

from typing import Any

import pytest

from lab.jobs.service import JobsError
from tests.lab.jobs_desk import Desk

MINUTE = 60.0
THINGS = [f"press-{number}" for number in range(100)]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def rollout(**config: Any) -> dict[str, Any]:
    return {"jobExecutionsRolloutConfig": config}


def exponential(base: int, factor: float, **criteria: int) -> dict[str, Any]:
    rate = {"baseRatePerMinute": base, "incrementFactor": factor, "rateIncreaseCriteria": criteria}
    return rollout(exponentialRate=rate)


def told(desk: Desk) -> int:
    """How many things have an execution by now."""
    desk.jobs.expire()
    executions = desk.jobs.control.list_job_executions_for_job("rotate-1")
    return len({one["thingArn"] for one in executions})


def finish(desk: Desk, thing: str, status: str) -> None:
    desk.ask("start-next", thing)
    desk.ask("rotate-1/update", thing, status=status)


def test_told_at_a_steady_rate(desk: Desk) -> None:
    """Ten a minute: the first at once, then one every six seconds, and nobody twice."""
    desk.create("rotate-1", *THINGS[:12], **rollout(maximumPerMinute=10))
    assert told(desk) == 1
    assert desk.jobs.next_expiry() == desk.now + 6
    desk.now += MINUTE
    assert told(desk) == 11
    desk.now += MINUTE
    assert told(desk) == 12
    assert desk.jobs.next_expiry() is None


def test_notified_when_its_turn_comes(desk: Desk) -> None:
    """A thing hears of the job when it is told, and the job is concurrent until the last is."""
    desk.create("rotate-1", *THINGS[:2], **rollout(maximumPerMinute=1))
    assert [topic for topic, _ in desk.taken("notify-next")] == [
        "$aws/things/press-0/jobs/notify-next"
    ]
    assert desk.jobs.control.describe_job("rotate-1")["isConcurrent"]
    desk.now += MINUTE
    desk.jobs.expire()
    assert [topic for topic, _ in desk.taken("notify-next")] == [
        "$aws/things/press-1/jobs/notify-next"
    ]
    assert not desk.jobs.control.describe_job("rotate-1")["isConcurrent"]


def test_rate_grows_with_those_told(desk: Desk) -> None:
    """Each time that ten more have been told, the rate doubles."""
    desk.create("rotate-1", *THINGS, **exponential(10, 2, numberOfNotifiedThings=10))
    desk.now += MINUTE - 1
    assert told(desk) == 11  # from the tenth on, three seconds apart
    desk.now += 30
    assert told(desk) == 23  # and from the twentieth on, one and a half


def test_rate_grows_with_those_that_succeeded(desk: Desk) -> None:
    """Nobody succeeds, nothing grows; two do, and it goes five times as fast."""
    desk.create("rotate-1", *THINGS, **exponential(2, 5, numberOfSucceededThings=2))
    desk.now += 2 * MINUTE
    assert told(desk) == 5
    for thing in THINGS[:2]:
        finish(desk, thing, "SUCCEEDED")
    desk.now += MINUTE
    assert told(desk) == 11


def test_never_above_the_most(desk: Desk) -> None:
    """An exponential rate stops growing at maximumPerMinute."""
    config = exponential(30, 5, numberOfNotifiedThings=1)["jobExecutionsRolloutConfig"]
    desk.create("rotate-1", *THINGS, **rollout(**config, maximumPerMinute=60))
    desk.now += MINUTE
    assert told(desk) == 61


def test_abort_ends_the_rollout(desk: Desk) -> None:
    """Who was not told before the abort never is, and the job is over."""
    criterion = {
        "failureType": "FAILED",
        "action": "CANCEL",
        "thresholdPercentage": 50,
        "minNumberOfExecutedThings": 2,
    }
    abort = {"abortConfig": {"criteriaList": [criterion]}}
    desk.create("rotate-1", *THINGS, **rollout(maximumPerMinute=10), **abort)
    desk.now += 12
    assert told(desk) == 3
    finish(desk, THINGS[0], "SUCCEEDED")
    finish(desk, THINGS[1], "FAILED")
    desk.now += 10 * MINUTE
    assert told(desk) == 3
    job = desk.jobs.control.describe_job("rotate-1")
    assert (job["status"], job["reasonCode"]) == ("CANCELED", "ABORT_CRITERIA_MET")


def test_job_is_not_over_while_things_wait(desk: Desk) -> None:
    """All that were told have succeeded: the others still get their turn."""
    desk.create("rotate-1", *THINGS[:2], **rollout(maximumPerMinute=1))
    finish(desk, THINGS[0], "SUCCEEDED")
    assert desk.jobs.control.describe_job("rotate-1")["status"] == "IN_PROGRESS"
    desk.now += MINUTE
    finish(desk, THINGS[1], "SUCCEEDED")
    assert desk.jobs.control.describe_job("rotate-1")["status"] == "COMPLETED"


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"maximumPerMinute": 0}, "maximumPerMinute"),
        ({"maximumPerMinute": 1001}, "maximumPerMinute"),
        ({"exponentialRate": {"incrementFactor": 2}}, "baseRatePerMinute"),
        ({"exponentialRate": {"baseRatePerMinute": 5, "incrementFactor": 1}}, "incrementFactor"),
        (
            {"exponentialRate": {"baseRatePerMinute": 5, "incrementFactor": 2}},
            "rateIncreaseCriteria",
        ),
        (
            exponential(5, 2, numberOfNotifiedThings=0)["jobExecutionsRolloutConfig"],
            "numberOfNotifiedThings",
        ),
    ],
)
def test_rollout_that_the_api_would_not_take(
    desk: Desk, config: dict[str, Any], named: str
) -> None:
    """A rate out of its limits is refused, and no job is made."""
    with pytest.raises(JobsError, match=named):
        desk.create("rotate-1", **rollout(**config))
    assert desk.jobs.control.list_jobs() == []
