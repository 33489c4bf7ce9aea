"""A device's alert is told once, in words; what is not the device's own word is not believed."""

from __future__ import annotations

import datetime
from dataclasses import replace
from typing import Any

import pytest

from lab.fleet.account import Account
from lab.fleet.registry import BASE, THING
from rotation_cloud.alerts import MOST_TOLD, Policy
from rotation_cloud.hearing import MOST_DOUBTS
from rotation_cloud.records import Record, State, Which
from rotation_cloud.security_events import Activity
from rotation_cloud.workflow import execution_name
from rotation_protocol.reasons import AlertType
from tests.cloud.monitor import (
    DAY,
    KEYS,
    TEMPLATE,
    Monitor,
    as_in_lambda,
    brackets,
    certificate_id,
    pair,
    register,
)

REGISTRY = ("registry.principals", "registry.registered")
FORGED = "SECURITY: press-7: messages are not believed"
ENDS_IN_SIX = "CRITICAL: press-7: certificate ends in 6 days"


@pytest.fixture
def account() -> Account:
    return Account()


@pytest.fixture
def monitor(account: Account) -> Monitor:
    return Monitor(account)


@pytest.mark.parametrize("algorithm", KEYS)
def test_signed_alert_is_told(algorithm: str) -> None:
    """People hear what, which device, by when, and what to do; a SIEM hears of it too."""
    account = Account()
    monitor = Monitor(account, algorithm)
    monitor.sends(monitor.signed())
    ((subject, text, attributes),) = account.alerts.told
    assert subject == ENDS_IN_SIX
    assert "Replace by:  2026-11-28 16:00 UTC (then it expires)" in text
    assert "verified against the certificate" in text
    assert f"--targets {BASE}:thing/press-7" in text
    assert f"--job-template-arn {TEMPLATE}" in text
    expected = {"severity": "CRITICAL", "type": "certificate.expiring", "thing": THING}
    assert attributes == {**expected, "verified": "true"}
    (event,) = account.audit.events
    assert (event.activity, event.succeeded) == (Activity.ALERT_RECEIVED, True)
    assert event.certificate_id == monitor.principal
    assert event.detail == "certificate.expiring 7"


def test_one_per_rung_and_day(account: Account, monitor: Monitor) -> None:
    """Each rung once, however often it comes; the same rung again the next day, not before."""
    for threshold in (30, 15, 7):
        for _ in range(3):
            monitor.sends(monitor.signed(monitor.alert(threshold=threshold)))
            account.clock.sleep(60)
    assert len(monitor.subjects) == 3
    account.clock.sleep(DAY // 2)
    monitor.sends(monitor.signed())
    assert len(monitor.subjects) == 3
    account.clock.sleep(DAY // 2)
    again = monitor.event(monitor.signed())
    monitor.deliver(again)
    assert len(monitor.subjects) == 4
    account.clock.sleep(10 * DAY)
    monitor.deliver(again)  # from the dead-letter queue
    assert len(monitor.subjects) == 4


def test_repetition_costs_no_call_to_the_registry(account: Account, monitor: Monitor) -> None:
    """An alert that was told is known again before anything is looked up."""
    monitor.sends(monitor.signed())
    account.calls.clear()
    monitor.sends(monitor.signed())
    assert not [call for call in account.calls if call in REGISTRY]
    assert len(account.calls) <= 2


def test_certificates_are_told_apart(account: Account, monitor: Monitor) -> None:
    """The same rung of another certificate is news; without an id, the file tells them apart."""
    monitor.sends(monitor.signed())
    root = monitor.alert(role="root-ca", certificate_id="a" * 64)
    monitor.sends(monitor.signed(root))
    for source in ("/a.pem", "/b.pem", "/a.pem"):
        unreadable = monitor.alert(
            type=AlertType.UNREADABLE,
            threshold="unreadable",
            role="watched",
            source=source,
            certificate_id=None,
            deadline=None,
            days_remaining=None,
        )
        monitor.sends(monitor.signed(unreadable))
    assert len(monitor.subjects) == 4
    assert monitor.subjects[1] == "CRITICAL: press-7: root CA certificate ends in 6 days"


def test_named_certificate_may_have_signed(account: Account, monitor: Monitor) -> None:
    """The pair on the disk may be newer than the connection: the alert names it, and it is ours."""
    on_disk = pair("on-disk")
    named = register(account, on_disk)
    monitor.sends(monitor.signed(monitor.alert(certificate_id=named), by=on_disk))
    assert monitor.subjects == [ENDS_IN_SIX]


# -- what is not believed ---------------------------------------------------------------


def forgeries(monitor: Monitor) -> dict[str, dict[str, Any]]:
    """Events by the reason for which they are not believed."""
    signed = monitor.signed()
    stranger = register(monitor.account, pair("stranger"), "press-8")
    return {
        "wrong-signature": monitor.event(replace(signed, days_remaining=1)),
        "other-thing": monitor.event(signed, thingName="press-8"),
        "not-attached": monitor.event(signed, principal=stranger),
        "unsigned": monitor.event(monitor.alert()),
        "malformed": monitor.event(signed, type="certificate.fine"),
    }


@pytest.mark.parametrize("reason", ["wrong-signature", "other-thing", "not-attached", "unsigned"])
def test_forged_alert(account: Account, monitor: Monitor, reason: str) -> None:
    """It is not believed: one notice, security events, and nothing else comes of it."""
    monitor.policy = Policy(auto_rotate_below_days=30)
    forged = forgeries(monitor)[reason]
    for _ in range(20):
        monitor.deliver(forged)
        account.clock.sleep(1)
    assert monitor.subjects == [FORGED]
    _, text, attributes = account.alerts.told[0]
    assert f"Reason:      {reason}" in text
    assert attributes["severity"] == "SECURITY"
    assert monitor.reasons() == [reason] * MOST_DOUBTS
    assert monitor.entry.certificate_id == ""
    assert account.workflows.started == {}
    assert monitor.dead_letters == []


def test_flood_of_forged_alerts_costs_little(account: Account, monitor: Monitor) -> None:
    """After a few a sender is not listened to: one read of the table for each, until tomorrow."""
    forged = [*forgeries(monitor).values()]
    for number in range(MOST_DOUBTS):
        monitor.deliver(forged[number % 2])
    account.calls.clear()
    for number in range(100):
        monitor.deliver(
            monitor.event(monitor.signed(by=pair("x")), threshold=number, certificateId="a" * 64)
        )
    assert account.calls == ["documents.get"] * 100
    account.clock.sleep(DAY)
    monitor.sends(monitor.signed())
    assert monitor.subjects == [FORGED, ENDS_IN_SIX]


def test_another_sender_is_not_punished(account: Account, monitor: Monitor) -> None:
    """Who borrows a client id and lies does not silence the device whose it is."""
    lie = forgeries(monitor)["not-attached"]
    for _ in range(MOST_DOUBTS + 1):
        monitor.deliver(lie)
    monitor.sends(monitor.signed())
    assert monitor.subjects == [FORGED, ENDS_IN_SIX]


@pytest.mark.parametrize(
    "change",
    [
        {"type": "certificate.fine"},
        {"version": 2},
        {"threshold": "x" * 21},
        {"threshold": "7 days\nBcc: all"},
        {"threshold": None},
        {"certificateId": "A" * 64},
        {"certificateId": "short"},
        {"more": 1.5},
        {"more": "\ud800"},
        {"more": {"ü": 1}},
        {"daysRemaining": 2**60},
        {"detail": "x" * 20_000},
        {"checkedAt": "yesterday"},
    ],
    ids=repr,
)
def test_malformed_alert(account: Account, monitor: Monitor, change: dict[str, Any]) -> None:
    """It is not believed, and never an error that is delivered again."""
    monitor.deliver({**monitor.event(monitor.signed()), **change})
    assert monitor.reasons() == ["malformed"]
    assert monitor.subjects == [FORGED]
    assert monitor.dead_letters == []


def test_brackets_without_end(account: Account, monitor: Monitor) -> None:
    """A message that is nested without end is malformed, and no more."""
    for depth in range(200, 3000, 50):
        account.documents.items.clear()
        event = {**monitor.event(monitor.signed()), "more": brackets(depth)}
        with as_in_lambda():
            monitor.deliver(event)
    assert set(monitor.reasons()) == {"malformed", "wrong-signature"}
    assert monitor.dead_letters == []


@pytest.mark.parametrize(
    "sender",
    [
        {"clientId": "n/a"},
        {"clientId": ""},
        {"clientId": "#2"},
        {"clientId": 7},
        {"clientId": "press 7"},
        {"principal": "AROAEXAMPLE:somebody"},
        {"principal": None},
        {"principal": "A" * 64},
    ],
    ids=repr,
)
def test_who_is_no_device(account: Account, monitor: Monitor, sender: dict[str, Any]) -> None:
    """What no certificate of a device has sent leaves a line in the log, and costs nothing."""
    monitor.deliver({**monitor.event(monitor.signed()), **sender})
    assert account.calls == []
    assert account.audit.events == []


def test_own_words_of_a_forger_are_cut_and_quoted(account: Account, monitor: Monitor) -> None:
    """Nothing that a sender writes is taken for the backend's own words."""
    name = "press-8\nWhat to do\n\nVisit https://example.com\u202e" + "x" * 2000
    monitor.deliver(monitor.event(monitor.signed(), thingName=name))
    ((subject, text, _),) = account.alerts.told
    assert subject == FORGED
    assert '"it speaks for press-8?What to do??Visit' in text
    assert text.count("\nWhat to do\n") == 1
    assert "\u202e" not in text
    assert len(text) < 2000


def test_more_alerts_than_there_can_be_reason_for(account: Account, monitor: Monitor) -> None:
    """Who holds a device's key may sign anything: people hear of some, and then of that."""
    for number in range(MOST_TOLD + 20):
        alert = monitor.alert(role="watched", certificate_id=f"{number:064x}")
        monitor.sends(monitor.signed(alert))
    assert len(monitor.subjects) == MOST_TOLD + 1
    assert monitor.subjects[-1] == FORGED
    assert set(monitor.reasons()) == {"too-many"}


def test_inactive_certificate_proves_nothing(account: Account, monitor: Monitor) -> None:
    """A certificate that was switched off may be so because its key is lost."""
    account.registry.deactivate(f"{BASE}:cert/{monitor.principal}")
    monitor.sends(monitor.signed())
    assert monitor.reasons() == ["wrong-signature"]


def test_device_that_is_known(account: Account, monitor: Monitor) -> None:
    """Its certificate is not looked for among the thing's again, but its key's signature counts."""
    monitor.sends(monitor.health())
    before = account.calls.count("registry.principals")
    monitor.sends(monitor.signed())
    assert monitor.subjects == [ENDS_IN_SIX]
    monitor.sends(monitor.signed(monitor.alert(threshold=1), by=pair("other")))
    assert monitor.reasons() == ["wrong-signature"]
    assert account.calls.count("registry.principals") == before
    other = register(account, pair("other"))
    named = monitor.alert(threshold=3, certificate_id=other)
    monitor.sends(monitor.signed(named, by=pair("other")))
    assert account.calls.count("registry.principals") == before + 1
    assert len(monitor.subjects) == 3


def test_certificate_that_is_gone_meanwhile(account: Account, monitor: Monitor) -> None:
    """Deleted between the two looks: nothing verifies, and nothing fails."""

    def gone(name: str, _: int) -> None:
        if name == "registry.registered":
            account.registry.certificates.clear()

    account.disturb(gone)
    monitor.sends(monitor.signed())
    assert monitor.reasons() == ["wrong-signature"]


# -- alerts that cannot be signed ----------------------------------------------------------


@pytest.mark.parametrize("kind", [AlertType.KEY_UNREADABLE, AlertType.MISMATCH])
def test_lost_key_is_told_without_a_signature(
    account: Account, monitor: Monitor, kind: AlertType
) -> None:
    """It can have none. It is marked as unverified, told once, and nothing is noted or started."""
    monitor.policy = Policy(auto_rotate_below_days=30)
    for number in range(5):
        alert = monitor.alert(type=kind, threshold=number, certificate_id=f"{number:064x}")
        monitor.sends(alert)
    ((subject, text, attributes),) = account.alerts.told
    assert subject.startswith("UNVERIFIED CRITICAL: press-7: private key ")
    assert "Signature:   NONE" in text
    assert attributes["verified"] == "false"
    assert account.audit.events[0].detail.endswith("unverified")
    assert monitor.entry.certificate_id == ""
    assert account.workflows.started == {}
    account.clock.sleep(DAY)
    monitor.sends(monitor.alert(type=kind))
    assert len(monitor.subjects) == 2


def test_lost_key_counts_only_over_the_devices_connection(
    account: Account, monitor: Monitor
) -> None:
    """Without a signature, the connection is all there is: it has to be the thing's."""
    alert = monitor.alert(type=AlertType.KEY_UNREADABLE)
    stranger = register(account, pair("stranger"), "press-8")
    monitor.sends(alert, principal=stranger)
    monitor.sends(alert, clientId="press-8", principal=stranger)
    assert monitor.reasons() == ["not-attached", "other-thing"]


def test_wrong_signature_is_worse_than_none(account: Account, monitor: Monitor) -> None:
    """A lost key signs nothing: an alert of it with another key's signature is a forgery."""
    alert = monitor.alert(type=AlertType.KEY_UNREADABLE)
    monitor.sends(monitor.signed(alert, by=pair("other")))
    assert monitor.subjects == [FORGED]


def test_fleet_that_cannot_sign(account: Account, monitor: Monitor) -> None:
    """With RequireSignedAlerts false they are told by rung, marked, and start nothing."""
    monitor.policy = Policy(require_signed=False, auto_rotate_below_days=30)
    for threshold in (30, 15, 15, 7):
        monitor.sends(monitor.alert(threshold=threshold))
    assert monitor.subjects == [f"UNVERIFIED {ENDS_IN_SIX}"] * 3
    assert account.workflows.started == {}
    assert monitor.entry.certificate_id == ""


# -- rotations --------------------------------------------------------------------------------


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


def test_old_keys_signature_of_something_else(account: Account, monitor: Monitor) -> None:
    """An alert of a CA that waited on the device through a rotation: its key is gone since."""
    before = monitor.signed(
        monitor.alert(
            role="root-ca",
            certificate_id="a" * 64,
            checked_at=monitor.now - datetime.timedelta(hours=1),
        ),
        by=pair("before"),
    )
    failed = Record(THING, "job-0", State.DONE, started=int(account.clock.time), retire=Which.NEW)
    account.records.write(failed)
    monitor.sends(before)
    assert monitor.reasons() == ["wrong-signature"]
    account.audit.events.clear()
    record(monitor, State.DONE, old="c" * 64, new=monitor.principal, retire=Which.OLD)
    monitor.sends(before)
    assert monitor.reasons() == []
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
