"""Creation while AWS fails, and while somebody else works on the same rotation.

Whatever happens, once the job has ended one certificate is ACTIVE, the next job gets its
certificate, and somebody was told if anything failed for good.
"""

from __future__ import annotations

import pytest

from lab.fleet.account import RUNNING, Account
from lab.fleet.disturbance import failing, quiet
from lab.fleet.registry import THING
from rotation_cloud.answering import answer_create
from rotation_cloud.finish import Ended, StillIssuing, finish
from rotation_cloud.ports import AwsError, Throttled
from tests.cloud.device import Device, code, create_event, ended_event, issued_id

pytestmark = pytest.mark.usefixtures("with_and_without_grace")

CALLS = (
    *("records.get", "records.of_thing", "records.write", "jobs.execution", "issuer.issue"),
    *("registry.principals", "registry.policies", "registry.attach_policy"),
    *("registry.attach_thing", "registry.deactivate", "registry.detach_policy"),
    *("registry.detach_thing", "registry.delete", "registry.stray"),
    *("answers.publish", "notices.tell"),
)
AGAIN = ("busy", "throttled", "internal", "none")


def ask_until_answered(device: Device, principal: str) -> str:
    """A device asks again, as often as the answer allows, a minute later each time."""
    said = "none"
    for _ in range(4):
        said = code(device.create(principal))
        if said not in AGAIN:
            break
        device.account.clock.sleep(70)
    return said


def end_and_rotate_again(device: Device) -> None:
    """Without faults: the job fails, the next one works, and one certificate is left."""
    account = device.account
    account.disturb()
    device.end("FAILED", reason="create-rejected")
    assert account.registry.active() == {account.old}
    assert len(account.registry.certificates) == 1
    account.jobs.executions[THING, "job-2"] = RUNNING
    assert code(device.create(account.old, "job-2", "b")) == "accepted"
    new = issued_id(account, "job-2")
    assert code(device.commit(new, "job-2")) == "accepted"
    device.end("SUCCEEDED", "job-2")
    assert account.registry.active() == {new}
    assert len(account.registry.certificates) == 1


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("number", [1, 2, 3, 4])
@pytest.mark.parametrize("how", ["failed", "throttled", "lost"])
def test_one_failed_call(call: str, number: int, how: str) -> None:
    """A call that fails once, done or not: the device gets its certificate, none is left over."""
    account = Account()
    device = Device(account)
    error = Throttled if how == "throttled" else AwsError
    fault = failing(call, range(number, number + 1), error)
    account.disturb(quiet, fault) if how == "lost" else account.disturb(fault)
    assert ask_until_answered(device, account.old) == "accepted"
    assert account.registry.active() == {account.old, issued_id(account)}
    end_and_rotate_again(device)


@pytest.mark.parametrize("second", CALLS)
@pytest.mark.parametrize(
    "first", ["issuer.issue", "registry.attach_policy", "registry.attach_thing"]
)
@pytest.mark.parametrize("lost", [False, True], ids=["failed", "lost"])
def test_undoing_that_fails_too(first: str, second: str, lost: bool) -> None:
    """Creation fails once and, from then on, so does another call: nothing leaks for good."""
    account = Account()
    device = Device(account)
    first_fault, second_fault = failing(first, range(1, 2)), failing(second)
    is_broken = False

    def fault(name: str, number: int) -> None:
        nonlocal is_broken
        if is_broken:
            second_fault(name, number)
        if name == first and not is_broken:
            is_broken = True
            first_fault(name, 1)

    account.disturb(quiet, fault) if lost else account.disturb(fault)
    device.create(account.old)
    account.clock.sleep(70)
    end_and_rotate_again(device)
    assert account.notices.told


def test_lost_certificate_is_taken_back_at_once() -> None:
    """A certificate whose creation was not answered is found by its key, and removed."""
    account = Account()
    account.disturb(quiet, failing("issuer.issue"))
    assert code(Device(account).create(account.old)) == "internal"
    assert account.registry.active() == {account.old}


def test_throttled_undoing_is_told() -> None:
    """Throttling bothers nobody, unless a certificate had to be left standing."""
    account = Account()

    def throttled(name: str, _number: int) -> None:
        if name in ("registry.attach_policy", "registry.deactivate"):
            raise Throttled(name)

    account.disturb(throttled)
    assert code(Device(account).create(account.old)) == "throttled"
    assert "could not be removed" in account.notices.told[0]["whatToDo"]
    end_and_rotate_again(Device(account))


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("lost", [False, True], ids=["failed", "lost"])
def test_call_that_fails_for_good(call: str, lost: bool) -> None:
    """The thing is not blocked afterwards, no certificate leaks, and people hear of it."""
    account = Account()
    device = Device(account)
    account.disturb(quiet, failing(call)) if lost else account.disturb(failing(call))
    ask_until_answered(device, account.old)
    assert account.old in account.registry.active()
    end_and_rotate_again(device)
    assert account.notices.told  # of the job's failure at the latest


def calls_of_a_creation() -> list[str]:
    account = Account()
    Device(account).create(account.old)
    return list(account.calls)


@pytest.mark.parametrize("at", range(len(calls_of_a_creation())))
@pytest.mark.parametrize("key", ["a", "b"])
def test_two_at_once(at: int, key: str) -> None:
    """A second request in the midst of the first: one certificate, or the later key's."""
    account = Account()
    device = Device(account)
    is_nested = False

    def second(_name: str, _number: int) -> None:
        nonlocal is_nested
        if len(account.calls) == at + 1 and not is_nested:
            is_nested = True
            answer_create(account.cloud, create_event(account.old, key=key))

    account.disturb(second)
    answer_create(account.cloud, create_event(account.old, key="a"))
    assert is_nested
    account.disturb()
    assert account.registry.active() == {account.old, issued_id(account)}
    accepted = {
        fields["certificatePem"] for kind, fields in account.answers.sent if kind == "accepted"
    }
    if key == "a":
        assert len(accepted) == 1
    assert code(account.answers.sent[-1]) in ("accepted", "busy")
    end_and_rotate_again(device)


@pytest.mark.parametrize("at", range(len(calls_of_a_creation())))
@pytest.mark.parametrize("status", ["CANCELED", "TIMED_OUT", "FAILED"])
def test_job_ends_in_the_midst(at: int, status: str) -> None:
    """The job's end in the midst of a creation: what is being made does not outlive it."""
    account = Account()
    device = Device(account)
    ended = Ended.of(ended_event(status))
    assert ended is not None
    has_ended = False

    def end(_name: str, _number: int) -> None:
        nonlocal has_ended
        if len(account.calls) == at + 1 and not has_ended:
            has_ended = True
            account.end()
            try:
                finish(account.cloud, ended)
            except StillIssuing:
                return

    account.disturb(end)
    device.create(account.old)
    account.disturb()
    device.deliver(ended_event(status))  # Lambda's retry, or one event more
    assert account.registry.active() == {account.old}
    assert len(account.registry.certificates) == 1
    assert len(account.notices.told) == 1
    assert device.dead_letters == []
    end_and_rotate_again(device)


@pytest.mark.parametrize("at", range(len(calls_of_a_creation())))
@pytest.mark.parametrize("is_done", [False, True])
def test_process_dies(at: int, is_done: bool) -> None:
    """A function that is killed before or after any call leaves nothing that is not undone."""
    account = Account()
    device = Device(account)

    def die(_name: str, _number: int) -> None:
        if len(account.calls) == at + 1:
            raise KeyboardInterrupt

    account.disturb(quiet, die) if is_done else account.disturb(die)
    with pytest.raises(KeyboardInterrupt):
        answer_create(account.cloud, create_event(account.old))
    account.disturb()
    account.clock.sleep(70)
    end_and_rotate_again(device)
