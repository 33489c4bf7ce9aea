"""What is not a device's own word is not believed, and costs little; what cannot be signed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lab.fleet.account import Account
from lab.fleet.registry import BASE
from rotation_cloud.alerts import MOST_TOLD, Policy
from rotation_cloud.hearing import MOST_DOUBTS, MOST_OUTDATED
from rotation_protocol.reasons import AlertType
from tests.cloud.monitor import (
    DAY,
    ENDS_IN_SIX,
    FORGED,
    Monitor,
    as_in_lambda,
    brackets,
    pair,
    register,
)


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


def test_flood_of_outdated_alerts_costs_little(account: Account, monitor: Monitor) -> None:
    """As many as may wait on a device are looked at; after that, one read of the table for each."""
    old = monitor.event(monitor.signed(by=pair("before")))
    account.clock.sleep(1)
    account.registry.certificates[f"{BASE}:cert/{monitor.principal}"].created = account.clock.time
    for _ in range(MOST_OUTDATED):
        monitor.deliver(old)
    assert account.calls.count("registry.registered") == MOST_OUTDATED
    account.calls.clear()
    monitor.deliver(old)
    assert account.calls == ["documents.get"]
    account.clock.sleep(DAY)
    monitor.sends(monitor.signed())
    assert monitor.subjects == [ENDS_IN_SIX]


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
