"""A device says that it uses the new certificate: believed if the connection proves it."""

from __future__ import annotations

import pytest

from lab.fleet.account import Account
from lab.fleet.disturbance import failing
from lab.fleet.registry import THING
from rotation_cloud.answering import answer_commit
from rotation_cloud.records import State
from tests.cloud.device import Device, code, event, issued_id

pytestmark = pytest.mark.usefixtures("with_and_without_grace")


@pytest.fixture
def account() -> Account:
    account = Account()
    Device(account).create(account.old)
    return account


@pytest.fixture
def device(account: Account) -> Device:
    return Device(account)


def test_new_principal_commits(account: Account, device: Device) -> None:
    """Over the new certificate the commit is accepted, and repeats are too."""
    new = issued_id(account)
    for _ in range(2):
        assert device.commit(new) == ("accepted", {"jobId": "job-1"})
    assert account.records.items[THING, "job-1"].state is State.COMMITTED


def test_no_control_plane_call(account: Account, device: Device) -> None:
    """A commit costs no call of AWS IoT but the answer."""
    account.calls.clear()
    device.commit(issued_id(account))
    assert account.calls == ["records.get", "records.write", "answers.publish"]


@pytest.mark.parametrize("end", [None, "SUCCEEDED", "TIMED_OUT"])
def test_repeat_after_the_end(account: Account, device: Device, end: str | None) -> None:
    """A commit whose answer was lost is answered the same after the job has ended."""
    new = issued_id(account)
    device.commit(new)
    if end is not None:
        device.end(end)
    assert code(device.commit(new)) == "accepted"
    assert code(device.commit(account.old)) == "other-principal"


@pytest.mark.parametrize("principal", ["old", "third", ""])
def test_other_principal(account: Account, device: Device, principal: str) -> None:
    """Over any other connection it is not, and nothing changes."""
    answer = device.commit(account.old if principal == "old" else principal)
    assert code(answer) == "other-principal"
    assert account.records.items[THING, "job-1"].state is State.ISSUED


def test_nothing_issued(account: Account, device: Device) -> None:
    """A job for which nothing was issued cannot be committed."""
    assert code(device.commit(account.old, "job-2")) == "not-issued"


def test_ended_before_the_commit(account: Account, device: Device) -> None:
    """Once the job has ended without it, a commit comes too late."""
    new = issued_id(account)
    device.end("TIMED_OUT")
    assert code(device.commit(new)) == "job-ended"
    assert account.registry.active() == {account.old}


def test_end_in_the_midst(account: Account, device: Device) -> None:
    """If the job ends while the commit is decided, exactly one of the two holds."""
    new = issued_id(account)

    def end(name: str, number: int) -> None:
        if (name, number) == ("records.write", 1):
            account.before = lambda _name, _number: None
            Device(account).end("TIMED_OUT")

    account.disturb(end)
    assert code(device.commit(new)) == "job-ended"
    assert account.registry.active() == {account.old}


@pytest.mark.parametrize("call", ["records.get", "records.write", "answers.publish"])
@pytest.mark.parametrize("lost", [False, True], ids=["failed", "lost"])
def test_one_failed_call(account: Account, device: Device, call: str, lost: bool) -> None:
    """A commit that AWS failed is answered so that the device asks again, and then works."""
    new = issued_id(account)
    fault = failing(call, range(1, 2))
    account.disturb(after=fault) if lost else account.disturb(fault)
    assert code(device.commit(new)) in ("internal", "accepted")
    assert code(device.commit(new)) == "accepted"
    device.end("TIMED_OUT")
    assert account.registry.active() == {new}


def test_client_id_counts(account: Account, device: Device) -> None:
    """A client id that is not the thing's is refused."""
    message = {**event("commit", issued_id(account)), "jobId": "job-1", "clientId": "press-70"}
    assert code(device.send(answer_commit, message)) == "not-allowed"
