"""The end of a job, told to whoever waits for it: the workflow that made it, or people."""

from __future__ import annotations

import pytest

from lab.fleet.account import Account
from lab.fleet.disturbance import failing, quiet
from lab.fleet.registry import THING
from rotation_cloud import documents, grace
from rotation_cloud.documents import Document
from rotation_cloud.grace import Outcome
from tests.cloud.device import Device, ended_event, issued_id


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Account:
    monkeypatch.setattr(Account, "grace_days", 7)
    return Account()


def awaited(account: Account, **more: object) -> Device:
    """A rotation whose job a workflow made, with its certificate committed."""
    body = {"token": "t", **more}
    account.documents.write(Document(THING, documents.workflow("job-1"), body))
    account.workflows.waiting.add("t")
    device = Device(account, is_patient=True)
    device.create(account.old)
    device.commit(issued_id(account))
    return device


@pytest.mark.parametrize("status", ["SUCCEEDED", "FAILED", "TIMED_OUT", "CANCELED"])
def test_the_workflow_is_woken(account: Account, status: str) -> None:
    """It hears of every end, once; nobody else is told, and no second one is started."""
    device = awaited(account)
    for _ in range(2):
        device.end(status, reason="r", detail="d")
    assert account.workflows.ended == [("t", {"outcome": "ended"})]
    assert account.workflows.started == {}
    assert account.notices.told == []
    known = account.documents.items[THING, documents.workflow("job-1")].body
    assert known == {"token": "t", "status": status, "reason": "r", "detail": "d"}


def test_an_end_before_anything_was_issued_wakes_it_too(account: Account) -> None:
    """A job that is deleted, or fails before its certificate, ends like any other."""
    account.documents.write(Document(THING, documents.workflow("job-9"), {"token": "t"}))
    account.workflows.waiting.add("t")
    Device(account).deliver(ended_event("QUEUED", "job-9", operation="deleted"))
    assert account.workflows.ended == [("t", {"outcome": "ended"})]


@pytest.mark.parametrize("status", ["SUCCEEDED", "TIMED_OUT"])
def test_a_workflow_that_is_gone(account: Account, status: str) -> None:
    """If it was stopped, the grace period gets another one, and people hear of a failure."""
    device = awaited(account)
    account.workflows.waiting.clear()
    device.end(status)
    assert len(account.workflows.started) == 1
    assert len(account.notices.told) == (status != "SUCCEEDED")
    device.pass_grace()
    assert account.registry.active() == {issued_id(account)}


def test_a_workflow_that_goes_on_by_itself(account: Account) -> None:
    """One that has taken the end into its own hands needs no waking, and nobody is told."""
    device = awaited(account, takenUntil=int(account.clock.now()) + 3600)
    device.end("CANCELED")
    assert (account.workflows.ended, account.workflows.started) == ([], {})
    assert account.notices.told == []


def test_a_workflow_that_died_at_it(account: Account) -> None:
    """One that took the end into its own hands long ago does nothing any more."""
    device = awaited(account, takenUntil=int(account.clock.now()))
    account.workflows.waiting.clear()
    device.end("SUCCEEDED")
    assert len(account.workflows.started) == 1


def test_a_workflow_that_has_done_with_the_job(account: Account) -> None:
    """A further run of its job is nobody's: it is treated like any other."""
    device = awaited(account, takenUntil=int(account.clock.now()) + 3600, settled=True)
    device.end("SUCCEEDED")
    assert len(account.workflows.started) == 1


WAKING = (
    *("records.get", "records.write", "documents.get", "documents.write", "workflows.end_task"),
    *("workflows.start", "records.of_thing"),
)


@pytest.mark.parametrize("call", WAKING)
@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("lost", [False, True], ids=["failed", "lost"])
@pytest.mark.parametrize("is_awaited", [True, False], ids=["workflow", "console"])
def test_waking_that_fails_once(
    account: Account, is_awaited: bool, lost: bool, number: int, call: str
) -> None:
    """Whatever fails once at the end of a job, somebody waits for the end of its grace period."""
    device = awaited(account)
    if not is_awaited:
        account.documents.items.clear()
    fault = failing(call, range(number, number + 1))
    account.disturb(quiet, fault) if lost else account.disturb(fault)
    device.end("SUCCEEDED")
    assert device.dead_letters == []
    assert account.workflows.ended or account.workflows.started
    assert is_awaited or not account.workflows.ended
    account.disturb()
    assert grace_is_closed(account)


def grace_is_closed(account: Account) -> bool:
    """As whoever waits closes it."""
    account.clock.sleep(account.cloud.grace_seconds)
    closing = grace.close(account.cloud, THING, "job-1")
    return closing.outcome is Outcome.RETIRED and account.registry.active() == {issued_id(account)}
