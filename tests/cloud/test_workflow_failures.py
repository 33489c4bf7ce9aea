"""Jobs that fail, that nobody takes, whose end nobody hears of, and that somebody stops."""

from __future__ import annotations

import pytest

from lab.fleet.disturbance import failing, quiet
from lab.fleet.registry import THING
from rotation_cloud.ports import AwsError
from rotation_cloud.records import State
from rotation_cloud.security_events import Activity
from tests.cloud.device import ended_event
from tests.cloud.machine import DAY, HOUR, Machine


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_failure_then_success(machine: Machine) -> None:
    """A failed job is tried again an hour later with another one; nobody needs to hear of it."""
    execution = machine.start()
    machine.fail()
    assert machine.account.registry.active() == {machine.account.old}
    machine.advance(HOUR - 1)
    assert len(machine.jobs) == 1
    machine.advance(1)
    assert len(set(machine.jobs)) == 2
    new = machine.rotate()
    machine.advance(7 * DAY + 1)
    assert machine.account.registry.active() == {new}
    said = [(one["status"], one["reason"]) for one in execution.output["history"]]
    assert said == [("FAILED", "probe-refused"), ("SUCCEEDED", "")]
    assert machine.account.notices.told == []


def test_review_after_the_last_attempt(machine: Machine) -> None:
    """After three failures, an hour and two hours apart, a person gets the whole story."""
    execution = machine.start()
    for wait in (HOUR, 2 * HOUR):
        machine.fail()
        machine.advance(wait)
    machine.fail("store-full")
    assert (execution.status, execution.error) == ("FAILED", "ReviewNeeded")
    (told,) = machine.account.notices.told
    assert (told["status"], told["reason"]) == ("REVIEW_NEEDED", "attempts-failed")
    assert (told["thingName"], told["jobId"]) == (THING, machine.jobs[-1])
    assert told["detail"] == "store-full"
    assert told["history"] == (
        f"{machine.jobs[0]} FAILED (probe-refused); {machine.jobs[1]} FAILED (probe-refused); "
        f"{machine.jobs[2]} FAILED (store-full)"
    )
    assert Activity.REVIEW_NEEDED in {event.activity for event in machine.account.audit.events}
    assert machine.account.registry.active() == {machine.account.old}


def test_number_of_attempts() -> None:
    """It is the template's parameter."""
    machine = Machine(RotationAttempts="1")
    execution = machine.start()
    machine.fail()
    assert execution.error == "ReviewNeeded"


def test_device_offline(machine: Machine) -> None:
    """A job that nobody takes is cancelled after 48 hours, and tried again; then a person."""
    execution = machine.start()
    machine.advance(48 * HOUR)
    assert [machine.account.jobs.endings[THING, job].status for job in machine.jobs] == ["CANCELED"]
    machine.device.deliver(ended_event("CANCELED", machine.jobs[0], at=machine.account.clock.now()))
    machine.advance(2 * 48 * HOUR + 3 * HOUR)
    assert len(machine.jobs) == 3
    assert execution.error == "ReviewNeeded"
    (told,) = machine.account.notices.told
    assert told["history"].count("CANCELED (no-answer the job was cancelled") == 3
    assert machine.account.registry.active() == {machine.account.old}


def test_time_out_of_a_device_that_is_at_it(machine: Machine) -> None:
    """A device that was given a certificate and fell silent: it is taken back with the job."""
    machine.start()
    machine.take()
    machine.device.create(machine.account.old, machine.jobs[0])
    assert len(machine.account.registry.active()) == 2
    machine.advance(48 * HOUR)
    assert machine.account.registry.active() == {machine.account.old}
    assert machine.account.records.items[THING, machine.jobs[0]].state is State.DONE


def test_time_out_after_the_commit(machine: Machine) -> None:
    """A device that committed and fell silent has the new certificate: that is a success."""
    execution = machine.start()
    new = machine.commit()
    machine.advance(48 * HOUR)
    assert machine.account.registry.active() == {machine.account.old, new}
    machine.advance(7 * DAY + 1)
    assert machine.account.registry.active() == {new}
    assert execution.status == "SUCCEEDED"
    assert machine.account.notices.told == []


def test_lost_event(machine: Machine) -> None:
    """The event of the end never came: the time-out finds out how the job ended, and why."""
    execution = machine.start()
    machine.take()
    machine.device.create(machine.account.old, machine.jobs[0])
    machine.account.end(
        machine.jobs[0], "FAILED", reason="probe-refused", certificateId=machine.account.old
    )
    machine.advance(48 * HOUR)
    assert machine.account.registry.active() == {machine.account.old}
    machine.advance(HOUR)
    machine.rotate()
    machine.advance(7 * DAY + 1)
    assert execution.output["history"][0]["reason"] == "probe-refused"


def test_lost_event_of_a_success(machine: Machine) -> None:
    """The same where the job succeeded: its grace period begins when it is found out."""
    execution = machine.start()
    new = machine.commit()
    machine.account.end(machine.jobs[0], "SUCCEEDED", certificateId=new)
    machine.advance(48 * HOUR)
    machine.advance(7 * DAY - 60)
    assert machine.account.registry.active() == {machine.account.old, new}
    machine.advance(120)
    assert machine.account.registry.active() == {new}
    assert execution.status == "SUCCEEDED"


@pytest.mark.parametrize("status", ["CANCELED", "REMOVED"])
def test_stopped_by_an_operator(machine: Machine, status: str) -> None:
    """Who ends the job himself does not get another one, nor a message."""
    execution = machine.start()
    machine.device.end(status, machine.jobs[0])
    assert execution.output["outcome"] == "stopped"
    machine.advance(DAY)
    assert len(machine.jobs) == 1
    assert machine.account.notices.told == []


def test_job_deleted(machine: Machine) -> None:
    """A job that is deleted under way has been stopped too."""
    execution = machine.start()
    machine.take()
    machine.device.create(machine.account.old, machine.jobs[0])
    del machine.account.jobs.executions[THING, machine.jobs[0]]
    machine.device.deliver(ended_event("IN_PROGRESS", machine.jobs[0], operation="deleted"))
    assert execution.output["outcome"] == "stopped"
    assert machine.account.registry.active() == {machine.account.old}


@pytest.mark.parametrize("status", ["TIMED_OUT", "REJECTED"])
def test_other_failures_are_tried_again(machine: Machine, status: str) -> None:
    """A device that was too slow, or too busy, gets another job."""
    machine.start()
    machine.device.end(status, machine.jobs[0])
    machine.advance(HOUR)
    assert len(machine.jobs) == 2


def test_job_that_cannot_be_made(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the Jobs service refuses for good, a person hears of it in the end."""
    monkeypatch.setattr(machine.account.jobs, "create", _refuse)
    execution = machine.start()
    machine.advance(2 * DAY)
    assert execution.error == "ReviewNeeded"
    assert machine.account.notices.told[0]["history"].count("NOT_MADE") == 3


def _refuse(*_: str) -> None:
    raise AwsError("LimitExceededException")


def test_job_that_is_done_before_its_token_waits(machine: Machine) -> None:
    """The answer of the job's making is lost, and it is over before that is tried again."""
    machine.after = failing("jobs.create")
    execution = machine.start()
    machine.after = quiet
    new = machine.rotate()
    machine.advance(60)
    assert "SettleFunction" in machine.invoked
    machine.advance(8 * DAY)
    assert execution.status == "SUCCEEDED"
    assert machine.account.registry.active() == {new}
    assert len(machine.jobs) == 1
