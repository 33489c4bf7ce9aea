"""The end of a grace period while AWS fails, and while somebody else is at it."""

from __future__ import annotations

import pytest

from lab.fleet.account import Account
from lab.fleet.disturbance import Hook, failing, quiet
from lab.fleet.registry import THING
from rotation_cloud import grace
from rotation_cloud.ports import AwsError
from rotation_cloud.records import State
from tests.cloud.device import Device, issued_id


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Account:
    monkeypatch.setattr(Account, "grace_days", 7)
    return Account()


@pytest.fixture
def device(account: Account) -> Device:
    return rotated(account)


def rotated(account: Account) -> Device:
    """A device whose rotation has succeeded."""
    device = Device(account, is_patient=True)
    device.create(account.old)
    device.commit(issued_id(account))
    device.end("SUCCEEDED")
    return device


def state(account: Account) -> State:
    return account.records.items[THING, "job-1"].state


CALLS = (
    *("records.get", "records.write", "documents.get", "registry.is_active", "registry.things"),
    *("registry.deactivate", "registry.detach_policy", "registry.detach_thing"),
    "registry.delete",
)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("lost", [False, True], ids=["failed", "lost"])
def test_one_failed_call(account: Account, device: Device, call: str, lost: bool) -> None:
    """Each call of the end of a grace period that fails once, done or not, is made up for."""
    fault = failing(call, range(1, 2))
    account.disturb(quiet, fault) if lost else account.disturb(fault)
    device.pass_grace()
    assert account.registry.active() == {issued_id(account)}
    assert len(account.registry.certificates) == 1
    assert state(account) is State.DONE
    assert device.dead_letters == []


@pytest.mark.parametrize("call", CALLS)
def test_call_that_fails_for_good(account: Account, device: Device, call: str) -> None:
    """The new certificate stays whatever fails; once it is mended the old one goes."""
    account.disturb(failing(call))
    device.pass_grace()
    assert device.dead_letters
    assert issued_id(account) in account.registry.active()
    account.disturb()
    device.pass_grace()
    assert account.registry.active() == {issued_id(account)}
    assert len(account.registry.certificates) == 1


def test_two_at_once(account: Account, device: Device) -> None:
    """Two that close it at the same time, at any moment: one certificate goes, once."""
    calls = closing_calls()
    assert calls > 5
    for at in range(calls):
        fresh = Account()
        rotated(fresh)
        fresh.clock.sleep(fresh.cloud.grace_seconds)
        fresh.disturb(close_at(fresh, at))
        grace.close(fresh.cloud, THING, "job-1")
        assert fresh.registry.active() == {issued_id(fresh)}
        assert len(fresh.registry.certificates) == 1
        assert state(fresh) is State.DONE


def close_at(account: Account, at: int) -> Hook:
    done = False

    def hook(_name: str, _number: int) -> None:
        nonlocal done
        if len(account.calls) == at + 1 and not done:
            done = True
            grace.close(account.cloud, THING, "job-1")

    return hook


def closing_calls() -> int:
    account = Account()
    rotated(account)
    account.clock.sleep(account.cloud.grace_seconds)
    account.disturb()
    grace.close(account.cloud, THING, "job-1")
    return len(account.calls)


def test_objection_that_cannot_be_looked_up(account: Account, device: Device) -> None:
    """Without knowing whether the new certificate opens anything, the old one does not go."""
    account.disturb(failing("registry.is_active"))
    account.clock.sleep(account.cloud.grace_seconds)
    with pytest.raises(AwsError):
        grace.close(account.cloud, THING, "job-1")
    assert account.registry.active() == {account.old, issued_id(account)}
