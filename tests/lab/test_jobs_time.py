"""Time-outs, retries, abortion and events of the Jobs service."""

from __future__ import annotations

from typing import Any

import pytest

from lab.jobs.service import JobsError
from tests.lab.jobs_desk import START, THING, Desk

MINUTE = 60.0


@pytest.fixture
def desk() -> Desk:
    return Desk()


def retries(**times: int) -> dict[str, Any]:
    criteria = [{"failureType": kind, "numberOfRetries": n} for kind, n in times.items()]
    return {"jobExecutionsRetryConfig": {"criteriaList": criteria}}


def timeout(minutes: int) -> dict[str, Any]:
    return {"timeoutConfig": {"inProgressTimeoutInMinutes": minutes}}


# --- time-outs --------------------------------------------------------------------


def test_time_counts_from_in_progress(desk: Desk) -> None:
    """A queued execution never times out; a started one does after the job's minutes."""
    desk.create("rotate-1", **timeout(5))
    desk.now += 1000 * MINUTE
    assert desk.jobs.next_expiry() is None
    desk.ask("start-next")
    assert desk.jobs.next_expiry() == desk.now + 5 * MINUTE
    desk.now += 2 * MINUTE
    seconds = desk.ask("rotate-1/get")["execution"]["approximateSecondsBeforeTimedOut"]
    assert seconds == 3 * 60
    desk.now += 3 * MINUTE
    assert desk.status("rotate-1") == "TIMED_OUT"
    assert desk.jobs.next_expiry() is None


def test_update_after_the_time_out_is_refused(desk: Desk) -> None:
    """A request that comes too late finds the execution timed out, though nobody expired it."""
    desk.create("rotate-1", **timeout(5))
    desk.ask("start-next")
    desk.now += 5 * MINUTE
    refusal = desk.refused("rotate-1/update", status="SUCCEEDED")
    assert refusal["code"] == "InvalidStateTransition"
    assert refusal["executionState"]["status"] == "TIMED_OUT"


def test_expire_times_out_and_notifies(desk: Desk) -> None:
    """expire(now) needs no request to tell the thing that its queue is empty."""
    desk.create("rotate-1", **timeout(5))
    desk.ask("start-next")
    desk.taken()
    desk.jobs.expire(desk.now + 5 * MINUTE - 1)
    assert desk.taken() == []
    desk.jobs.expire(desk.now + 5 * MINUTE)
    assert [topic.rpartition("/")[2] for topic, _ in desk.taken()] == ["notify", "notify-next"]


def test_updates_do_not_extend_the_job_s_time(desk: Desk) -> None:
    """An update leaves the job's own timer as it was."""
    desk.create("rotate-1", **timeout(5))
    desk.ask("start-next")
    desk.now += 4 * MINUTE
    desk.ask("rotate-1/update", status="IN_PROGRESS", stepTimeoutInMinutes=60)
    assert desk.jobs.next_expiry() == START + 5 * MINUTE


def test_step_timer_is_set_moved_and_stopped(desk: Desk) -> None:
    """An update sets the step timer anew, one without it leaves it, and -1 ends it."""
    desk.create("rotate-1")
    desk.ask("start-next", stepTimeoutInMinutes=2)
    assert desk.jobs.next_expiry() == START + 2 * MINUTE
    desk.now += MINUTE
    desk.ask("rotate-1/update", status="IN_PROGRESS", stepTimeoutInMinutes=10)
    desk.ask("rotate-1/update", status="IN_PROGRESS")
    assert desk.jobs.next_expiry() == START + 11 * MINUTE
    desk.ask("rotate-1/update", status="IN_PROGRESS", stepTimeoutInMinutes=-1)
    assert desk.jobs.next_expiry() is None


def test_step_timer_times_out(desk: Desk) -> None:
    """A step that takes too long is TIMED_OUT."""
    desk.create("rotate-1")
    desk.ask("start-next", stepTimeoutInMinutes=2)
    desk.now += 2 * MINUTE
    assert desk.status("rotate-1") == "TIMED_OUT"


def test_end_stops_the_timer(desk: Desk) -> None:
    """What ended in time does not time out later."""
    desk.create("rotate-1", **timeout(5))
    desk.ask("start-next")
    desk.ask("rotate-1/update", status="SUCCEEDED")
    desk.now += 10 * MINUTE
    assert desk.status("rotate-1") == "SUCCEEDED"


# --- retries ----------------------------------------------------------------------


def test_failure_is_retried_with_a_new_number(desk: Desk) -> None:
    """A retry is a new execution, QUEUED, of version 1, which the thing is notified of."""
    desk.create("rotate-1", **retries(FAILED=1))
    desk.ask("start-next", statusDetails={"step": "one"})
    desk.taken()
    desk.ask("rotate-1/update", status="FAILED")
    (_, listed), (_, following) = desk.taken()
    assert [s["executionNumber"] for s in listed["jobs"]["QUEUED"]] == [2]
    execution = following["execution"]
    assert (execution["executionNumber"], execution["versionNumber"]) == (2, 1)
    assert (execution["status"], "statusDetails" in execution) == ("QUEUED", False)
    assert (desk.status("rotate-1", 1), desk.status("rotate-1")) == ("FAILED", "QUEUED")
    assert desk.jobs.control.describe_job("rotate-1")["status"] == "IN_PROGRESS"


def test_retries_end(desk: Desk) -> None:
    """After the last retry the failure stands, and the job is completed."""
    desk.create("rotate-1", **retries(FAILED=2))
    for _ in range(3):
        desk.ask("rotate-1/update", status="FAILED")
    assert desk.refused("rotate-1/update", status="FAILED")["code"] == "InvalidStateTransition"
    job = desk.jobs.control.describe_job("rotate-1")
    assert (job["status"], job["jobProcessDetails"]["numberOfFailedThings"]) == ("COMPLETED", 1)
    listed = desk.jobs.control.list_job_executions_for_job("rotate-1")
    attempts = [e["jobExecutionSummary"]["retryAttempt"] for e in listed]
    assert attempts == [0, 1, 2]


@pytest.mark.parametrize("status", ["SUCCEEDED", "REJECTED"])
def test_only_failures_are_retried(desk: Desk, status: str) -> None:
    """What succeeded or was rejected is not tried again, even if ALL failures are."""
    desk.create("rotate-1", **retries(ALL=3))
    desk.ask("rotate-1/update", status=status)
    assert desk.ask("get")["queuedJobs"] == []


def test_kinds_of_failure_are_counted_apart(desk: Desk) -> None:
    """A time-out is retried by its own criterion, whatever failures there were."""
    desk.create("rotate-1", **timeout(5), **retries(FAILED=1, TIMED_OUT=1))
    desk.ask("start-next")
    desk.ask("rotate-1/update", status="FAILED")
    desk.ask("start-next")
    desk.now += 5 * MINUTE
    assert [s["executionNumber"] for s in desk.ask("get")["queuedJobs"]] == [3]
    desk.ask("rotate-1/update", status="FAILED")
    assert desk.ask("get")["queuedJobs"] == []


@pytest.mark.parametrize(
    "wrong",
    [
        retries(FAILED=11),
        retries(FAILED=6, TIMED_OUT=5),
        retries(FAILED=-1),
        retries(REJECTED=1),
        timeout(0),
        timeout(10081),
        {"document": "not JSON"},
        {"document": '"' + "x" * 32768 + '"'},
        {"documentSource": "https://s3.eu-west-1.amazonaws.com/bucket/key"},
        {"schedulingConfig": {"startTime": "2030-01-01 00:00"}},
        {"targetSelection": "SOME"},
        {"jobId": "a b"},
    ],
)
def test_wrong_job_is_refused(desk: Desk, wrong: dict[str, Any]) -> None:
    """A job outside of the API's rules, or of what is played here, is an InvalidRequest."""
    request = {"jobId": "rotate-1", "document": "{}", "targets": ["arn"], **wrong}
    with pytest.raises(JobsError) as refused:
        desk.jobs.control.create_job(request, [THING])
    assert refused.value.code == "InvalidRequest"
    assert desk.jobs.control.list_jobs() == []


def test_abort_criteria_cancel_what_is_queued(desk: Desk) -> None:
    """When enough things failed, the job is canceled and no further thing begins."""
    criterion = {
        "failureType": "FAILED",
        "action": "CANCEL",
        "thresholdPercentage": 50.0,
        "minNumberOfExecutedThings": 2,
    }
    things = [f"press-{n}" for n in range(5)]
    desk.create("rotate-1", *things, abortConfig={"criteriaList": [criterion]})
    desk.ask("rotate-1/update", "press-3", status="IN_PROGRESS")
    desk.ask("rotate-1/update", "press-0", status="FAILED")
    assert desk.jobs.control.describe_job("rotate-1")["status"] == "IN_PROGRESS"
    desk.ask("rotate-1/update", "press-1", status="FAILED")
    job = desk.jobs.control.describe_job("rotate-1")
    assert job["status"] == "CANCELED"
    counts = job["jobProcessDetails"]
    assert (counts["numberOfCanceledThings"], counts["numberOfInProgressThings"]) == (2, 1)


# --- events -----------------------------------------------------------------------


def enable(desk: Desk, *kinds: str) -> None:
    desk.jobs.control.update_event_configurations({kind: {"Enabled": True} for kind in kinds})


def events(desk: Desk) -> list[tuple[str, dict[str, Any]]]:
    return [(t, body) for t, body in desk.taken() if t.startswith("$aws/events/")]


def test_events_are_off_at_first(desk: Desk) -> None:
    """Without a configuration, the end of an execution is no event."""
    desk.create("rotate-1")
    desk.ask("rotate-1/update", status="SUCCEEDED")
    assert events(desk) == []


@pytest.mark.parametrize("status", ["SUCCEEDED", "FAILED", "REJECTED"])
def test_end_of_an_execution_is_an_event(desk: Desk, status: str) -> None:
    """Its event names job, thing and status, and bears the status details."""
    enable(desk, "JOB_EXECUTION")
    desk.create("rotate-1")
    desk.ask("start-next")
    desk.ask("rotate-1/update", status=status, statusDetails={"CertificateRotator": "true"})
    ((topic, body),) = events(desk)
    assert topic == f"$aws/events/jobExecution/rotate-1/{status.lower()}"
    assert body.pop("eventId")
    assert body == {
        "eventType": "JOB_EXECUTION",
        "timestamp": int(START),
        "operation": status.lower(),
        "jobId": "rotate-1",
        "thingArn": f"arn:aws:iot:eu-west-1:123456789012:thing/{THING}",
        "status": status,
        "statusDetails": {"CertificateRotator": "true"},
    }


def test_time_out_cancellation_removal_and_deletion_are_events(desk: Desk) -> None:
    """What others than the device do to an execution is told in the same way."""
    enable(desk, "JOB_EXECUTION")
    for job_id in ("timed", "canceled", "removed", "deleted"):
        desk.create(job_id, **timeout(1))
    control = desk.jobs.control
    desk.ask("timed/update", status="IN_PROGRESS")
    desk.jobs.expire(desk.now + MINUTE)
    control.cancel_job_execution(THING, "canceled", {}, force=False)
    control.delete_job("deleted", force=True)
    control.remove_thing(THING)
    assert [topic.removeprefix("$aws/events/jobExecution/") for topic, _ in events(desk)] == [
        "timed/timed_out",
        "canceled/canceled",
        "deleted/deleted",
        "removed/removed",
    ]


def test_each_failed_attempt_is_an_event(desk: Desk) -> None:
    """A failure that is retried is told like the last one."""
    enable(desk, "JOB_EXECUTION")
    desk.create("rotate-1", **retries(FAILED=1))
    for _ in range(2):
        desk.ask("rotate-1/update", status="FAILED")
    assert len(events(desk)) == 2


def test_jobs_have_events_of_their_own(desk: Desk) -> None:
    """Completion is one event; cancellation and deletion are two each, begun and done."""
    enable(desk, "JOB")
    desk.create("done")
    desk.create("stopped")
    desk.ask("done/update", status="SUCCEEDED")
    desk.jobs.control.cancel_job("stopped", {"comment": "not now"}, force=False)
    desk.jobs.control.delete_job("done", force=False)
    told = events(desk)
    assert [topic.removeprefix("$aws/events/job/") for topic, _ in told] == [
        "done/completed",
        "stopped/cancellation_in_progress",
        "stopped/canceled",
        "done/deletion_in_progress",
        "done/deleted",
    ]
    completed, canceled = told[0][1], told[2][1]
    assert (completed["eventType"], completed["status"]) == ("JOB", "COMPLETED")
    assert completed["jobProcessDetails"]["numberOfSucceededThings"] == 1
    assert (canceled["status"], canceled["comment"]) == ("CANCELED", "not now")
