"""The workflow while AWS fails: whatever fails once is made up for, and what fails for good is
told. Never does the certificate in use go, and once all is mended one is left."""

from __future__ import annotations

from collections import Counter

import pytest

from lab.fleet.disturbance import Hook, quiet
from lab.fleet.registry import THING
from rotation_cloud.ports import AwsError, Throttled
from tests.cloud.machine import DAY, HOUR, Machine

CALLS = (
    *("registry.principals", "registry.is_active", "registry.things", "registry.deactivate"),
    *("registry.detach_policy", "registry.detach_thing", "registry.delete"),
    *("records.get", "records.write", "records.of_thing", "documents.get", "documents.write"),
    *("jobs.pending", "jobs.execution", "jobs.create", "jobs.cancel", "jobs.ending"),
    *("workflows.end_task", "workflows.start", "notices.tell"),
)


def nth(call: str, numbers: range | None, error: type[Exception]) -> Hook:
    """Fails these calls of that name within the workflow's functions, or all of them."""
    seen: Counter[str] = Counter()

    def hook(name: str, _: int) -> None:
        seen[name] += 1
        if name == call and (numbers is None or seen[name] in numbers):
            raise error(f"{name} failed")

    return hook


def disturb(machine: Machine, hook: Hook, lost: bool) -> None:
    machine.before, machine.after = (quiet, hook) if lost else (hook, quiet)


def rotate(machine: Machine) -> str:
    """A workflow, whose job succeeds as soon as it is there; the certificate in use."""
    machine.start()
    machine.advance(HOUR / 2)
    if machine.jobs and not machine.account.jobs.executions[THING, machine.jobs[-1]].ended:
        machine.rotate()
    machine.advance(8 * DAY)
    return machine.in_use


def mended(machine: Machine) -> None:
    """Without faults: what still waits for the device is done, the next workflow works, and one
    certificate is left."""
    disturb(machine, quiet, lost=False)
    machine.advance(7 * DAY)
    if machine.account.jobs.pending(THING):
        machine.rotate()
        machine.advance(8 * DAY)
        assert machine.account.registry.active() == {machine.in_use}
    before, made = machine.in_use, len(machine.jobs)
    execution = machine.start()
    assert len(machine.jobs) == made + 1, execution.output
    machine.rotate()
    machine.advance(8 * DAY)
    assert execution.status == "SUCCEEDED"
    assert machine.in_use != before
    assert machine.account.registry.active() == {machine.in_use}
    assert len(machine.account.registry.certificates) == 1


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("number", [1, 2, 3, 4])
@pytest.mark.parametrize("how", ["failed", "throttled", "lost"])
def test_a_rotation(call: str, number: int, how: str) -> None:
    """Each call that fails once, done or not: one rotation, one job, and nobody is told."""
    machine = Machine()
    error = Throttled if how == "throttled" else AwsError
    disturb(machine, nth(call, range(number, number + 1), error), how == "lost")
    in_use = rotate(machine)
    assert in_use != machine.account.old
    assert len(machine.jobs) == 1
    assert machine.account.registry.active() == {in_use}
    assert len(machine.account.registry.certificates) == 1
    assert machine.account.notices.told == []
    assert {e.status for e in machine.machines.executions(machine.arn)} == {"SUCCEEDED"}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("lost", [False, True], ids=["failed", "lost"])
def test_a_time_out(call: str, number: int, lost: bool) -> None:
    """The same where the device falls silent with a certificate, and does the second job."""
    machine = Machine()
    disturb(machine, nth(call, range(number, number + 1), AwsError), lost)
    execution = machine.start()
    machine.advance(HOUR / 2)
    machine.take()
    machine.device.create(machine.account.old, machine.jobs[0])
    machine.advance(49 * HOUR)
    assert machine.account.registry.active() == {machine.account.old}
    machine.advance(HOUR)
    assert len(machine.jobs) == 2
    machine.rotate()
    machine.advance(8 * DAY)
    assert machine.account.registry.active() == {machine.in_use}
    assert execution.status == "SUCCEEDED"
    assert [one["reason"] for one in execution.output["history"]] == ["no-answer", ""]
    assert machine.account.notices.told == []


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("lost", [False, True], ids=["failed", "lost"])
def test_call_that_fails_for_good(call: str, lost: bool) -> None:
    """The certificate in use stays, somebody is told if it matters, and it can be mended."""
    machine = Machine()
    disturb(machine, nth(call, None, AwsError), lost)
    in_use = rotate(machine)
    assert in_use in machine.account.registry.active()
    if machine.account.registry.active() != {in_use} or in_use == machine.account.old:
        executions = machine.machines.executions(machine.arn)
        told = machine.account.notices.told
        assert told or call == "notices.tell"
        assert any(one.status == "FAILED" for one in executions)
    mended(machine)


@pytest.mark.parametrize("call", CALLS)
def test_a_failure_that_cannot_be_settled(call: str) -> None:
    """The device's job fails, and so does a call for good: the device's certificate stays."""
    machine = Machine()
    machine.start()
    machine.fail()
    disturb(machine, nth(call, None, AwsError), lost=False)
    machine.advance(3 * DAY)
    assert machine.account.old in machine.account.registry.active()
    mended(machine)
