"""What the reconciler finds of rotations that are over: leftovers, strays, orphans."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab.fleet.account import RUNNING, Account
from lab.fleet.disturbance import failing
from lab.fleet.registry import BASE, SHARED, THING
from rotation_cloud.records import Record, State, Which
from tests.cloud.device import Device
from tests.cloud.reconciling import (
    DAY,
    HOUR,
    arn,
    half_made,
    heard,
    look,
    only,
    record_of,
    rotating,
    said,
)


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
