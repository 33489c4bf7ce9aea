"""The inventory knows the last of each thing: late messages, wrong clocks and strangers change
nothing in it."""

from __future__ import annotations

import datetime
import itertools
from dataclasses import replace
from typing import Any

import pytest

from lab.fleet.account import RUNNING, Account
from lab.fleet.disturbance import failing
from lab.fleet.registry import BASE, THING
from rotation_cloud import inventory
from rotation_cloud.documents import INVENTORY
from rotation_cloud.inventory import Entry
from rotation_cloud.records import Record, State, Which
from rotation_protocol.messages import Health
from rotation_protocol.reasons import DeadlineReason
from tests.cloud.device import Device, ended_event, issued_id
from tests.cloud.monitor import DAY, START, Monitor, as_in_lambda, brackets, pair, register

END = int(START.timestamp()) + 6 * DAY + DAY // 2


def test_what_a_health_message_says(account: Account, monitor: Monitor) -> None:
    """Certificate, deadline, key, component, failing checks, and when to hear of it again."""
    monitor.sends(monitor.health())
    now = int(account.clock.now())
    assert monitor.entry == Entry(
        certificate_id=monitor.principal,
        deadline=END,
        deadline_reason="not-after",
        not_after=END,
        key_algorithm="ECDSA-P256",
        state="critical",
        status="critical",
        failing_checks=("store-links",),
        waiting_alerts=1,
        runtime="lite",
        component_version="0.1.0",
        next_check=now + DAY,
        observed=now,
        principal=monitor.principal,
        heard_at=now,
        attached_seen=now,
    )
    body = account.documents.items[THING, INVENTORY].body
    assert body["certificateId"] == monitor.principal
    assert body["nextCheck"] == now + DAY
    assert "failures" not in body


def test_alert_and_health_of_one_check(account: Account, monitor: Monitor) -> None:
    """In whichever order they come, the entry is the same."""
    messages = (monitor.event(monitor.signed()), monitor.event(monitor.health()))
    entries = []
    for order in itertools.permutations(messages):
        account.documents.items.clear()
        for event in order:
            monitor.deliver(event)
        entries.append(monitor.entry)
    assert entries[0] == entries[1]
    assert entries[0].status == "critical"


def test_unverified_alert_is_not_noted(account: Account, monitor: Monitor) -> None:
    """Only what is signed, or what health says over the device's connection, is noted."""
    monitor.sends(monitor.signed(by=pair("other")))
    assert monitor.entry == Entry()


def test_late_message_changes_nothing(account: Account, monitor: Monitor) -> None:
    """Whatever the order in which three days' messages come, the last day's stands."""
    days: list[dict[str, Any]] = []
    for day in range(3):
        said = monitor.health(component_version=f"0.{day}.0")
        days.append(monitor.event(said))
        account.clock.sleep(DAY)
    for order in itertools.permutations(days):
        account.documents.items.clear()
        for event in order:
            monitor.deliver(event)
        assert monitor.entry.component_version == "0.2.0"
        assert monitor.entry.heard_at == int(START.timestamp()) + 2 * DAY


def test_message_that_waited_on_the_device(account: Account, monitor: Monitor) -> None:
    """An alert of Monday that arrives after Friday's health message is Monday's all the same."""
    waited = monitor.signed(monitor.alert(component_version="0.0.9", key_algorithm="RSA-2048"))
    account.clock.sleep(4 * DAY)
    monitor.sends(monitor.health())
    account.clock.sleep(1)
    monitor.sends(waited)
    assert monitor.entry.component_version == "0.1.0"
    assert monitor.entry.key_algorithm == "ECDSA-P256"
    assert monitor.entry.heard_at == int(account.clock.now())


def test_clock_that_was_ahead(account: Account, monitor: Monitor) -> None:
    """A message from the future counts from when it came, so the next true one replaces it."""
    ahead = monitor.now + datetime.timedelta(days=3650)
    monitor.sends(
        monitor.health(checked_at=ahead, next_check_at=ahead + datetime.timedelta(days=1))
    )
    assert monitor.entry.next_check == int(account.clock.now()) + DAY
    account.clock.sleep(DAY)
    monitor.sends(monitor.health(component_version="0.2.0"))
    assert monitor.entry.component_version == "0.2.0"


def test_clock_that_is_behind(account: Account, monitor: Monitor) -> None:
    """A device that boots in 1970 is seen, and what was known of it stays."""
    monitor.sends(monitor.health())
    account.clock.sleep(DAY)
    monitor.sends(monitor.health(checked_at=datetime.datetime(1970, 1, 2, tzinfo=datetime.UTC)))
    assert monitor.entry.observed == int(START.timestamp())
    assert monitor.entry.heard_at == int(account.clock.now())


def test_clock_that_allows_no_deadline(account: Account, monitor: Monitor) -> None:
    """The deadline of the same certificate stays known; of another one nothing is known."""
    monitor.sends(monitor.health())
    (core,) = monitor.health().certificates
    blind = replace(core, deadline=None, deadline_reason=None, key_algorithm=None)
    monitor.sends(monitor.health(certificates=(blind,)))
    assert (monitor.entry.deadline, monitor.entry.key_algorithm) == (END, "ECDSA-P256")
    monitor.sends(monitor.health(certificates=(replace(blind, certificate_id="c" * 64),)))
    assert (monitor.entry.deadline, monitor.entry.key_algorithm) == (0, "")
    assert monitor.entry.certificate_id == "c" * 64


def test_deadline_by_age(account: Account, monitor: Monitor) -> None:
    """A certificate until 2049 has the deadline that its age policy gives it."""
    (core,) = monitor.health().certificates
    until = datetime.datetime(2049, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)
    old = replace(core, not_after=until, deadline_reason=DeadlineReason.MAX_AGE)
    monitor.sends(monitor.health(certificates=(old,)))
    assert monitor.entry.not_after == int(until.timestamp())
    assert (monitor.entry.deadline, monitor.entry.deadline_reason) == (END, "max-age")


def test_certificates_beside_the_core_devices(account: Account, monitor: Monitor) -> None:
    """They are no part of the inventory, and one that cannot be read leaves what was known."""
    monitor.sends(monitor.health())
    (core,) = monitor.health().certificates
    other = replace(core, role="root-ca", certificate_id="d" * 64, state="ok")
    gone = replace(core, certificate_id=None, not_after=None, deadline=None, state="unknown")
    monitor.sends(monitor.health(certificates=(other, gone)))
    assert monitor.entry.certificate_id == monitor.principal
    assert monitor.entry.state == "unknown"
    monitor.sends(monitor.signed(monitor.alert(role="root-ca", certificate_id="d" * 64)))
    assert monitor.entry.certificate_id == monitor.principal


# -- who may say it ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"thingName": "press-8"}, "other-thing"),
        ({"clientId": "press-8"}, "other-thing"),
        ({"principal": "f" * 64}, "not-attached"),
        ({"status": 7}, "malformed"),
        ({"more": "x" * 20_000}, "malformed"),
        ({"checks": [7]}, "malformed"),
        ({"checks": 7}, "malformed"),
    ],
    ids=repr,
)
def test_forged_health_message(
    account: Account, monitor: Monitor, fields: dict[str, Any], reason: str
) -> None:
    """Nothing is noted, and people hear of it once."""
    for _ in range(3):
        monitor.deliver({**monitor.event(monitor.health()), **fields})
    assert monitor.entry == Entry()
    assert set(monitor.reasons()) == {reason}
    assert len(monitor.subjects) == 1
    assert monitor.dead_letters == []


def test_health_message_without_end(account: Account, monitor: Monitor) -> None:
    """Brackets without end are malformed, and no error that is delivered again."""
    event = {**monitor.event(monitor.health()), "more": brackets(3000)}
    with as_in_lambda():
        monitor.deliver(event)
    assert monitor.reasons() == ["malformed"]


def test_registry_is_asked_once_a_week(account: Account, monitor: Monitor) -> None:
    """A daily message does not use up a quota that rotations need; another certificate does."""
    for _ in range(14):
        monitor.sends(monitor.health())
        account.clock.sleep(DAY)
    assert account.calls.count("registry.principals") == 2
    other = register(account, pair("next"))
    monitor.sends(monitor.health(), principal=other)
    assert account.calls.count("registry.principals") == 3
    del account.registry.certificates[f"{BASE}:cert/{other}"]
    account.clock.sleep(8 * DAY)
    monitor.sends(monitor.health(), principal=other)
    assert monitor.reasons() == ["not-attached"]


@pytest.mark.parametrize(
    ("state", "retire", "asked"),
    [
        (State.ISSUED, None, 0),
        (State.COMMITTED, None, 0),
        (State.GRACE, Which.OLD, 0),
        (State.DONE, Which.OLD, 0),
        (State.ISSUING, None, 1),
        (State.UNDOING, None, 1),
        (State.GRACE, Which.NEW, 1),
    ],
)
def test_certificate_that_a_rotation_attached(
    account: Account, monitor: Monitor, state: State, retire: Which | None, asked: int
) -> None:
    """What CertKeeper itself has attached lately, and keeps, is not looked up."""
    started = int(account.clock.now()) - 60
    new = register(account, pair("next"))
    rotation = Record(THING, "job-1", state, new=new, old="e" * 64, retire=retire, started=started)
    account.records.write(rotation)
    monitor.sends(monitor.health(), principal=new)
    assert monitor.entry.principal == new
    assert account.calls.count("registry.principals") == asked
    assert monitor.entry.attached_seen == (int(account.clock.now()) if asked else started)
    account.clock.sleep(7 * DAY)
    monitor.sends(monitor.health(), principal=new)
    assert account.calls.count("registry.principals") == asked + (not asked)


def test_health_message_that_outlived_its_connection(account: Account, monitor: Monitor) -> None:
    """Sent over the certificate that a rotation has removed: neither noted nor a forgery."""
    gone = "e" * 64
    account.records.write(Record(THING, "job-1", State.DONE, old=gone, retire=Which.OLD))
    monitor.sends(monitor.health(), principal=gone)
    assert monitor.entry == Entry()
    assert monitor.reasons() == []


def test_newer_component(account: Account, monitor: Monitor) -> None:
    """A check that is not known here does not keep the rest from being noted."""
    event = monitor.event(monitor.health())
    event["checks"].append({"name": "luck", "status": "fail", "detail": "none"})
    monitor.deliver({**event, "more": {"nested": [1]}})
    assert monitor.entry.failing_checks == ("store-links",)


def test_long_texts_are_cut(account: Account, monitor: Monitor) -> None:
    """What a device may write at will does not fill the table."""
    said: Health = monitor.health(component_version="9" * 5000, status="x\n" * 2000)
    monitor.sends(said)
    assert len(monitor.entry.component_version) == 40
    assert "\n" not in monitor.entry.status


@pytest.mark.parametrize("call", ["documents.get", "documents.write", "registry.principals"])
def test_failing_calls(account: Account, monitor: Monitor, call: str) -> None:
    """A call that fails once is made again; one that fails for good makes a dead letter."""
    account.disturb(failing(call, range(1, 2)))
    monitor.sends(monitor.health())
    assert monitor.entry.certificate_id == monitor.principal
    assert monitor.dead_letters == []
    account.disturb(failing(call))
    account.clock.sleep(8 * DAY)
    monitor.sends(monitor.health())
    assert len(monitor.dead_letters) == 1


# -- rotations -------------------------------------------------------------------------------------


def ends(
    account: Account, device: Device, job: str, status: str, reason: str = ""
) -> dict[str, Any]:
    """A job of the device ends; its event, delivered once."""
    account.jobs.executions[THING, job] = replace(RUNNING, identity=f"1@{job}")
    device.create(account.old, job, key=job)
    new = issued_id(account, job)
    if status == "SUCCEEDED":
        device.commit(new, job)
        account.old = new
    device.end(status, job, reason=reason)
    return ended_event(status, job, reason=reason)


def entry(account: Account) -> Entry:
    return inventory.read(account.cloud, THING)


def test_failures_and_the_last_rotation(account: Account) -> None:
    """Failures in a row are counted, each once, until a rotation succeeds."""
    device = Device(account)
    first = ends(account, device, "job-1", "FAILED", reason="probe-refused")
    for _ in range(3):
        device.deliver(first)
    assert (entry(account).failures, entry(account).last_failure_reason) == (1, "probe-refused")
    ends(account, device, "job-2", "TIMED_OUT")
    assert (entry(account).failures, entry(account).last_failure_reason) == (2, "TIMED_OUT")
    assert entry(account).last_rotation == 0
    ends(account, device, "job-3", "SUCCEEDED")
    device.deliver(first)
    assert entry(account).failures == 0
    assert entry(account).last_rotation_job == "job-3"
    assert entry(account).last_rotation == int(account.clock.now())
    assert device.dead_letters == []


def test_cancelled_job_is_no_failure(account: Account) -> None:
    """Who cancels a job knows of it."""
    device = Device(account)
    ends(account, device, "job-1", "CANCELED")
    assert entry(account) == Entry()


def test_second_execution_of_a_job_counts(account: Account) -> None:
    """A job that is executed again for the thing has another end."""
    device = Device(account)
    ends(account, device, "job-1", "FAILED")
    assert entry(account).failures == 1
    rotation = account.records.items[THING, "job-1"]
    account.records.write(replace(rotation, execution="2@job-1"))
    device.deliver(ended_event("FAILED"))
    assert entry(account).failures == 2


@pytest.mark.parametrize("call", ["documents.get", "documents.write"])
def test_end_is_noted_in_the_end(account: Account, call: str) -> None:
    """The clean-up does not wait for the inventory, and the event comes again until it is noted."""
    device = Device(account)
    account.disturb(failing(call, range(1, 3)))
    ends(account, device, "job-1", "SUCCEEDED")
    assert account.registry.active() == {account.old}
    assert entry(account).last_rotation_job == "job-1"
    assert device.dead_letters == []


def test_end_leaves_what_devices_said(account: Account, monitor: Monitor) -> None:
    """The end of a job adds to the entry, and takes nothing from it."""
    monitor.sends(monitor.health())
    before = monitor.entry
    account.records.write(Record(THING, "job-9", State.ISSUED, old=monitor.principal, new="b" * 64))
    device = Device(account)
    device.end("SUCCEEDED", "job-9", certificateId="b" * 64)
    assert replace(monitor.entry, last_rotation=0, last_rotation_job="", ends=()) == before
