"""A device asks for a job: one a day at most, and none while one waits."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from rotation_cloud.ports import Throttled
from rotation_cloud.request import job_id_of
from tests.cloud.account import BASE, RUNNING, THING, Account
from tests.cloud.device import Device, code
from tests.cloud.disturbance import failing


@pytest.fixture
def account() -> Account:
    account = Account()
    account.jobs.executions.clear()
    return account


@pytest.fixture
def device(account: Account) -> Device:
    return Device(account)


def test_job_is_made_once_a_day(account: Account, device: Device) -> None:
    """Repeats on one day name the same job; the next day there is another."""
    first = device.request(account.old, certificateId=account.old)
    assert first is not None
    kind, fields = first
    assert kind == "accepted"
    assert account.jobs.created == {fields["jobId"]: f"{BASE}:thing/{THING}"}
    assert device.request(account.old) == first
    account.clock.sleep(24 * 3600)
    assert device.request(account.old) != first
    assert len(account.jobs.created) == 2


@pytest.mark.parametrize("status", ["QUEUED", "IN_PROGRESS"])
def test_pending_rotation_is_enough(account: Account, device: Device, status: str) -> None:
    """While a rotation waits for the thing, no other is made."""
    account.jobs.executions[THING, "job-1"] = replace(RUNNING, status=status)
    assert device.request(account.old) == ("accepted", {})
    assert account.jobs.created == {}


def test_other_jobs_do_not_count(account: Account, device: Device) -> None:
    """A pending job that asks for something else is no rotation."""
    account.jobs.executions[THING, "job-1"] = replace(RUNNING, operation="REBOOT")
    assert code(device.request(account.old)) == "accepted"
    assert len(account.jobs.created) == 1


def test_identity_is_checked(account: Account, device: Device) -> None:
    """Who may not ask for a certificate may not ask for a job."""
    assert code(device.request("f" * 64)) == "not-allowed"
    assert code(device.request(account.old, clientId="press-70")) == "not-allowed"
    assert code(device.request(account.old, certificateId=7)) == "invalid-request"
    assert code(device.request(account.old, certificateId="f" * 64)) == "other-principal"
    assert account.jobs.created == {}


def test_throttled(account: Account, device: Device) -> None:
    """A throttled request may be asked again, and nobody is told."""
    account.disturb(failing("jobs.create", range(1, 2), Throttled))
    assert code(device.request(account.old)) == "throttled"
    assert account.notices.told == []


def test_failure_is_told(account: Account, device: Device) -> None:
    """A request that the backend cannot serve is answered so, and people are told."""
    account.disturb(failing("jobs.create"))
    assert code(device.request(account.old)) == "internal"
    assert account.notices.told[0]["status"] == "REQUEST_FAILED"


@pytest.mark.parametrize("thing", ["a", "x" * 128, "a:b_c-D"])
def test_job_id_is_valid(thing: str) -> None:
    """A job's id has the characters and the length that AWS takes, for every thing's name."""
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", job_id_of(thing, 1e9))
    assert job_id_of(thing, 1e9) != job_id_of(thing + "2", 1e9)
