"""What the reconciler finds, repairs and leaves: rotations that are not where they should be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rotation_cloud.ports import Ending
from rotation_cloud.records import Record, State, Which
from tests.cloud.account import BASE, RUNNING, SHARED, THING, Account
from tests.cloud.device import Device, code, issued_id
from tests.cloud.disturbance import failing
from tests.cloud.reconciling import (
    DAY,
    HOUR,
    arn,
    end_unheard,
    heard,
    look,
    only,
    rotating,
    said,
)

ENDS = ("SUCCEEDED", "FAILED", "REJECTED", "TIMED_OUT", "CANCELED", "REMOVED")


def record_of(account: Account, job: str = "job-1") -> Record:
    return account.records.items[THING, job]


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


def half_made(state: State, in_doubt: bool) -> Account:
    """A creation that could not be undone, of a job that runs; its record ``state``."""
    account = Account()
    device = Device(account)
    if in_doubt:  # made, the answer lost; looking for it fails too
        account.disturb(failing("registry.stray"), failing("issuer.issue", range(1, 2)))
    else:

        def both(name: str, number: int) -> None:
            failing("registry.attach_thing")(name, number)
            failing("registry.deactivate")(name, number)

        account.disturb(both)
    device.create(account.old)
    account.disturb()
    assert len(account.registry.active()) == 2
    record = record_of(account)
    assert record.state is State.UNDOING
    if state is State.ISSUING:  # as if the function had died before it could write that
        lease = int(account.clock.now()) + 60
        account.records.write(replace(record, state=State.ISSUING, lease=lease))
    account.notices.told.clear()
    return account


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


def finished(retire: Which) -> tuple[Account, Device, str, str]:
    """A rotation that is finished, and both certificates are there all the same."""
    account, device, old, new = rotating(committed=retire is Which.OLD)
    before = dict(account.registry.certificates)
    device.end("SUCCEEDED" if retire is Which.OLD else "TIMED_OUT")
    account.notices.told.clear()
    (kept,) = account.registry.certificates
    account.registry.certificates = {**before, kept: account.registry.certificates[kept]}
    left = account.registry.certificates[arn(old if retire is Which.OLD else new)]
    left.is_active = True
    left.things, left.policies = {THING: SHARED}, {"core"}
    account.clock.sleep(2 * HOUR)
    return account, device, old, new


@pytest.mark.parametrize("attached", [True, False])
def test_leftover(attached: bool) -> None:
    """A certificate that CertKeeper issued and a rotation decided against is removed."""
    account, _, old, new = finished(Which.NEW)
    if not attached:
        account.registry.certificates[arn(new)].things.clear()
    assert said(look(account)) == [("leftover", THING, "repaired")]
    assert set(account.registry.certificates) == {arn(old)}
    assert account.notices.told == []
    assert look(account).findings == []


def test_leftover_that_somebody_else_issued() -> None:
    """A certificate that CertKeeper did not issue is not removed after its rotation."""
    account, _, old, new = finished(Which.OLD)
    found = said(look(account))
    assert found == [("leftover", THING, "left"), ("two-certificates", THING, "left")]
    assert account.registry.active() == {old, new}


def test_leftover_in_use() -> None:
    """A device that says that it uses it keeps it."""
    account, _, old, new = finished(Which.NEW)
    heard(account, new)
    assert said(look(account)) == [("two-certificates", THING, "left")]
    assert account.registry.active() == {old, new}


@pytest.mark.parametrize("damage", ["inactive", "detached"])
def test_leftover_that_is_the_last_one(damage: str) -> None:
    """It stays as long as the other one opens nothing."""
    account, _, old, new = finished(Which.NEW)
    kept = account.registry.certificates[arn(old)]
    kept.is_active = damage != "inactive"
    if damage == "detached":
        kept.things.clear()
    assert ("leftover", THING, "left") in said(look(account))
    assert new in account.registry.active()


def test_leftover_on_another_thing() -> None:
    """A certificate that another thing uses too was told of when that was found out."""
    account, _, old, new = finished(Which.NEW)
    account.registry.certificates[arn(new)].things = {"press-8": SHARED}
    assert look(account).findings == []
    assert account.registry.active() == {old, new}


def test_leftover_that_a_later_rotation_uses() -> None:
    """The last rotation that names a certificate has the say."""
    account, _, old, new = finished(Which.NEW)
    later = Record(
        THING,
        "job-2",
        State.COMMITTED,
        account_arn=BASE,
        old=old,
        new=new,
        execution="1@100",
        started=int(account.clock.now()),
    )
    account.records.write(later)
    account.jobs.executions[THING, "job-2"] = RUNNING
    assert look(account).findings == []
    assert account.registry.active() == {old, new}


@pytest.mark.parametrize("how", ["thing deleted", "detached"])
def test_orphan(how: str) -> None:
    """What the device was given, ACTIVE and attached to nothing: told, and not touched."""
    account, device, _, new = rotating(committed=True)
    device.end("SUCCEEDED")
    account.registry.certificates[arn(new)].things.clear()
    if how == "thing deleted":
        account.registry.deleted_things.add(THING)
    account.clock.sleep(2 * HOUR)
    finding, *others = look(account).findings
    assert (finding.kind.value, finding.result.value) == ("orphan", "left")
    assert finding.certificate_id == new
    assert [one.kind.value for one in others] == ["thing-gone"] * (how == "thing deleted")
    assert account.registry.active() == {new}
    account.registry.certificates[arn(new)].things["press-8"] = SHARED
    assert look(account).findings == []


def test_what_was_finished_just_now_is_left_alone() -> None:
    """The list of certificates may lag behind a rotation's end."""
    account, _, old, new = finished(Which.NEW)
    record = record_of(account)
    just_now = record.finished(account.clock.now() - HOUR / 2)
    account.records.write(replace(just_now, version=record.version))
    assert said(look(account)) == [("two-certificates", THING, "left")]
    assert account.registry.active() == {old, new}


def test_leftover_behind_a_rotation_that_was_left() -> None:
    """finish.py finishes what is earlier: so nothing is while an earlier rotation was left."""
    account, _, old, new = finished(Which.NEW)
    stuck = account.registry.add("stuck")
    record = record_of(account)
    account.records.write(
        replace(
            record,
            job_id="job-0",
            state=State.COMMITTED,
            retire=None,
            old=stuck,
            new="f" * 64,  # gone, so that it is left
            started=record.started - 1,
            version=0,
        )
    )
    assert [result for _, _, result in said(look(account))] == ["left", "left"]
    assert {old, new, stuck} == account.registry.active()


def test_certificate_given_by_hand() -> None:
    """A device that never spoke, and was given another certificate by hand, is in order."""
    account, device, _, new = rotating(committed=True)
    device.end("SUCCEEDED")
    account.registry.add("by hand")
    del account.registry.certificates[arn(new)]
    account.clock.sleep(2 * HOUR)
    assert look(account).findings == []


def with_a_stray(key: str = "") -> tuple[Account, str]:
    """A finished rotation that is unsure, and a certificate with the key that was asked for (or
    this one), attached to nothing."""
    account, device, _, _ = rotating(committed=True)
    device.end("SUCCEEDED")
    record = record_of(account)
    account.records.write(replace(record, unsure=True, told=True, superseded=("earlier key",)))
    account.clock.sleep(60)
    made = account.registry.register(key or record.public_key)
    account.clock.sleep(2 * HOUR)
    return account, made


@pytest.mark.parametrize("key", ["", "earlier key"])
def test_stray_of_a_key_that_was_given_up(key: str) -> None:
    """The keys that a device asked for before are looked for as well."""
    account, made = with_a_stray(key)
    assert said(look(account)) == [("stray", THING, "repaired")]
    assert made not in account.registry.certificates


@pytest.mark.parametrize("created", ["long before", "long after", "just now"])
def test_stray_of_another_time(created: str) -> None:
    """A certificate that was not made then, or may be on its way, is none."""
    account, made = with_a_stray()
    now = account.clock.now()
    times = {"long before": now - 3 * HOUR, "long after": now + 2 * DAY, "just now": now - 60}
    account.registry.certificates[made].created = times[created]
    if created == "long after":
        account.clock.sleep(3 * DAY)
    assert look(account).findings == []
    assert made in account.registry.certificates


def test_stray_while_a_rotation_is_under_way() -> None:
    """A later rotation may ask with the same key: until it is over nothing is looked for."""
    account, made = with_a_stray()
    running = replace(record_of(account), job_id="job-2", state=State.ISSUED, version=0)
    account.records.write(replace(running, unsure=False, started=int(account.clock.now())))
    account.jobs.executions[THING, "job-2"] = RUNNING
    assert look(account).findings == []
    assert made in account.registry.certificates


def test_too_many_strangers() -> None:
    """Among more unknown certificates than can be compared it may be any: people are told."""
    account, made = with_a_stray()
    when = account.registry.certificates[made].created
    for number in range(300):
        other = account.registry.register(f"another key {number}")
        account.registry.certificates[other].created = when - 1
    finding = only(look(account))
    assert (finding.kind.value, finding.result.value) == ("stray", "left")
    assert "301" in finding.detail
    assert record_of(account).unsure
    assert account.calls.count("census.public_key") == 200


def test_stray() -> None:
    """A certificate whose name was lost for good is found by its key, and nothing else goes."""
    account = half_made(State.UNDOING, in_doubt=True)
    foreign = account.registry.register("another key")
    used = account.registry.register(account.records.items[THING, "job-1"].public_key)
    account.registry.certificates[used].things["press-8"] = SHARED
    account.disturb(failing("registry.stray"))
    device = Device(account)
    device.end("TIMED_OUT")
    account.disturb()
    record = record_of(account)
    assert record.state is State.RETIRING
    account.records.write(replace(record.finished(account.clock.now()), told=True))
    account.clock.sleep(2 * HOUR)
    assert said(look(account)) == [("stray", THING, "repaired")]
    kept = {account.old, foreign.rpartition("/")[2], used.rpartition("/")[2]}
    assert account.registry.active() == kept
    assert not record_of(account).unsure
    assert look(account).findings == []
