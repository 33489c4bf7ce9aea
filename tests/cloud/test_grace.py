"""The grace period: two certificates for a while, then one; and never the one in use goes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab.fleet.account import RUNNING, Account
from lab.fleet.disturbance import failing
from lab.fleet.registry import BASE, THING
from rotation_cloud import grace
from rotation_cloud.documents import INVENTORY, Document
from rotation_cloud.grace import Closing, Objection, Outcome
from rotation_cloud.records import Record, State, Which
from rotation_cloud.security_events import Activity
from tests.cloud.device import Device, code, ended_event, issued_id

DAYS = 7


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Account:
    monkeypatch.setattr(Account, "grace_days", DAYS)
    return Account()


@pytest.fixture
def device(account: Account) -> Device:
    """Its rotation has succeeded, and the grace period has begun."""
    device = Device(account, is_patient=True)
    rotated(device)
    return device


def rotated(device: Device, job: str = "job-1", key: str = "a") -> str:
    """A rotation from the certificate in use, up to its success; the new certificate."""
    account = device.account
    new = issued(device, account.old if job == "job-1" else issued_id(account), job, key)
    assert code(device.commit(new, job)) == "accepted"
    device.end("SUCCEEDED", job, certificateId=new)
    return new


def issued(device: Device, principal: str, job: str, key: str) -> str:
    """A further job's certificate, asked for over ``principal``."""
    account = device.account
    account.clock.sleep(3600)
    account.jobs.executions[THING, job] = RUNNING
    assert code(device.create(principal, job, key)) == "accepted"
    return issued_id(account, job)


def heard(account: Account, principal: str) -> None:
    """A message of the device came over this certificate, now."""
    known = account.documents.get(THING, INVENTORY) or Document(THING, INVENTORY)
    account.clock.sleep(1)
    body = {"principal": principal, "heardAt": int(account.clock.now())}
    account.documents.write(replace(known, body=body))


def record(account: Account, job: str = "job-1") -> Record:
    return account.records.items[THING, job]


def test_both_are_active_and_then_one(account: Account, device: Device) -> None:
    """Within the grace period both certificates open the door, after it the new one does."""
    assert account.registry.active() == {account.old, issued_id(account)}
    assert record(account).state is State.GRACE
    device.pass_grace()
    assert device.closings == [Closing(Outcome.RETIRED, account.old, record(account).grace_ends)]
    assert account.registry.active() == {issued_id(account)}
    assert len(account.registry.certificates) == 1
    assert record(account).state is State.DONE
    assert account.notices.told == []


def test_a_console_made_job_gets_a_workflow_for_its_grace(account: Account, device: Device) -> None:
    """One workflow, begun at its grace stage, whatever is delivered how often."""
    for status in ("SUCCEEDED", "SUCCEEDED", "FAILED", "TIMED_OUT"):
        device.deliver(ended_event(status, at=account.clock.now() + 1, certificateId=account.old))
    device.deliver(ended_event("SUCCEEDED", operation="deleted"))
    assert list(account.workflows.started.values()) == [
        {"stage": "grace", "thing": THING, "jobId": "job-1"}
    ]
    assert account.registry.active() == {account.old, issued_id(account)}
    assert account.notices.told == []
    device.pass_grace()
    assert account.registry.active() == {issued_id(account)}


def test_too_early(account: Account, device: Device) -> None:
    """Who comes too early is told when to come again, and nothing goes."""
    ends = record(account).grace_ends
    account.clock.sleep(DAYS * 24 * 3600 - 3600)
    assert grace.close(account.cloud, THING, "job-1") == Closing(Outcome.WAITING, account.old, ends)
    assert account.registry.active() == {account.old, issued_id(account)}


@pytest.mark.parametrize("job", ["job-1", "job-2"])
def test_closing_what_has_no_grace_period(account: Account, job: str) -> None:
    """A job that goes on, or that nobody knows, is left alone."""
    device = Device(account, is_patient=True)
    device.create(account.old)
    assert grace.close(account.cloud, THING, job) == Closing(Outcome.RETIRED)
    assert account.registry.active() == {account.old, issued_id(account)}


def test_the_other_end_is_not_waited_for(account: Account) -> None:
    """A new certificate that is not kept goes at once."""
    device = Device(account, is_patient=True)
    device.create(account.old)
    device.end("FAILED", certificateId=account.old)
    assert account.registry.active() == {account.old}
    assert account.workflows.started == {}


def test_a_failure_after_the_commit(account: Account) -> None:
    """A job that timed out once its certificate was committed: told, and the old one stays."""
    device = Device(account, is_patient=True)
    device.create(account.old)
    device.commit(issued_id(account))
    device.end("TIMED_OUT")
    assert account.registry.active() == {account.old, issued_id(account)}
    assert [told["status"] for told in account.notices.told] == ["TIMED_OUT"]
    device.pass_grace()
    assert account.registry.active() == {issued_id(account)}


# -- what speaks for and against it ----------------------------------------------------------


def test_silence_is_no_objection(account: Account, device: Device) -> None:
    """A device that falls silent was last seen with the new certificate: the old one goes."""
    device.pass_grace()
    assert account.registry.active() == {issued_id(account)}


def test_message_over_the_new_certificate(account: Account, device: Device) -> None:
    """As it should be."""
    heard(account, issued_id(account))
    device.pass_grace()
    assert account.registry.active() == {issued_id(account)}


def test_message_over_the_old_certificate(account: Account, device: Device) -> None:
    """A device that was seen with the old certificate since keeps it, and it is said so."""
    heard(account, account.old)
    device.pass_grace()
    assert device.closings[-1].objection is Objection.STILL_IN_USE
    assert account.registry.active() == {account.old, issued_id(account)}
    assert account.audit.events[-1].activity is Activity.CERTIFICATE_KEPT
    heard(account, issued_id(account))
    device.pass_grace()
    assert account.registry.active() == {issued_id(account)}


def test_message_from_before_the_end(account: Account) -> None:
    """What came over the old certificate before the rotation says nothing."""
    heard(account, account.old)
    device = Device(account, is_patient=True)
    new = rotated(device)
    device.pass_grace()
    assert account.registry.active() == {new}


@pytest.mark.parametrize("gone", [True, False], ids=["deleted", "inactive"])
def test_new_certificate_that_opens_nothing(account: Account, device: Device, gone: bool) -> None:
    """If somebody switched the new certificate off, the old one is not taken as well."""
    arn = f"{BASE}:cert/{issued_id(account)}"
    if gone:
        del account.registry.certificates[arn]
    else:
        account.registry.deactivate(arn)
    device.pass_grace()
    assert device.closings[-1].objection is Objection.OTHER_NOT_ACTIVE
    assert account.registry.active() == {account.old}


@pytest.mark.parametrize(("silent_days", "asked"), [(0, 0), (2, 0), (3, 1), (7, 1)])
def test_new_certificate_that_was_heard_lately(
    account: Account, device: Device, silent_days: int, asked: int
) -> None:
    """Presence says it: AWS IoT is asked about the new certificate only if the device is silent."""
    account.clock.sleep((DAYS - silent_days) * 24 * 3600)
    heard(account, issued_id(account))
    account.clock.sleep(silent_days * 24 * 3600 - 1)
    before = account.calls.count("registry.is_active")
    assert grace.close(account.cloud, THING, "job-1").outcome is Outcome.RETIRED
    assert account.calls.count("registry.is_active") == before + asked
    assert account.registry.active() == {issued_id(account)}


# -- what comes within it --------------------------------------------------------------------


def test_repeated_commit(account: Account, device: Device) -> None:
    """A commit whose answer was lost is answered the same."""
    assert code(device.commit(issued_id(account))) == "accepted"
    assert code(device.commit(account.old)) == "other-principal"


def test_the_job_gives_no_certificate_any_more(account: Account, device: Device) -> None:
    """It has ended, over either certificate."""
    account.jobs.executions[THING, "job-1"] = RUNNING  # a status that lags behind
    for principal in (account.old, issued_id(account)):
        assert code(device.create(principal, key="b")) == "job-ended"


def test_a_later_rotation_ends_it(account: Account, device: Device) -> None:
    """Once the next rotation has succeeded, the certificate before the last is of no use."""
    first = issued_id(account)
    second = rotated(device, "job-2", "b")
    assert account.registry.active() == {first, second}
    device.pass_grace()
    assert account.registry.active() == {second}


@pytest.mark.parametrize("is_restored", [False, True])
def test_three_rotations_in_one_second(account: Account, is_restored: bool) -> None:
    """The order is known all the same: each ends the grace period of the one before it, also if
    the device went back to its first certificate in between."""
    device, uses, began = Device(account, is_patient=True), account.old, account.clock.time
    for number in (1, 2, 3):
        job = f"job-{number}"
        account.jobs.executions[THING, job] = RUNNING
        asks_with = account.old if is_restored else uses
        assert code(device.create(asks_with, job, key=str(number))) == "accepted"
        uses = issued_id(account, job)
        assert code(device.commit(uses, job)) == "accepted"
        device.end("SUCCEEDED", job, certificateId=uses)
        assert account.registry.active() == {asks_with, uses}
        account.clock.time = began


def test_a_later_rotation_that_fails(account: Account, device: Device) -> None:
    """It ends nothing: the old certificate has its time all the same."""
    first = issued_id(account)
    issued(device, first, "job-2", "b")
    device.end("FAILED", "job-2", certificateId=first)
    assert account.registry.active() == {account.old, first}
    device.pass_grace()
    assert account.registry.active() == {first}


def test_a_device_that_went_back(account: Account, device: Device) -> None:
    """A later job asks over the old certificate: it stays, and the other one goes."""
    first = issued_id(account)
    second = issued(device, account.old, "job-2", "b")
    assert record(account).retire is Which.NEW
    assert code(device.commit(first)) == "job-ended"
    device.commit(second, "job-2")
    device.end("SUCCEEDED", "job-2", certificateId=second)
    assert account.registry.active() == {account.old, second}
    device.pass_grace()
    assert account.registry.active() == {second}


def test_a_device_that_went_back_and_stays(account: Account, device: Device) -> None:
    """If that later job fails, the certificate that it came over is the one that stays."""
    issued(device, account.old, "job-2", "b")
    device.end("FAILED", "job-2", certificateId=account.old)
    device.pass_grace()
    assert account.registry.active() == {account.old}


def test_a_device_that_says_so(account: Account, device: Device) -> None:
    """A later job that fails before anything was issued still says what the device uses."""
    account.clock.sleep(60)
    device.end("FAILED", "job-2", certificateId=account.old)
    device.pass_grace()
    assert account.registry.active() == {account.old}


def test_a_device_that_said_so_before(account: Account, device: Device) -> None:
    """The event of an earlier job that comes late says nothing of what is used now."""
    device.deliver(ended_event("FAILED", "job-0", at=1, certificateId=account.old))
    device.pass_grace()
    assert account.registry.active() == {issued_id(account)}


def test_the_job_is_executed_again(account: Account, device: Device) -> None:
    """The next run of the same job ends the grace period of the one before."""
    first = issued_id(account)
    again = replace(RUNNING, identity="2@200", number=2)
    account.jobs.executions[THING, "job-1"] = again
    assert code(device.create(first, key="b")) == "accepted"
    assert account.registry.active() == {first, issued_id(account)}
    assert code(device.commit(issued_id(account))) == "accepted"
    device.end("SUCCEEDED", certificateId=issued_id(account))
    device.pass_grace()
    assert account.registry.active() == {issued_id(account)}


def test_the_job_is_executed_again_by_a_device_that_went_back(
    account: Account, device: Device
) -> None:
    """Then the other certificate goes."""
    account.jobs.executions[THING, "job-1"] = replace(RUNNING, identity="2@200", number=2)
    assert code(device.create(account.old, key="b")) == "accepted"
    assert account.registry.active() == {account.old, issued_id(account)}


def test_a_stranger_does_not_end_it(account: Account, device: Device) -> None:
    """A certificate that is not the thing's is refused before anything goes."""
    account.jobs.executions[THING, "job-1"] = replace(RUNNING, identity="2@200", number=2)
    assert code(device.create("f" * 64, key="b")) == "not-allowed"
    assert account.registry.active() == {account.old, issued_id(account)}


def test_executed_again_while_it_ends(account: Account, device: Device) -> None:
    """A period whose end died half way is ended by the next run; its victim gets nothing."""
    account.disturb(failing("registry.detach_policy"))
    device.pass_grace()
    assert record(account).state is State.RETIRING
    account.disturb()
    first = issued_id(account)
    account.jobs.executions[THING, "job-1"] = replace(RUNNING, identity="2@200", number=2)
    assert code(device.create(account.old, key="b")) == "busy"
    assert code(device.create(first, key="b")) == "accepted"
    assert account.registry.active() == {first, issued_id(account)}
