"""The reconciler and grace periods: left alone while they last, ended if nobody else does."""

from __future__ import annotations

import pytest

from lab.fleet.account import RUNNING, Account
from lab.fleet.disturbance import failing
from lab.fleet.registry import THING
from rotation_cloud.records import State
from tests.cloud.device import Device, issued_id
from tests.cloud.reconciling import (
    DAY,
    HOUR,
    arn,
    end_unheard,
    heard,
    look,
    only,
    said,
)

GRACE_DAYS = 7


@pytest.fixture(autouse=True)
def grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every account here has a grace period."""
    monkeypatch.setattr(Account, "grace_days", GRACE_DAYS)


def committed() -> tuple[Account, Device, str, str]:
    """A rotation that is committed, its job running; the old id and the new one."""
    account = Account()
    device = Device(account, is_patient=True)
    device.create(account.old)
    new = issued_id(account)
    device.commit(new)
    return account, device, account.old, new


def in_grace() -> tuple[Account, Device, str, str]:
    """A rotation in its grace period."""
    account, device, old, new = committed()
    device.end("SUCCEEDED", certificateId=new)
    assert account.records.items[THING, "job-1"].state is State.GRACE
    return account, device, old, new


def test_grace_period_is_left_alone() -> None:
    """While it lasts, and a little longer, two certificates are as they should be."""
    account, _, old, new = in_grace()
    for _ in range(GRACE_DAYS):
        account.clock.sleep(DAY)
        assert look(account).findings == []
    assert account.registry.active() == {old, new}


def test_grace_period_that_nobody_ends() -> None:
    """Its workflow is gone: an hour after its end the old certificate goes."""
    account, _, _, new = in_grace()
    account.clock.sleep(GRACE_DAYS * DAY + 2 * HOUR)
    assert said(look(account)) == [("unfinished", THING, "repaired")]
    assert account.registry.active() == {new}
    assert account.records.items[THING, "job-1"].state is State.DONE
    assert look(account).findings == []


@pytest.mark.parametrize("how", ["by its word", "by its connection"])
def test_device_that_has_gone_back(how: str) -> None:
    """A device that came back with its old pair keeps it, whatever the record says."""
    account, _, old, new = in_grace()
    account.clock.sleep(GRACE_DAYS * DAY + 2 * HOUR)
    if how == "by its word":
        heard(account, old, principal="")
    else:
        heard(account, new, principal=old)
    finding = only(look(account))
    assert (finding.kind.value, finding.result.value) == ("unfinished", "left")
    assert account.registry.active() == {old, new}


@pytest.mark.parametrize("days", [1, GRACE_DAYS + 1])
def test_certificate_that_stays_opens_nothing(days: int) -> None:
    """The new certificate is switched off in its grace period: told, and the old one stays."""
    account, _, old, new = in_grace()
    account.registry.certificates[arn(new)].is_active = False
    account.clock.sleep(days * DAY)
    finding = only(look(account))
    assert (finding.kind.value, finding.certificate_id) == ("not-active", new)
    assert account.registry.active() == {old}


def test_lost_event_begins_the_grace_period() -> None:
    """A job whose event was lost gets the grace period that it would have had."""
    account, _, old, new = committed()
    end_unheard(account, "SUCCEEDED", certificateId=new)
    account.clock.sleep(2 * HOUR)
    assert said(look(account)) == [("unfinished", THING, "repaired")]
    assert account.registry.active() == {old, new}
    assert [one["stage"] for one in account.workflows.started.values()] == ["grace"]
    account.clock.sleep(DAY)
    assert look(account).findings == []


def test_grace_period_that_nobody_was_told_of() -> None:
    """The function died before it could start the workflow for it: that is started now."""
    account, device, _, new = committed()
    account.disturb(failing("workflows.start"))
    device.end("SUCCEEDED", certificateId=new)
    assert device.dead_letters
    account.disturb()
    account.clock.sleep(2 * HOUR)
    assert said(look(account)) == [("unfinished", THING, "repaired")]
    assert [one["stage"] for one in account.workflows.started.values()] == ["grace"]
    assert look(account).findings == []


def test_telling_of_a_later_rotation_ends_no_grace_period_in_use() -> None:
    """finish.py ends the grace periods of earlier rotations: not of one whose old certificate
    the device has gone back to."""
    account, device, old, first = in_grace()
    account.jobs.executions[THING, "job-2"] = RUNNING
    account.clock.sleep(60)
    device.create(first, "job-2", "b")
    second = issued_id(account, "job-2")
    device.commit(second, "job-2")
    end_unheard(account, "SUCCEEDED", "job-2", certificateId=second)
    account.clock.sleep(2 * HOUR)
    heard(account, old)
    finding = only(look(account))
    assert (finding.job_id, finding.result.value) == ("job-2", "left")
    assert "job-1" in finding.detail
    assert account.registry.active() == {old, first, second}
