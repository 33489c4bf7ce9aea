"""The monitor over days, restarts and configurations: what people are told, and how often."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from certkeeper.core import effects, events, monitor, record
from certkeeper.core.effects import Effect
from certkeeper.core.events import Event
from certkeeper.core.settings import Settings
from rotation_protocol.reasons import AlertType
from tests.core.world import (
    DAILY,
    DAY,
    HOUR,
    HOURLY,
    NEVER,
    RULES,
    Device,
    ending_in,
    facts,
    inventory,
    reading,
)

SECOND = timedelta(seconds=1)


def rungs(device: Device) -> list[object]:
    return [alert.threshold for alert in device.raised]


def effects_of(device: Device, event: Event) -> tuple[Effect, ...]:
    """What the monitor would ask for; nothing is done."""
    return monitor.step(device.monitor, event, device.clock.now(), RULES)[1]


def test_thousand_restarts_raise_one_alert_a_rung() -> None:
    """From before the first rung to after the last, a thousand processes alert each one once."""
    device = Device(ending_in(31 * DAY), Settings(realert_hours=24 * 365))
    for _ in range(1000):
        device.restart()
        device.connect()
        device.pass_time(32 * DAY / 1000)
    assert device.checks >= 1000
    assert rungs(device) == [30, 15, 7, 3, 1, "expired"]


def test_restarts_down_the_whole_ladder() -> None:
    """A restart every two hours over 32 days: each rung begins once, and repeats daily."""
    device = Device(ending_in(31 * DAY))
    for _ in range(32 * 12):
        device.restart()
        device.connect()
        device.pass_time(2 * HOUR)
    said = rungs(device)
    assert list(dict.fromkeys(said)) == [30, 15, 7, 3, 1, "expired"]
    assert [said.count(rung) for rung in (30, 15, 7, 3, 1)] == [15, 8, 4, 2, 1]


def test_daily_check_repeats_daily_however_long_each_takes() -> None:
    """An inspection that is a little quicker than yesterday's does not skip a day's alert."""
    device = Device(ending_in(14 * DAY - 2 * HOUR))
    device.connect()
    for seconds in (5.0, 4.0, 3.0, 2.0, 1.0, 0.0):
        device.inspection_seconds = seconds
        device.pass_time(DAY)
    assert rungs(device) == [15] * 6


def test_hourly_checks_alert_once_a_day() -> None:
    """The rung is repeated after realertHours, not at each check."""
    device = Device(ending_in(14 * DAY), Settings(schedule=HOURLY))
    device.connect()
    device.pass_time(3 * DAY - HOUR)
    assert len(device.healths) >= 70
    assert rungs(device) == [15] * 3


def test_retired_certificate_raises_nothing() -> None:
    """Once the old certificate is gone from the device, only the new one is spoken of."""
    device = Device(ending_in(1 * DAY))
    device.connect()
    device.check()
    device.holds = inventory(reading(facts(certificate_id="cd" * 32)))
    device.pass_time(5 * DAY)
    assert rungs(device) == [1]
    assert device.healths[-1].status == "healthy"


def test_muted_certificate_raises_nothing_until_it_is_heard_again() -> None:
    """Its health is still reported while its rotation is under way."""
    device = Device(ending_in(3 * DAY))
    device.monitor = replace(device.monitor, muted=frozenset({"ab" * 32}))
    device.connect()
    device.check()
    assert (rungs(device), device.healths[-1].status) == ([], "critical")
    device.monitor = replace(device.monitor, muted=frozenset())
    device.pass_time(2 * HOUR)
    assert rungs(device) == [3]


def test_alert_is_signed_before_it_is_kept() -> None:
    """What waits on disk carries the signature already."""
    device = Device(ending_in(6 * DAY))
    device.check()
    assert '"signature":"header..signature"' in device.disk.decode().replace("\\", "")


def test_signing_can_be_switched_off() -> None:
    """With signAlerts false the alert goes out without a signature, and nothing is signed."""
    device = Device(ending_in(6 * DAY), Settings(sign_alerts=False))
    device.connect()
    device.check()
    assert device.raised[0].signature is None


def test_alert_that_cannot_be_signed_is_sent_unsigned() -> None:
    """An unreadable key holds no alert back; the log says why."""
    device = Device(ending_in(6 * DAY))
    device.holds = None
    device.check()
    device.monitor = replace(device.monitor, inspecting=True)
    found = monitor.step(
        device.monitor, events.Inspected(ending_in(6 * DAY)), device.clock.now(), RULES
    )
    device.monitor = found[0]
    (asked,) = [effect for effect in found[1] if isinstance(effect, effects.SignAlerts)]
    device.give(events.AlertsSigned(asked.alerts, "the key cannot be read"))
    assert device.said("alerts-unsigned")[0].details == {"reason": "the key cannot be read"}
    device.connect()
    assert device.raised[0].signature is None


@pytest.mark.parametrize("schedule", [DAILY, NEVER])
def test_failed_inspection_is_tried_again_in_a_while(schedule: str) -> None:
    """A look that brings nothing back costs minutes, whatever the schedule, and is logged."""
    device = Device(None, Settings(schedule=schedule))
    device.connect()
    device.pass_time(HOUR / 2)
    assert device.checks == 2
    assert [log.level for log in device.said("check-failed")] == [effects.ERROR] * 2
    device.holds = ending_in(6 * DAY)
    device.pass_time(HOUR / 4)
    assert rungs(device) == [7]
    assert device.checks == 3


@pytest.mark.parametrize(
    "event",
    [
        events.Inspected(ending_in(DAY)),
        events.InspectionFailed("late"),
        events.AlertsSigned(()),
    ],
)
def test_answer_to_nothing_is_ignored(event: Event) -> None:
    """An answer that nobody waits for changes nothing."""
    device = Device(ending_in(6 * DAY))
    device.check()
    assert effects_of(device, event) == ()


def test_fault_leaves_no_device_unwatched() -> None:
    """After an event that could not be handled a check follows, in a while, not at once."""
    device = Device(ending_in(6 * DAY))
    device.connect()
    device.monitor = replace(device.monitor, inspecting=True, check_now_at=None)
    device.monitor = monitor.after_fault(device.monitor, device.clock.now())
    device.pass_time(timedelta(minutes=14))
    assert device.checks == 0
    device.pass_time(timedelta(minutes=2))
    assert device.checks == 1


def test_last_health_message_is_kept() -> None:
    """What the last check said can be read on the device, also once it has been sent."""
    device = Device(ending_in(6 * DAY))
    device.connect()
    device.pass_time(2 * DAY)
    kept = record.decode(device.disk)
    assert kept.waiting == ()
    assert kept.last_health == device.cloud[-1].payload


def test_every_check_sends_one_health_message() -> None:
    """Also when all is well, so that its absence means something."""
    device = Device(inventory(reading(facts())))
    device.connect()
    device.pass_time(7 * DAY)
    assert device.checks == 8
    assert [health.status for health in device.healths] == ["healthy"] * 8
    assert device.raised == []
    assert AlertType.EXPIRING not in {alert.type for alert in device.raised}
