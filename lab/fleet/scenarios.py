"""What befalls a fleet, in simulated time; each with figures, and a verdict from outside.

``make test`` plays them with some 200 devices, ``make bench`` with all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lab.fleet.fleet import DAY, HOUR, MINUTE, Fleet, Plan
from lab.fleet.outcome import Outcome, outcome
from rotation_protocol.reasons import FailureReason

#: With certificates of that age, each device's next check finds that its own is due.
DUE_AT_300_DAYS: Mapping[str, Any] = {"maxAgeDays": 345, "rotateBeforeDays": 45}
#: Due at one in the morning: after the check at the start, before that of the night.
AGE = 300.0 - 1 / 24

Scenario = Callable[[int], Outcome]


def due_in_one_night(devices: int) -> Outcome:
    """Every certificate comes of age on one day: each device asks at its check, between two and
    three."""
    with Fleet(Plan(devices, configuration=DUE_AT_300_DAYS, age_days=AGE)) as fleet:
        return _through(fleet, began=2 * HOUR)


def due_in_one_window(devices: int) -> Outcome:
    """The same, with a rotateWindow of twelve hours from four in the morning."""
    window = {"cron": "cron(0 4 * * ? *)", "minutes": 720}
    configuration = {**DUE_AT_300_DAYS, "rotateWindow": window}
    with Fleet(Plan(devices, configuration=configuration, age_days=AGE)) as fleet:
        return _through(fleet, began=4 * HOUR)


def one_job_for_all(devices: int) -> Outcome:
    """An operator's job of the template, for the whole group."""
    with Fleet(Plan(devices)) as fleet:
        fleet.start()
        fleet.run(HOUR)
        began = fleet.time.now
        fleet.create_job("rotate-all")
        return _settled(fleet, began)


def all_at_once(devices: int) -> Outcome:
    """A job without a rollout: every device asks in the same seconds, far above the quotas."""
    with Fleet(Plan(devices)) as fleet:
        fleet.start()
        fleet.run(HOUR)
        began = fleet.time.now
        fleet.create_job("rotate-all", jobExecutionsRolloutConfig=None, abortConfig=None)
        return _settled(fleet, began)


def wave_that_fails(devices: int) -> Outcome:
    """Every twelfth device cannot keep a new pair: the template's abort criteria end the job, and
    whoever was not reached keeps what it has."""
    with Fleet(Plan(devices)) as fleet:
        for device in fleet.devices[::12]:
            device.host.fails = {"Prepare": FailureReason.STORE_FULL}
        fleet.start()
        fleet.run(HOUR)
        began = fleet.time.now
        fleet.create_job("rotate-all")
        return _settled(fleet, began)


def cloud_away(devices: int) -> Outcome:
    """AWS IoT and Lambda are away for six hours, through the window in which all devices are to
    ask, and some are under way; then they are back, and everybody comes at once."""
    window = {"cron": "cron(0 4 * * ? *)", "minutes": 480}
    configuration = {**DUE_AT_300_DAYS, "rotateWindow": window}
    with Fleet(Plan(devices, configuration=configuration, age_days=AGE)) as fleet:
        began = fleet.time.now + 4 * HOUR
        fleet.start()
        fleet.run(4 * HOUR + 20 * MINUTE)
        fleet.go_away()
        fleet.run(6 * HOUR)
        fleet.come_back()
        fleet.run(3 * DAY, lambda: fleet.rotated == devices)
        return _settled(fleet, began)


def _through(fleet: Fleet, began: float) -> Outcome:
    """From midnight on; ``began`` is counted from there."""
    fleet.start()
    midnight = fleet.time.now
    fleet.run(3 * DAY, lambda: fleet.rotated == len(fleet.devices))
    return _settled(fleet, midnight + began)


def _settled(fleet: Fleet, began: float, days: float = 1.0) -> Outcome:
    """Until nothing is left to do, or so many days have passed."""
    fleet.run(HOUR)
    fleet.run(days * DAY, fleet.is_settled)
    fleet.run(HOUR)
    fleet.through_grace()
    return outcome(fleet, began)


SCENARIOS: Mapping[str, Scenario] = {
    "due-in-one-night": due_in_one_night,
    "due-in-one-window": due_in_one_window,
    "one-job-for-all": one_job_for_all,
    "all-at-once": all_at_once,
    "wave-that-fails": wave_that_fails,
    "cloud-away": cloud_away,
}
