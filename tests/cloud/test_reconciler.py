"""What the reconciler finds, repairs and leaves: rotations that are not where they should be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab.fleet.account import RUNNING
from lab.fleet.disturbance import failing
from lab.fleet.registry import SHARED, THING
from rotation_cloud.ports import Ending
from rotation_cloud.records import State
from tests.cloud.device import Device, code, issued_id
from tests.cloud.reconciling import (
    DAY,
    HOUR,
    arn,
    end_unheard,
    half_made,
    heard,
    look,
    only,
    record_of,
    rotating,
    said,
)

ENDS = ("SUCCEEDED", "FAILED", "REJECTED", "TIMED_OUT", "CANCELED", "REMOVED")


def test_nothing_to_find() -> None:
    """A fleet in order: nothing is found, nothing written, nobody told."""
    account, device, _, new = rotating(committed=True)
    device.end("SUCCEEDED")
    heard(account, new)
    account.clock.sleep(2 * HOUR)
    account.disturb()
    account.audit.events.clear()
    report = look(account)
    assert report.findings == []
    assert (report.examined, report.things, report.certificates) == (1, 1, 1)
    changing = ("write", "tell", "switch", "start", "deactivate", "delete")
    assert [call for call in account.calls if call.endswith(changing)] == []
    assert account.audit.events == []


@pytest.mark.parametrize("status", ENDS)
@pytest.mark.parametrize("committed", [True, False])
def test_event_that_never_came(committed: bool, status: str) -> None:
    """A job whose end nobody heard is finished as its event would have finished it."""
    account, _, old, new = rotating(committed)
    end_unheard(account, status)
    account.clock.sleep(2 * HOUR)
    report = look(account)
    assert said(report) == [("unfinished", THING, "repaired")]
    assert account.registry.active() == {new if committed else old}
    assert record_of(account).state is State.DONE
    assert bool(account.notices.told) == (status != "SUCCEEDED")
    assert [one.activity.value for one in account.audit.events][-1:] == ["registry-repaired"]
    assert look(account).findings == []


def test_repair_that_fails_is_recorded() -> None:
    """Whoever watches hears of a repair that AWS did not do as well."""
    account, _, _, _ = rotating(committed=True)
    end_unheard(account, "SUCCEEDED")
    account.clock.sleep(2 * HOUR)
    account.disturb(failing("registry.deactivate"))
    assert said(look(account)) == [("unfinished", THING, "failed")]
    event = account.audit.events[-1]
    assert (event.activity.value, event.succeeded) == ("registry-repaired", False)


@pytest.mark.parametrize("uses_new", [True, False])
@pytest.mark.parametrize("committed", [True, False])
@pytest.mark.parametrize("status", ["SUCCEEDED", "FAILED"])
def test_the_devices_own_word_is_fetched(status: str, committed: bool, uses_new: bool) -> None:
    """What the device said at its job's end counts, though its event was lost."""
    account, _, old, new = rotating(committed)
    used = new if uses_new else old
    end_unheard(account, status, certificateId=used, reason="probe-refused")
    account.clock.sleep(2 * HOUR)
    look(account)
    assert account.registry.active() == {used}
    if status == "FAILED":
        assert account.notices.told[0]["reason"] == "probe-refused"


@pytest.mark.parametrize("committed", [True, False])
def test_job_that_is_gone(committed: bool) -> None:
    """Of a job that was deleted nothing is known: the commit decides."""
    account, _, old, new = rotating(committed)
    del account.jobs.executions[THING, "job-1"]
    account.clock.sleep(2 * HOUR)
    assert said(look(account)) == [("unfinished", THING, "repaired")]
    assert account.registry.active() == {new if committed else old}


def test_earlier_run_of_a_job_that_runs_again() -> None:
    """The first run's event was lost, and the job is on its way again: that run is finished."""
    account, _, old, new = rotating()
    account.jobs.executions[THING, "job-1"] = replace(RUNNING, identity="2@200", number=2)
    account.jobs.earlier[THING, "job-1", 1] = Ending("TIMED_OUT", {}, account.clock.now())
    account.clock.sleep(2 * HOUR)
    assert said(look(account)) == [("unfinished", THING, "repaired")]
    assert account.registry.active() == {old}
    assert new not in account.registry.active()


def test_end_that_nobody_was_told_of() -> None:
    """A failure whose notice was lost is told after all, once."""
    account, device, old, _ = rotating()
    account.disturb(failing("notices.tell"))
    device.end("FAILED", certificateId=old, reason="probe-refused")
    assert device.dead_letters
    account.disturb()
    end_unheard(account, "FAILED", reason="probe-refused")
    account.clock.sleep(2 * HOUR)
    assert said(look(account)) == [("unfinished", THING, "repaired")]
    assert [one["reason"] for one in account.notices.told] == ["probe-refused"]
    assert look(account).findings == []


def test_what_is_young_is_left_alone() -> None:
    """An event may be on its way for a while: neither the job's end nor its start is old yet."""
    account, _, old, new = rotating(committed=True)
    account.clock.sleep(2 * HOUR)
    end_unheard(account, "SUCCEEDED")
    assert look(account).findings == []
    account, _, old, new = rotating(committed=True)
    del account.jobs.executions[THING, "job-1"]
    assert look(account).findings == []
    assert account.registry.active() == {old, new}


@pytest.mark.parametrize("committed", [True, False])
def test_device_that_says_otherwise(committed: bool) -> None:
    """A device that says after its job's end that it uses what would go: it is left."""
    account, _, old, new = rotating(committed)
    end_unheard(account, "TIMED_OUT")
    account.clock.sleep(2 * HOUR)
    heard(account, old if committed else new)
    finding = only(look(account))
    assert (finding.kind.value, finding.result.value) == ("unfinished", "left")
    assert "used this one" in finding.detail
    assert account.registry.active() == {old, new}


def test_device_that_says_otherwise_and_is_shut_out() -> None:
    """Also an INACTIVE certificate is not removed if the device says that it uses it: whoever
    switched it off may switch it on again."""
    account, _, old, new = rotating()
    end_unheard(account, "TIMED_OUT")
    account.registry.certificates[arn(new)].is_active = False
    account.clock.sleep(2 * HOUR)
    heard(account, new)
    assert ("unfinished", THING, "left") in said(look(account))
    assert set(account.registry.certificates) == {arn(old), arn(new)}


def test_old_word_of_the_device_does_not_count() -> None:
    """What the device said before its rotation ended is overtaken by that end."""
    account, _, old, new = rotating(committed=True)
    heard(account, old)
    account.clock.sleep(60)
    end_unheard(account, "SUCCEEDED")
    account.clock.sleep(2 * HOUR)
    assert said(look(account)) == [("unfinished", THING, "repaired")]
    assert account.registry.active() == {new}


@pytest.mark.parametrize("damage", ["inactive", "detached", "gone"])
@pytest.mark.parametrize("committed", [True, False])
def test_never_the_last_one(committed: bool, damage: str) -> None:
    """The one that is to stay opens nothing: the other one is not removed, and people hear."""
    account, _, old, new = rotating(committed)
    stays, goes = (new, old) if committed else (old, new)
    end_unheard(account, "TIMED_OUT")
    if damage == "inactive":
        account.registry.certificates[arn(stays)].is_active = False
    elif damage == "detached":
        account.registry.certificates[arn(stays)].things.clear()
    else:
        del account.registry.certificates[arn(stays)]
    account.clock.sleep(2 * HOUR)
    finding = only(look(account))
    assert (finding.kind.value, finding.result.value) == ("unfinished", "left")
    assert stays in finding.detail
    assert goes in account.registry.active()
    assert record_of(account).state in (State.ISSUED, State.COMMITTED)


def test_earlier_rotation_that_was_left_holds_the_later_one() -> None:
    """finish.py finishes earlier ones too: so none is finished behind one that was left."""
    account, device, old, first = rotating()
    account.jobs.executions[THING, "job-2"] = RUNNING
    account.clock.sleep(1)
    device.create(old, "job-2", "b")
    second = issued_id(account, "job-2")
    end_unheard(account, "TIMED_OUT")
    end_unheard(account, "TIMED_OUT", "job-2")
    account.clock.sleep(2 * HOUR)
    heard(account, first)
    assert said(look(account)) == [("unfinished", THING, "left")] * 2
    assert account.registry.active() == {old, first, second}


def test_never_what_another_thing_has_too() -> None:
    """A new certificate that somebody gave to another thing as well is not removed."""
    account, _, old, new = rotating()
    account.registry.certificates[arn(new)].things["press-8"] = SHARED
    end_unheard(account, "TIMED_OUT")
    account.clock.sleep(2 * HOUR)
    finding = only(look(account))
    assert (finding.result.value, "another thing" in finding.detail) == ("left", True)
    assert account.registry.active() == {old, new}


def test_retiring_that_stopped_half_way() -> None:
    """A clean-up that failed until its event was given up goes on."""
    account, device, _, new = rotating(committed=True)
    account.disturb(failing("registry.delete"))
    device.end("SUCCEEDED")
    assert device.dead_letters
    account.disturb()
    account.clock.sleep(2 * HOUR)
    assert said(look(account)) == [("unfinished", THING, "repaired")]
    assert set(account.registry.certificates) == {arn(new)}
    assert look(account).findings == []


@pytest.mark.parametrize("in_doubt", [False, True], ids=["known", "by-its-key"])
@pytest.mark.parametrize("state", [State.UNDOING, State.ISSUING])
def test_half_made(state: State, in_doubt: bool) -> None:
    """What a creation left is taken back while the job runs on, and the device may ask again."""
    account = half_made(state, in_doubt)
    assert look(account).findings == []
    account.clock.sleep(2 * HOUR)
    assert said(look(account)) == [("half-made", THING, "repaired")]
    assert account.registry.active() == {account.old}
    assert look(account).findings == []
    device = Device(account)
    assert code(device.create(account.old)) == "accepted"
    device.commit(issued_id(account))
    device.end("SUCCEEDED")
    assert account.registry.active() == {issued_id(account)}


def test_half_made_is_left_while_the_device_uses_it() -> None:
    """Whatever a record says: what the device says that it uses is not taken back."""
    account = half_made(State.UNDOING, in_doubt=False)
    account.clock.sleep(2 * HOUR)
    new = issued_id(account)
    heard(account, new)
    assert said(look(account)) == [("half-made", THING, "left")]
    assert account.registry.active() == {account.old, new}


def test_lease_is_respected() -> None:
    """Whoever works on a record, for however long, is not disturbed."""
    account = half_made(State.ISSUING, in_doubt=False)
    record = record_of(account)
    account.clock.sleep(2 * HOUR)
    account.records.write(replace(record, lease=int(account.clock.now()) + 60))
    assert look(account).findings == []


@pytest.mark.parametrize("committed", [True, False])
@pytest.mark.parametrize("damage", ["inactive", "gone"])
def test_certificate_of_a_running_rotation_is_gone(damage: str, committed: bool) -> None:
    """The certificate that a rotation is about opens nothing: people hear of it at once."""
    account, _, _, new = rotating(committed)
    if damage == "inactive":
        account.registry.certificates[arn(new)].is_active = False
    else:
        del account.registry.certificates[arn(new)]
    finding = only(look(account))
    assert (finding.kind.value, finding.result.value) == ("not-active", "left")
    assert (finding.job_id, finding.certificate_id) == ("job-1", new)


def test_rotation_without_end() -> None:
    """A rotation that is under way for days is told, and not touched."""
    account, _, old, new = rotating()
    account.clock.sleep(DAY)
    assert look(account).findings == []
    account.clock.sleep(2 * DAY)
    assert said(look(account)) == [("stalled", THING, "left")]
    assert account.registry.active() == {old, new}
