"""How many calls of the AWS IoT control plane a rotation costs."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from lab.fleet.account import Account
from lab.fleet.registry import BASE, EXCLUSIVE, SHARED, THING
from rotation_cloud.alerts import Policy
from tests.cloud.device import Device, code, issued_id
from tests.cloud.machine import DAY, Machine
from tests.cloud.monitor import TEMPLATE, Monitor

CONTROL_PLANE = ("registry.", "issuer.", "jobs.create", "jobs.cancel", "jobs.ending")


def of_control_plane(calls: Sequence[str]) -> list[str]:
    return [call for call in calls if call.startswith(CONTROL_PLANE)]


@pytest.mark.parametrize(
    ("attachment", "lag", "grace_days", "most"),
    [
        *((EXCLUSIVE, 2.0, 0, 9), (SHARED, 2.0, 0, 10), (SHARED, 10.0, 0, 12)),
        *((EXCLUSIVE, 2.0, 7, 10), (SHARED, 2.0, 7, 11), (SHARED, 5.0, 7, 12)),
    ],
)
def test_at_most_twelve(
    attachment: str, lag: float, grace_days: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one policy: nine; one more each for a certificate that may be shared, for the end of
    the grace period, and for each time that AWS is slow."""
    monkeypatch.setattr(Account, "grace_days", grace_days)
    account = Account(attachment, policies=("core",))
    account.registry.lag = lag
    device = Device(account)
    assert code(device.create(account.old)) == "accepted"
    assert code(device.commit(issued_id(account))) == "accepted"
    device.end("SUCCEEDED", certificateId=issued_id(account))
    assert account.registry.active() == {issued_id(account)}
    assert len(of_control_plane(account.calls)) == most


@pytest.mark.parametrize(
    ("cause", "attachment", "calls"),
    [
        *(("operator", EXCLUSIVE, 9), ("operator", SHARED, 10)),
        *(("device", EXCLUSIVE, 10), ("device", SHARED, 11)),
        *(("alert", EXCLUSIVE, 11), ("alert", SHARED, 12)),
    ],
)
def test_everything_that_belongs_to_a_rotation(cause: str, attachment: str, calls: int) -> None:
    """From what asks for it to the old certificate's end, with the device's daily messages: one
    more for the job if a workflow makes it, and one to verify an alert."""
    machine = Machine()
    account, monitor = machine.account, Monitor(machine.account)
    del account.registry.certificates[f"{BASE}:cert/{account.old}"]
    account.old, account.registry.lag = monitor.principal, 2.0
    old = account.registry.get(f"{BASE}:cert/{account.old}")
    old.policies, old.things = {"core"}, {THING: attachment}
    monitor.policy = Policy(job_template_arn=TEMPLATE, auto_rotate_below_days=7)
    monitor.sends(monitor.health())
    account.clock.sleep(DAY)
    before = len(account.calls)
    if cause == "operator":
        account.jobs.create("job-1", THING)
    elif cause == "device":
        assert code(machine.device.request(account.old)) == "accepted"
    else:
        monitor.sends(monitor.signed())
    monitor.sends(monitor.health())
    new = machine.rotate()
    for _ in range(7):
        monitor.sends(monitor.health(), principal=new)
        machine.advance(DAY)
    assert account.registry.active() == {new}
    assert monitor.dead_letters == machine.failures == machine.device.dead_letters == []
    assert len(of_control_plane(account.calls[before:])) == calls
