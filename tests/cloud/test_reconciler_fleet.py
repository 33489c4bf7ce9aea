"""What the reconciler finds between rotations, how far a run goes, and what it is asked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lab.fleet.account import RUNNING, Account
from lab.fleet.disturbance import failing
from lab.fleet.registry import THING
from rotation_cloud.documents import INVENTORY, Document
from rotation_cloud.records import Record, State, Which
from tests.cloud.reconciling import (
    DAY,
    HOUR,
    arn,
    heard,
    look,
    only,
    rotating,
    said,
)


def at_rest(**body: Any) -> Account:
    """A device that was heard of; ``body`` is what its heartbeat says otherwise."""
    account = Account()
    account.jobs.executions.clear()
    heard(account, account.old, **body)
    return account


# --- between rotations --------------------------------------------------------------------------


def test_two_certificates() -> None:
    """Two ACTIVE certificates and no rotation: told, with the one that the device uses."""
    account = at_rest()
    other = account.registry.add("by hand")
    finding = only(look(account))
    assert (finding.kind.value, finding.result.value) == ("two-certificates", "left")
    assert f"{account.old} (the device's)" in finding.detail
    assert other in finding.detail
    account.registry.certificates[arn(other)].is_active = False
    assert look(account).findings == []


def test_two_certificates_of_a_rotation_under_way() -> None:
    """During a rotation two are as they should be."""
    account, _, _, _ = rotating()
    account.clock.sleep(2 * HOUR)
    assert look(account).findings == []


@pytest.mark.parametrize(
    ("late", "silent"), [(23 * HOUR, False), (24 * HOUR, False), (25 * HOUR, True)]
)
def test_silence(late: int, silent: bool) -> None:
    """A check that was announced is a day overdue: told, with the device's deadline."""
    account = at_rest(deadline=int(Account().clock.now()) + 90 * DAY)
    account.clock.sleep(DAY + late)
    report = look(account)
    assert said(report) == ([("silent", THING, "left")] if silent else [])
    if silent:
        assert "1970-04-12T13:46:40Z" in only(report).detail  # 90 days after its clock's begin


def test_silent_device_is_not_rotated() -> None:
    """Who is not heard gets no rotation either: it would only wait."""
    account = at_rest(deadline=int(Account().clock.now()) + 3 * DAY)
    account.clock.sleep(3 * DAY)
    assert said(look(account, auto_rotate_days=30)) == [("silent", THING, "left")]
    assert account.workflows.started == {}


@pytest.mark.parametrize(
    ("days", "auto", "found"),
    [
        (40, 30, []),
        (29, 30, [("due", THING, "repaired")]),
        (-1, 30, [("due", THING, "repaired")]),
        (29, 0, []),
        (6, 0, [("due", THING, "left")]),
        (-1, 0, [("due", THING, "left")]),
        (6, 3, [("due", THING, "left")]),
        (2, 3, [("due", THING, "repaired")]),
    ],
)
def test_near_its_deadline(days: int, auto: int, found: list[tuple[str, str, str]]) -> None:
    """Near its deadline with no rotation under way: one is started if it may be, else told."""
    account = at_rest(deadline=int(Account().clock.now()) + days * DAY)
    assert said(look(account, auto_rotate_days=auto)) == found
    started = [(one["thing"], one["cause"]) for one in account.workflows.started.values()]
    assert started == ([(THING, "reconciler")] if ("due", THING, "repaired") in found else [])


@pytest.mark.parametrize(("age_days", "found"), [(1, []), (13, [("due", THING, "repaired")])])
def test_near_its_deadline_with_most_of_its_life_ahead(
    age_days: int, found: list[tuple[str, str, str]]
) -> None:
    """A certificate of seven days is not replaced on its first one, nor told of."""
    account = Account()
    account.jobs.executions.clear()
    now = int(account.clock.now())
    began = now - age_days * DAY
    rotation = Record(THING, "job-1", State.DONE, old="e" * 64, new=account.old, retire=Which.OLD)
    account.records.write(replace(rotation, started=began, ended=began, told=True))
    heard(account, account.old, deadline=now + 6 * DAY)
    assert said(look(account, auto_rotate_days=30)) == found
    assert len(account.workflows.started) == len(found)


def test_near_its_deadline_with_a_job_waiting() -> None:
    """A rotation job that waits for the device is a rotation under way."""
    account = at_rest(deadline=int(Account().clock.now()) + DAY)
    account.jobs.executions[THING, "job-1"] = RUNNING
    assert look(account, auto_rotate_days=30).findings == []


def test_certificate_in_use_is_not_active() -> None:
    """What the device says that it uses opens nothing: told, and no rotation is started."""
    account = at_rest(deadline=int(Account().clock.now()) + DAY)
    account.registry.certificates[arn(account.old)].is_active = False
    finding = only(look(account, auto_rotate_days=30))
    assert (finding.kind.value, finding.result.value) == ("not-active", "left")
    assert finding.certificate_id == account.old
    assert account.workflows.started == {}


def test_heartbeat_that_a_rotation_has_overtaken() -> None:
    """Between a rotation and the next health message, the rotation has the say."""
    account, device, old, _ = rotating(committed=True)
    heard(account, old)
    account.clock.sleep(60)
    device.end("SUCCEEDED")
    account.clock.sleep(2 * HOUR)
    assert look(account).findings == []


def test_thing_that_was_deleted() -> None:
    """A device whose thing is gone is forgotten, not told of for ever."""
    account = at_rest()
    account.registry.deleted_things.add(THING)
    account.clock.sleep(5 * DAY)
    assert said(look(account)) == [("thing-gone", THING, "repaired")]
    document = account.documents.get(THING, INVENTORY)
    assert document is not None
    assert 0 < document.expires_at <= account.clock.now()
    assert look(account).findings == []


@pytest.mark.parametrize(
    "body", [{}, {"heardAt": "soon", "certificateId": 7}, {"heardAt": None, "deadline": "x"}]
)
def test_inventory_that_cannot_be_read(body: dict[str, Any]) -> None:
    """What another version wrote, or a hand, says nothing and breaks nothing."""
    account = Account()
    account.jobs.executions.clear()
    account.documents.write(Document(THING, INVENTORY, body))
    assert look(account).findings == []


@pytest.mark.parametrize("next_check", [0, 10**10])
def test_clock_of_a_device_is_wrong(next_check: int) -> None:
    """A next check that a wrong clock announced does not make a device silent, nor hide it."""
    account = at_rest(nextCheck=next_check)
    account.clock.sleep(DAY + HOUR)
    assert look(account).findings == []
    account.clock.sleep(DAY)
    assert said(look(account)) == [("silent", THING, "left")]


# --- job-execution events -----------------------------------------------------------------------


def test_job_events_are_switched_on_again() -> None:
    """They were off: on again, found once, and recorded under its own name."""
    account = at_rest()
    account.job_events.on = False
    assert said(look(account, dry_run=True)) == [("job-events-off", "", "would-be-repaired")]
    assert account.job_events.are_on() is False
    assert said(look(account)) == [("job-events-off", "", "repaired")]
    assert account.job_events.on
    assert [one.activity.value for one in account.audit.events] == ["job-events-switched-on"]
    assert look(account).findings == []


@pytest.mark.parametrize("call", ["job_events.are_on", "job_events.switch"])
def test_job_events_cannot_be_switched(call: str) -> None:
    """That AWS does not let us is told, and holds up nothing else."""
    account = at_rest()
    account.job_events.on = False
    account.disturb(failing(call))
    report = look(account)
    assert report.examined == 1
    assert only(report).result.value in ("left", "failed")
