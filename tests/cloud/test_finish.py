"""The end of a job: which certificate goes, that it goes for good, and who hears of it."""

from __future__ import annotations

from typing import Any

import pytest

from lab.fleet.account import RUNNING, Account
from lab.fleet.disturbance import failing
from lab.fleet.registry import BASE, EXCLUSIVE, SHARED, THING
from rotation_cloud.finish import Ended
from rotation_cloud.ports import AwsError
from rotation_cloud.records import State
from rotation_protocol.fields import WireError
from tests.cloud.device import Device, ended_event, issued_id

pytestmark = pytest.mark.usefixtures("with_and_without_grace")

ENDS = ("SUCCEEDED", "FAILED", "REJECTED", "TIMED_OUT", "CANCELED", "REMOVED")
FAILURES = ENDS[1:]


def rotating(committed: bool = False, attachment: str = SHARED) -> tuple[Account, Device, str, str]:
    """An account with a certificate issued, its device, the old id and the new one."""
    account = Account(attachment)
    device = Device(account)
    device.create(account.old)
    new = issued_id(account)
    if committed:
        device.commit(new)
    return account, device, account.old, new


@pytest.mark.parametrize("status", ENDS)
@pytest.mark.parametrize("attachment", [SHARED, EXCLUSIVE])
@pytest.mark.parametrize("committed", [True, False])
def test_the_commit_decides(committed: bool, attachment: str, status: str) -> None:
    """Committed, the old certificate goes; else the new one; and it is deleted altogether."""
    account, device, old, new = rotating(committed, attachment)
    device.end(status)
    assert account.registry.active() == {new if committed else old}
    assert len(account.registry.certificates) == 1
    record = account.records.items[THING, "job-1"]
    assert record.state is State.DONE
    assert record.expires_at > account.clock.now()


@pytest.mark.parametrize("status", ["SUCCEEDED", "FAILED"])
@pytest.mark.parametrize("uses_new", [True, False])
@pytest.mark.parametrize("committed", [True, False])
def test_device_is_believed(committed: bool, uses_new: bool, status: str) -> None:
    """A device that ends its job says which certificate it uses, and that one stays."""
    account, device, old, new = rotating(committed)
    used = new if uses_new else old
    device.end(status, certificateId=used)
    assert account.registry.active() == {used}


@pytest.mark.parametrize("status", ["TIMED_OUT", "CANCELED", "REMOVED", "REJECTED"])
@pytest.mark.parametrize("committed", [True, False])
def test_old_details_are_not_believed(committed: bool, status: str) -> None:
    """An end that the device did not make has the details of an earlier update: no evidence."""
    account, device, old, new = rotating(committed)
    device.end(status, certificateId=old if committed else new)
    assert account.registry.active() == {new if committed else old}


def test_unknown_certificate_is_no_evidence() -> None:
    """A third certificate in the details leaves the decision to the commit."""
    account, device, old, _ = rotating()
    device.end("FAILED", certificateId="f" * 64)
    assert account.registry.active() == {old}


def test_redelivery_in_any_order() -> None:
    """Further events of the ended job, the same or contradicting ones, change nothing more."""
    account, device, _, new = rotating(committed=True)
    for status in ("SUCCEEDED", "SUCCEEDED", "FAILED", "TIMED_OUT"):
        device.end(status)
    device.deliver(ended_event("SUCCEEDED", operation="deleted"))
    assert account.registry.active() == {new}
    assert account.notices.told == []


@pytest.mark.parametrize("status", FAILURES)
def test_failure_is_told_once(status: str) -> None:
    """People hear of a failed rotation once, with reason, detail, and what to do."""
    account, device, old, _ = rotating()
    for _ in range(3):
        device.end(status, reason="probe-refused", detail="why", certificateId=old)
    (told,) = account.notices.told
    assert told["thingName"] == THING
    assert (told["jobId"], told["status"]) == ("job-1", status)
    assert (told["reason"], told["detail"]) == ("probe-refused", "why")


def test_reason_of_the_peer_is_told() -> None:
    """The peer's devices name their reason otherwise."""
    account, device, _, _ = rotating()
    device.end("FAILED", DeviceFailureReason="no backup")
    assert account.notices.told[0]["reason"] == "no backup"


@pytest.mark.parametrize("status", FAILURES)
def test_failure_before_anything_was_issued(status: str) -> None:
    """A job that ends before a certificate was asked for is told, once, and nothing goes."""
    account = Account()
    device = Device(account)
    device.end(status)
    device.end(status)
    assert account.registry.active() == {account.old}
    assert len(account.notices.told) == 1
    device.create(account.old)
    assert account.registry.active() == {account.old}


def test_success_and_deletion_of_unknown_jobs_are_quiet() -> None:
    """Success without a record, or the removal of an old job, concerns nobody."""
    account = Account()
    device = Device(account)
    device.end("SUCCEEDED")
    device.deliver(ended_event("FAILED", "job-0", operation="deleted"))
    assert account.notices.told == []


def test_job_deleted_under_way() -> None:
    """A job that is deleted while its certificate is out ends like any other."""
    account, device, old, _ = rotating()
    account.end()
    device.deliver(ended_event("IN_PROGRESS", operation="deleted"))
    assert account.registry.active() == {old}
    assert account.notices.told[0]["status"] == "DELETED"


@pytest.mark.parametrize("status", ["QUEUED", "IN_PROGRESS"])
def test_other_events_end_nothing(status: str) -> None:
    """An event of a job that goes on is none."""
    assert Ended.of(ended_event(status)) is None


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"thingArn": None}, "thingArn"),
        ({"thingArn": f"{BASE}:cert/x"}, "thingArn"),
        ({"jobId": None}, "jobId"),
        ({"status": 7}, "status"),
        ({"statusDetails": []}, "statusDetails"),
    ],
)
def test_event_that_is_none(changed: dict[str, Any], named: str) -> None:
    """An event that cannot be understood is an error that names the field."""
    with pytest.raises(WireError, match=named):
        Ended.of({**ended_event("FAILED"), **changed})


def test_slow_detachment_is_waited_for() -> None:
    """Detaching takes a while: the deletion is tried again, within the same invocation."""
    account, device, _, new = rotating(committed=True)
    account.registry.lag = 20.0
    device.end("SUCCEEDED")
    assert account.registry.active() == {new}
    assert len(account.registry.certificates) == 1
    assert device.dead_letters == []


def test_policy_attached_meanwhile_is_detached() -> None:
    """A policy that an operator attached during the rotation does not hold the certificate."""
    account, device, old, _ = rotating(committed=True)
    account.registry.certificates[f"{BASE}:cert/{old}"].policies.add("later")
    device.end("SUCCEEDED")
    assert len(account.registry.certificates) == 1


def test_certificate_removed_by_hand() -> None:
    """A certificate that is gone already is no error."""
    account, device, old, new = rotating(committed=True)
    del account.registry.certificates[f"{BASE}:cert/{old}"]
    device.end("SUCCEEDED")
    assert account.registry.active() == {new}
    assert device.dead_letters == []


def test_shared_certificate_stays() -> None:
    """A certificate that other things use too is only detached, and people are told."""
    account, device, old, new = rotating(committed=True)
    account.registry.certificates[f"{BASE}:cert/{old}"].things["press-8"] = SHARED
    device.end("SUCCEEDED")
    assert account.registry.active() == {old, new}
    assert set(account.registry.principals(THING)) == {f"{BASE}:cert/{new}"}
    assert account.notices.told[0]["status"] == "CERTIFICATE_SHARED"


def test_lost_event_is_made_up_for() -> None:
    """A job whose end nobody heard is finished with the next one."""
    account, device, old, first = rotating(committed=True)
    account.end("job-1")
    account.jobs.executions[THING, "job-2"] = RUNNING
    account.clock.sleep(3600)
    device.create(first, "job-2", "b")
    second = issued_id(account, "job-2")
    device.commit(second, "job-2")
    assert account.registry.active() == {old, first, second}
    device.end("SUCCEEDED", "job-2")
    assert account.registry.active() == {second}
    assert account.notices.told == []


def test_job_that_goes_on_is_left_alone() -> None:
    """The end of a job does not end another that is still in progress."""
    account, device, old, first = rotating()
    account.jobs.executions[THING, "job-2"] = RUNNING
    account.clock.sleep(1)
    device.create(old, "job-2", "b")
    device.end("FAILED", "job-2")
    assert account.registry.active() == {old, first}


def test_late_event_of_an_older_job_waits_for_a_newer_one() -> None:
    """A newer job's own event is waited for: it says which certificate the device uses."""
    account, device, old, _ = rotating()
    account.jobs.executions[THING, "job-2"] = RUNNING
    account.clock.sleep(1)
    device.create(old, "job-2", "b")
    used = issued_id(account, "job-2")
    account.end("job-2")
    device.end("FAILED", "job-1")
    assert used in account.registry.active()
    device.end("FAILED", "job-2", certificateId=used)
    assert account.registry.active() == {used}


def test_undone_attempt_that_stayed_goes_with_the_job() -> None:
    """What could not be taken back when the creation failed goes when the job ends."""
    account = Account()
    device = Device(account)

    def both(name: str, _number: int) -> None:
        if name in ("registry.attach_thing", "registry.delete"):
            raise AwsError(name)

    account.disturb(both)
    device.create(account.old)
    assert len(account.registry.certificates) == 2
    assert "could not be removed" in account.notices.told[0]["whatToDo"]
    account.disturb()
    device.end("FAILED")
    assert len(account.registry.certificates) == 1
    assert account.registry.active() == {account.old}


CALLS = (
    *("records.get", "records.write", "records.of_thing", "registry.deactivate"),
    *("registry.detach_policy", "registry.detach_thing", "registry.delete", "registry.things"),
    *("notices.tell", "documents.get", "workflows.start", "registry.is_active"),
)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("lost", [False, True], ids=["failed", "lost"])
@pytest.mark.parametrize("committed", [True, False])
def test_one_failed_call_is_made_up_for(
    committed: bool, lost: bool, number: int, call: str
) -> None:
    """Each call that fails once, done or not, is made up for by Lambda's retry."""
    account, device, old, new = rotating(committed)
    fault = failing(call, range(number, number + 1))
    account.disturb(after=fault) if lost else account.disturb(fault)
    device.end("TIMED_OUT")
    assert account.registry.active() == {new if committed else old}
    assert len(account.registry.certificates) == 1
    assert account.records.items[THING, "job-1"].state is State.DONE
    assert account.notices.told
    assert device.dead_letters == []


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("committed", [True, False])
def test_call_that_fails_for_good(committed: bool, call: str) -> None:
    """The event becomes a dead letter, the kept certificate stays, and it can be served later."""
    account, device, old, new = rotating(committed)
    kept = new if committed else old
    account.disturb(failing(call))
    device.end("TIMED_OUT")
    assert kept in account.registry.active()
    assert device.dead_letters or account.registry.active() == {kept}
    account.disturb()
    device.end("TIMED_OUT")
    assert account.registry.active() == {kept}
    assert len(account.registry.certificates) == 1
    assert account.notices.told
