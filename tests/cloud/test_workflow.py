"""The rotation workflow, played as the template has it, with days that pass at once."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from lab.fleet.account import RUNNING
from lab.fleet.registry import BASE, THING
from rotation_cloud.documents import INVENTORY, Document
from rotation_cloud.ports import NotFound
from rotation_cloud.workflow import Cause
from tests.cloud.device import ended_event
from tests.cloud.machine import DAY, HOUR, Machine


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_a_rotation(machine: Machine) -> None:
    """One job; both certificates in the grace period; then the new one, and nobody is told."""
    execution = machine.start()
    assert len(machine.jobs) == 1
    machine.advance(2 * HOUR)
    new = machine.rotate()
    machine.advance(7 * DAY - 1)
    assert machine.account.registry.active() == {machine.account.old, new}
    machine.advance(2)
    assert machine.account.registry.active() == {new}
    assert execution.status == "SUCCEEDED"
    assert execution.output["outcome"] == "done"
    assert [one["status"] for one in execution.output["history"]] == ["SUCCEEDED"]
    assert machine.account.notices.told == []


def test_without_a_grace_period() -> None:
    """It goes at once, and so does the workflow."""
    machine = Machine(grace_days=0)
    execution = machine.start()
    new = machine.rotate()
    assert machine.account.registry.active() == {new}
    assert execution.status == "SUCCEEDED"


def test_started_twice(machine: Machine) -> None:
    """The same day, by whomever: one workflow, one job."""
    machine.start()
    machine.start(Cause.DEVICE)
    machine.start(Cause.OPERATOR)
    assert len(machine.jobs) == 1
    assert len(machine.machines.executions(machine.arn)) == 1


def test_started_again_while_it_waits(machine: Machine) -> None:
    """The next day's workflow finds the job that waits, and has nothing to do."""
    machine.start()
    machine.advance(DAY)
    second = machine.start()
    assert second.output == {"outcome": "nothing-to-do", "reason": "rotation-under-way"}
    assert len(machine.jobs) == 1


def test_two_at_once(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that have both found it due: one makes the job, the other has nothing to do."""
    given = json.dumps({"thing": THING, "certificateId": machine.in_use, "cause": "operator"})
    monkeypatch.setattr(machine.account.jobs, "pending", lambda _: [])  # not seen yet
    first = machine.machines.start(machine.arn, "first", given)
    second = machine.machines.start(machine.arn, "second", given)
    assert len(machine.jobs) == 1
    assert first.status == "RUNNING"
    assert second.output == {"outcome": "nothing-to-do", "reason": "rotation-under-way"}


# -- not due ---------------------------------------------------------------------------------


def reason(machine: Machine, **given: Any) -> str:
    """Why an execution with this input has nothing to do."""
    asked = {"thing": THING, "certificateId": machine.account.old, "cause": "operator", **given}
    execution = machine.machines.start(machine.arn, None, json.dumps(asked))
    assert machine.jobs == []
    assert execution.status == "SUCCEEDED"
    return str(execution.output["reason"])


def heard(machine: Machine, certificate_id: str, **more: int) -> None:
    body = {"principal": certificate_id, "heardAt": int(machine.account.clock.now()), **more}
    known = machine.account.documents.get(THING, INVENTORY) or Document(THING, INVENTORY)
    machine.account.documents.write(replace(known, body={**known.body, **body}))


def test_no_such_thing(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thing that is not there, or has no certificate."""
    assert reason(machine, thing="press-8") == "no-such-thing"
    monkeypatch.setattr(machine.account.registry, "principals", lambda _: _raise())
    assert reason(machine) == "no-such-thing"


def _raise() -> dict[str, str]:
    raise NotFound("no thing")


def test_certificate_of_another(machine: Machine) -> None:
    """A certificate that is not attached to the thing."""
    assert reason(machine, certificateId="f" * 64) == "not-attached"


def test_certificate_not_active(machine: Machine) -> None:
    """A certificate that opens nothing."""
    machine.account.registry.deactivate(f"{BASE}:cert/{machine.account.old}")
    assert reason(machine) == "not-active"


def test_replaced_meanwhile(machine: Machine) -> None:
    """An alert that comes late is about a certificate that a rotation has replaced."""
    machine.start()
    machine.rotate()
    machine.account.jobs.created.clear()
    assert reason(machine) == "replaced"


def test_not_in_use(machine: Machine) -> None:
    """The device was heard with another certificate."""
    heard(machine, "f" * 64)
    assert reason(machine) == "not-in-use"


@pytest.mark.parametrize(
    ("silent_days", "seen_days_ago", "asked"),
    [(0, 0, False), (2, 7, False), (3, 3, True), (0, 8, True)],
)
def test_certificate_that_is_vouched_for(
    machine: Machine, silent_days: int, seen_days_ago: int, asked: bool
) -> None:
    """AWS IoT is not asked about a certificate with which the device was heard lately."""
    account = machine.account
    seen = int(account.clock.now()) + (silent_days - seen_days_ago) * DAY
    heard(machine, account.old, attachedSeen=seen)
    machine.advance(silent_days * DAY)
    machine.start()
    assert len(machine.jobs) == 1
    looked = [call for call in account.calls if call.startswith("registry.")]
    assert looked == (["registry.principals", "registry.is_active"] if asked else [])


def test_another_certificate_is_not_vouched_for(machine: Machine) -> None:
    """What was heard of one says nothing of the other."""
    heard(machine, "f" * 64, attachedSeen=int(machine.account.clock.now()))
    assert reason(machine, certificateId="e" * 64) == "not-attached"
    machine.account.registry.deactivate(f"{BASE}:cert/{machine.account.old}")
    assert reason(machine) == "not-in-use"


def test_a_rotation_under_way(machine: Machine) -> None:
    """A job that somebody made waits for the device, or is in progress."""
    machine.account.jobs.executions[THING, "job-1"] = RUNNING
    assert reason(machine) == "rotation-under-way"
    machine.account.jobs.executions[THING, "job-1"] = replace(RUNNING, operation="REBOOT")
    machine.start()
    assert len(machine.jobs) == 1


def test_a_device_that_went_back(machine: Machine) -> None:
    """One that was heard with its old certificate after a rotation is rotated again."""
    machine.start()
    machine.rotate()
    machine.advance(HOUR)
    heard(machine, machine.account.old)
    given = {"thing": THING, "certificateId": machine.account.old, "cause": "operator"}
    machine.machines.start(machine.arn, "again", json.dumps(given))
    assert len(machine.jobs) == 2


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ("{}", "cause"),
        ('{"cause": "operator"}', "thing"),
        ('{"cause": "operator", "thing": "press-7"}', "certificateId"),
        ('{"cause": "boredom", "thing": "press-7", "certificateId": "x"}', "cause"),
        ('{"cause": "operator", "thing": 7, "certificateId": "x"}', "thing"),
    ],
)
def test_wrong_input(machine: Machine, given: str, named: str) -> None:
    """An input that is wrong fails at once, and says which field is."""
    execution = machine.machines.start(machine.arn, None, given)
    assert (execution.status, execution.error) == ("FAILED", "InputIsWrong")
    assert named in str(execution.cause)
    assert machine.invoked == ["ValidateFunction"]


# -- the grace period ------------------------------------------------------------------------


def test_still_in_use(machine: Machine) -> None:
    """A device that is heard with its old certificate: a person looks, and nothing goes."""
    execution = machine.start()
    new = machine.rotate()
    machine.advance(DAY)
    heard(machine, machine.account.old)
    machine.advance(6 * DAY + 1)
    assert (execution.error, execution.cause) == ("ReviewNeeded", "still-in-use")
    assert machine.account.registry.active() == {machine.account.old, new}
    (told,) = machine.account.notices.told
    assert told["reason"] == "still-in-use"
    assert "Rotate it again" in told["whatToDo"]


def test_console_made_job(machine: Machine) -> None:
    """A job that nobody's workflow made has its grace period, and its end, all the same."""
    machine.account.jobs.create("job-1", THING)
    new = machine.rotate()
    assert len(machine.machines.executions(machine.arn)) == 1
    machine.advance(7 * DAY - 1)
    assert machine.account.registry.active() == {machine.account.old, new}
    machine.advance(1)
    assert machine.account.registry.active() == {new}


def test_rotations_one_after_the_other(machine: Machine) -> None:
    """A rotation within the grace period of the one before: two certificates, never three."""
    machine.start()
    first = machine.rotate()
    machine.advance(DAY)
    machine.start()
    second = machine.rotate()
    assert machine.account.registry.active() == {first, second}
    machine.advance(8 * DAY)
    assert machine.account.registry.active() == {second}
    assert {e.status for e in machine.machines.executions(machine.arn)} == {"SUCCEEDED"}


def test_redelivered_events(machine: Machine) -> None:
    """The events of every job once more, at the end: nothing happens."""
    machine.start()
    machine.fail()
    machine.advance(HOUR)
    new = machine.rotate()
    machine.advance(8 * DAY)
    calls = len(machine.invoked)
    for job, status in zip(machine.jobs, ("FAILED", "SUCCEEDED"), strict=True):
        machine.device.deliver(ended_event(status, job, certificateId=new))
    machine.advance(8 * DAY)
    assert machine.account.registry.active() == {new}
    assert len(machine.invoked) == calls
    assert machine.account.notices.told == []
