"""A device's alert is told once, in words."""

from __future__ import annotations

import pytest

from lab.fleet.account import Account
from lab.fleet.registry import BASE, THING
from rotation_cloud.security_events import Activity
from rotation_protocol.reasons import AlertType
from tests.cloud.monitor import (
    DAY,
    ENDS_IN_SIX,
    KEYS,
    TEMPLATE,
    Monitor,
    pair,
    register,
)

REGISTRY = ("registry.principals", "registry.registered")


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
