"""A device asks for a rotation: one workflow a day at most, and none while a rotation waits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab.fleet.account import RUNNING, Account
from lab.fleet.disturbance import failing
from lab.fleet.registry import THING
from rotation_cloud.documents import INVENTORY, Document
from rotation_cloud.ports import AwsError, Throttled
from tests.cloud.device import Device, code


@pytest.fixture
def account() -> Account:
    account = Account()
    account.jobs.executions.clear()
    return account


@pytest.fixture
def device(account: Account) -> Device:
    return Device(account)


def test_workflow_is_started_once_a_day(account: Account, device: Device) -> None:
    """Repeats on one day are the same workflow; the next day there is another."""
    assert device.request(account.old, certificateId=account.old) == ("accepted", {})
    assert list(account.workflows.started.values()) == [
        {"thing": THING, "certificateId": account.old, "cause": "device"}
    ]
    assert device.request(account.old) == ("accepted", {})
    assert len(account.workflows.started) == 1
    account.clock.sleep(24 * 3600)
    assert device.request(account.old) == ("accepted", {})
    assert len(account.workflows.started) == 2
    assert account.jobs.created == {}  # it is the workflow that makes it


@pytest.mark.parametrize("status", ["QUEUED", "IN_PROGRESS"])
def test_pending_rotation_is_enough(account: Account, device: Device, status: str) -> None:
    """While a rotation waits for the thing, no other is begun."""
    account.jobs.executions[THING, "job-1"] = replace(RUNNING, status=status)
    assert device.request(account.old) == ("accepted", {})
    assert account.workflows.started == {}


def test_other_jobs_do_not_count(account: Account, device: Device) -> None:
    """A pending job that asks for something else is no rotation."""
    account.jobs.executions[THING, "job-1"] = replace(RUNNING, operation="REBOOT")
    assert code(device.request(account.old)) == "accepted"
    assert len(account.workflows.started) == 1


def test_identity_is_checked(account: Account, device: Device) -> None:
    """Who may not ask for a certificate may not ask for a rotation."""
    assert code(device.request("f" * 64)) == "not-allowed"
    assert code(device.request(account.old, clientId="press-70")) == "not-allowed"
    assert code(device.request(account.old, certificateId=7)) == "invalid-request"
    assert code(device.request(account.old, certificateId="f" * 64)) == "other-principal"
    assert account.workflows.started == {}


def test_device_that_is_known(account: Account, device: Device) -> None:
    """Of one that was heard over this certificate within a week the registry is not asked."""
    now = int(account.clock.now())
    body = {"principal": account.old, "heardAt": now, "attachedSeen": now}
    account.documents.write(Document(THING, INVENTORY, body))
    assert code(device.request(account.old)) == "accepted"
    assert "registry.principals" not in account.calls
    assert code(device.request("f" * 64)) == "not-allowed"
    account.clock.sleep(8 * 24 * 3600)
    before = account.calls.count("registry.principals")
    assert code(device.request(account.old)) == "accepted"
    assert account.calls.count("registry.principals") == before + 1


def test_throttled(account: Account, device: Device) -> None:
    """A throttled request may be asked again, and nobody is told."""
    account.disturb(failing("workflows.start", range(1, 2), Throttled))
    assert code(device.request(account.old)) == "throttled"
    assert account.notices.told == []


@pytest.mark.parametrize("call", ["registry.principals", "jobs.pending", "workflows.start"])
def test_failure_is_told(account: Account, device: Device, call: str) -> None:
    """A request that the backend cannot serve is answered so, and people are told."""
    account.disturb(failing(call))
    assert code(device.request(account.old)) == "internal"
    assert account.notices.told[0]["status"] == "REQUEST_FAILED"
    account.disturb()
    assert code(device.request(account.old)) == "accepted"
    assert len(account.workflows.started) == 1


def test_lost_answer(account: Account, device: Device) -> None:
    """A start whose answer is lost is made again, and is the same workflow."""
    account.disturb(after=failing("workflows.start", range(1, 2), AwsError))
    assert code(device.request(account.old)) == "internal"
    assert code(device.request(account.old)) == "accepted"
    assert len(account.workflows.started) == 1
