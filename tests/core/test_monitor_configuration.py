"""Configurations while the monitor runs: the valid one is in force at once, any other never."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from certkeeper.core import effects, events, monitor
from certkeeper.core.effects import Effect
from certkeeper.core.events import Event
from rotation_protocol.reasons import CheckStatus, ReadinessCheckName
from tests.core.world import DAILY, DAY, RULES, Device, ending_in

SECOND = timedelta(seconds=1)


def rungs(device: Device) -> list[object]:
    return [alert.threshold for alert in device.raised]


def effects_of(device: Device, event: Event) -> tuple[Effect, ...]:
    """What the monitor would ask for; nothing is done."""
    return monitor.step(device.monitor, event, device.clock.now(), RULES)[1]


def configuration(device: Device, **values: Any) -> None:
    device.give(events.ConfigurationRead(device.attempt, values))


def test_first_check_waits_for_the_configuration() -> None:
    """The first check runs as soon as the configuration is there, or after a few seconds."""
    device = Device(ending_in(25 * DAY))
    device.connect()
    device.tick()
    assert device.checks == 0
    configuration(device)
    assert device.checks == 1
    device.pass_time(10 * SECOND)
    assert device.checks == 1


def test_new_configuration_is_in_force_at_once() -> None:
    """A changed threshold is checked against now, kept on disk, and needs no restart."""
    device = Device(ending_in(25 * DAY))
    device.connect()
    configuration(device, thresholds=[10])
    assert rungs(device) == []
    configuration(device, thresholds=[26, 10])
    assert rungs(device) == [26]
    assert len(device.said("configuration-applied")) == 2


def test_same_configuration_again_checks_nothing() -> None:
    """Reading it after a reconnection starts no check, and keeps it again for the next start."""
    device = Device(ending_in(25 * DAY))
    device.connect()
    configuration(device, schedule=DAILY)
    checks = device.checks
    kept = effects.KeepConfiguration({"schedule": DAILY})
    read = events.ConfigurationRead(device.attempt, {"schedule": DAILY})
    assert kept in effects_of(device, read)
    configuration(device, schedule=DAILY)
    assert device.checks == checks


def test_bad_configuration_changes_nothing_and_is_reported() -> None:
    """The last valid one stays in force; log and health message name every key at fault."""
    device = Device(ending_in(25 * DAY))
    device.connect()
    configuration(device, thresholds=[10])
    configuration(device, thresholds=[], logLevel="LOUD")
    assert device.monitor.settings.thresholds == (10,)
    refused = [log.details["key"] for log in device.said("configuration-refused")]
    assert refused == ["thresholds", "logLevel"]
    check = device.healths[-1].checks[-1]
    assert (check.name, check.status) == (ReadinessCheckName.CONFIGURATION, CheckStatus.FAIL)
    assert "thresholds" in check.detail
    configuration(device, thresholds=[10])
    assert device.healths[-1].checks[-1].status is CheckStatus.OK


def test_same_bad_configuration_again_checks_nothing() -> None:
    """A nucleus that comes and goes with a bad configuration does not drive inspections."""
    device = Device(ending_in(25 * DAY))
    device.connect()
    configuration(device, thresholds=[])
    checks = device.checks
    for _ in range(10):
        device.connect()
        configuration(device, thresholds=[])
    assert device.checks == checks


def test_unknown_key_is_noted() -> None:
    """A misspelt key beside defaults is logged and warned of in the health message."""
    device = Device(ending_in(25 * DAY))
    device.connect()
    configuration(device, treshold=[10])
    assert "did you mean thresholds?" in str(device.said("configuration-note")[0].details)
    assert device.healths[-1].checks[-1].status is CheckStatus.WARN


@pytest.mark.parametrize(
    ("values", "problem"), [({}, ""), ({"realertHours": 0}, "realertHours must be a whole number")]
)
def test_deployment_is_told_whether_its_configuration_is_valid(
    values: dict[str, Any], problem: str
) -> None:
    """A valid one is accepted, any other refused with the reason; neither is in force yet."""
    device = Device(ending_in(25 * DAY))
    device.connect()
    asked = events.ValidationAsked(device.attempt, "deployment-1", values)
    before = device.monitor.settings
    (report,) = [e for e in effects_of(device, asked) if isinstance(e, effects.ReportValidity)]
    assert report.deployment_id == "deployment-1"
    assert report.problem.startswith(problem)
    assert bool(report.problem) == bool(problem)
    device.give(asked)
    assert device.monitor.settings == before


def test_old_connection_configures_nothing() -> None:
    """A configuration read over a connection that has been replaced is out of date."""
    device = Device(ending_in(25 * DAY))
    device.connect()
    device.connect()
    configuration(device, thresholds=[10])
    device.give(events.ConfigurationRead(1, {"thresholds": [20]}))
    assert device.monitor.settings.thresholds == (10,)
