"""Alerts and rotations: what an alert starts, and what one under way keeps quiet."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from lab.fleet.account import Account
from lab.fleet.registry import BASE, THING
from rotation_cloud.alerts import Policy
from rotation_cloud.records import Record, State, Which
from rotation_cloud.workflow import execution_name
from rotation_protocol.reasons import AlertType
from tests.cloud.monitor import (
    DAY,
    ENDS_IN_SIX,
    TEMPLATE,
    Monitor,
    certificate_id,
    pair,
    register,
)


def record(monitor: Monitor, state: State, **more: Any) -> None:
    """A rotation that began a minute ago."""
    began = int(monitor.account.clock.time) - 60
    given: dict[str, Any] = {"old": monitor.principal, "new": "b" * 64, "started": began, **more}
    monitor.account.records.write(Record(THING, "job-1", state, **given))


@pytest.mark.parametrize("state", [State.ISSUING, State.ISSUED, State.COMMITTED])
def test_nothing_while_its_rotation_is_under_way(
    account: Account, monitor: Monitor, state: State
) -> None:
    """A certificate that is being replaced needs nobody; if that takes over a day, it does."""
    record(monitor, state)
    monitor.sends(monitor.signed())
    assert monitor.subjects == []
    assert monitor.entry.certificate_id == monitor.principal
    root = monitor.alert(role="root-ca", certificate_id="a" * 64)
    monitor.sends(monitor.signed(root))
    assert len(monitor.subjects) == 1
    account.clock.sleep(DAY)
    monitor.sends(monitor.signed())
    assert len(monitor.subjects) == 2


@pytest.mark.parametrize(
    ("age_days", "retire", "started"),
    [(1, Which.OLD, 0), (12.9, Which.OLD, 0), (13.1, Which.OLD, 1), (1, Which.NEW, 1)],
)
def test_certificate_that_was_just_issued_is_not_due(
    account: Account, monitor: Monitor, age_days: float, retire: Which, started: int
) -> None:
    """One with a short life is replaced in the last third of it, whatever the days that are left.

    It is told of all the same. A rotation that did not keep it has not issued it.
    """
    monitor.policy = Policy(auto_rotate_below_days=30, job_template_arn=TEMPLATE)
    began = int(account.clock.now() - age_days * DAY)
    names = {"old": "e" * 64, "new": monitor.principal}
    record(monitor, State.GRACE, retire=retire, started=began, ended=began, **names)
    monitor.sends(monitor.signed())
    assert len(account.workflows.started) == started
    assert monitor.subjects == [ENDS_IN_SIX]


def test_lost_key_is_told_while_rotating(account: Account, monitor: Monitor) -> None:
    """What a rotation does not mend is told all the same."""
    record(monitor, State.ISSUED)
    monitor.sends(monitor.alert(type=AlertType.KEY_UNREADABLE))
    assert len(monitor.subjects) == 1


@pytest.mark.parametrize("which", [Which.OLD, Which.NEW])
@pytest.mark.parametrize("state", [State.RETIRING, State.DONE])
def test_nothing_of_a_retired_certificate(
    account: Account, monitor: Monitor, which: Which, state: State
) -> None:
    """An alert that was under way when its certificate went is neither told nor a forgery."""
    new = pair("new")
    principal = register(account, new)
    old = certificate_id(pair("before"))
    names = {"old": old} if which is Which.OLD else {"old": principal, "new": old}
    record(monitor, state, retire=which, **names)
    alert = monitor.signed(monitor.alert(certificate_id=old), by=pair("before"))
    monitor.sends(alert, principal=principal)
    assert monitor.subjects == []
    assert monitor.reasons() == []


@pytest.mark.parametrize("is_back", [True, False])
def test_device_that_came_back_with_the_old_pair(
    account: Account, monitor: Monitor, is_back: bool
) -> None:
    """Within the grace period the old certificate may be in use again: then its alerts count."""
    ended = int(account.clock.time)
    record(monitor, State.GRACE, retire=Which.OLD, ended=ended, started=ended - 100)
    if is_back:
        account.clock.sleep(60)
    monitor.sends(monitor.signed())
    assert monitor.subjects == ([ENDS_IN_SIX] if is_back else [])
    assert monitor.reasons() == []


def test_alert_without_a_certificate_after_a_rotation(account: Account, monitor: Monitor) -> None:
    """A rotation that left nothing behind says nothing of a certificate that cannot be read."""
    record(monitor, State.DONE, new=None, retire=Which.NEW)
    record_of_old = Record(THING, "job-2", State.DONE, old=None, new="c" * 64, retire=Which.OLD)
    account.records.write(record_of_old)
    unreadable = monitor.alert(type=AlertType.UNREADABLE, certificate_id=None)
    monitor.sends(monitor.signed(unreadable))
    assert monitor.subjects == ["CRITICAL: press-7: certificate cannot be read"]


def test_message_that_outlived_its_connection(account: Account, monitor: Monitor) -> None:
    """Sent over the old certificate, served when that is gone: no forgery."""
    record(monitor, State.DONE, retire=Which.OLD)
    del account.registry.certificates[f"{BASE}:cert/{monitor.principal}"]
    monitor.sends(monitor.signed(monitor.alert(role="root-ca", certificate_id="a" * 64)))
    assert monitor.subjects == []
    assert monitor.reasons() == []


@pytest.mark.parametrize(
    "what",
    [
        {"role": "root-ca", "certificate_id": "a" * 64},
        {"certificate_id": certificate_id(pair("before")), "days_remaining": -1},
    ],
    ids=["of a CA", "of the one before"],
)
def test_alert_that_is_older_than_the_pair(
    account: Account, monitor: Monitor, what: dict[str, Any]
) -> None:
    """It waited on the device until a rotation, or a person, gave it a new pair: the key that has
    signed it is gone since. Whoever lacks the new one too is still a forger."""
    raised, registry = monitor.now - datetime.timedelta(hours=1), account.registry
    own = registry.certificates[f"{BASE}:cert/{monitor.principal}"]
    before = monitor.signed(monitor.alert(checked_at=raised, **what), by=pair("before"))
    own.created = raised.timestamp() + 0.9  # the same second
    monitor.sends(before)
    assert monitor.reasons() == ["wrong-signature"]
    account.audit.events.clear()
    account.alerts.told.clear()
    own.created = raised.timestamp() + 1
    monitor.sends(before)
    assert (monitor.reasons(), monitor.subjects) == ([], [])
    monitor.sends(monitor.signed(by=pair("before")))
    assert monitor.reasons() == ["wrong-signature"]


@pytest.mark.parametrize(
    ("below", "change", "is_started"),
    [
        (30, {}, True),
        (7, {}, True),
        (6, {}, False),
        (0, {}, False),
        (0, {"days_remaining": -1, "type": AlertType.OVERDUE}, False),
        (30, {"days_remaining": -1, "type": AlertType.OVERDUE}, True),
        (30, {"type": AlertType.EXPIRED}, False),
        (30, {"role": "watched"}, False),
        (30, {"certificate_id": "d" * 64}, False),
        (30, {"days_remaining": None}, False),
    ],
    ids=repr,
)
def test_rotation_is_started(
    account: Account, monitor: Monitor, below: int, change: dict[str, Any], is_started: bool
) -> None:
    """Below the limit, of the device's own certificate, once; and people are told so."""
    monitor.policy = Policy(auto_rotate_below_days=below, job_template_arn=TEMPLATE)
    for _ in range(2):
        monitor.sends(monitor.signed(monitor.alert(**change)))
    name = execution_name(THING, account.clock.now())
    given = {"thing": THING, "certificateId": monitor.principal, "cause": "alert"}
    assert account.workflows.started == ({name: given} if is_started else {})
    ((_, text, _),) = account.alerts.told
    assert (f"A rotation has been started by itself ({name})" in text) == is_started
    assert not (is_started and "create-job" in text)
