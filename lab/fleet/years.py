"""Ten years of a fleet: daily checks, rotations, outages, power cuts; nobody may be locked out.

Each device has its own mishaps, drawn by a generator with a seed: its network goes for minutes
or months, its power is cut at any time, and, in the middle of rotations, more often than
chance would have it; its component is killed; its clock is wrong after a boot; its disk is
full for a while. AWS is away now and then, and an operator cancels jobs under way.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from lab.fleet.device import Death, Device
from lab.fleet.fleet import DAY, HOUR, MINUTE, Fleet, Plan
from lab.fleet.verdict import problems
from rotation_protocol.reasons import FailureReason

YEAR = 365.25 * DAY
#: A certificate is replaced when it is 320 days old.
CONFIGURATION = {"maxAgeDays": 365, "rotateBeforeDays": 45}
#: In a rotation, one of so many instants is a power cut; outside of one, one of so many more.
_CUT_IN_ROTATION, _CUT_ELSEWHERE = 150, 200_000
#: For how long all is left in peace at the end, so that whatever is under way comes to its end.
_PEACE = 20 * DAY


class LockedOut(AssertionError):
    """A device holds no pair any more that AWS IoT lets in; says how it came to that."""


@dataclass
class History:
    """What happened in all those years. ``problems`` is the verdict at the end."""

    years: float
    devices: int
    rotations: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    mishaps: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


def live(devices: int, years: float, seed: int = 1) -> History:
    """Let the fleet live. Raises LockedOut."""
    history = History(years, devices)
    plan = Plan(devices, seed, configuration=CONFIGURATION, age_days=30)
    with Fleet(plan) as fleet:
        _Fate(fleet, history, years * YEAR - _PEACE)
        fleet.start()
        fleet.run(years * YEAR)
        fleet.through_grace()
        history.ends.update(status for _, _, status, _ in fleet.iot_core.ended)
        history.rotations = history.ends["succeeded"]
        history.problems = [each for each in problems(fleet) if "people were told" not in each]
    return history


def run(devices: int, years: float, seed: int) -> int:
    """Let them live, and say what came of it; the exit code, 1 if somebody is locked out."""
    print(f"{devices} devices live {years:g} years (seed {seed}) ...", flush=True)
    try:
        history = live(devices, years, seed)
    except LockedOut as end:
        print(f"LOCKED OUT at {end}")
        return 1
    for mishap, count in sorted(history.mishaps.items(), key=lambda item: -item[1]):
        print(f"  {count:>7,} times {mishap}")
    for status, count in sorted(history.ends.items(), key=lambda item: -item[1]):
        print(f"  {count:>7,} jobs {status}")
    for problem in history.problems:
        print(f"  {problem}")
    print("NOT WELL in the end" if history.problems else "nobody was locked out, and all is well")
    return 1 if history.problems else 0


class _Fate:
    """What befalls the devices, until ``seconds`` have passed."""

    def __init__(self, fleet: Fleet, history: History, seconds: float) -> None:
        self._fleet = fleet
        self._history = history
        self._chance = random.Random(fleet.plan.seed + 1)
        self._until = fleet.time.now + seconds
        for device in fleet.devices:
            device.point = self._point(device)
            self._now_and_then(45 * DAY, self._network_goes, device)
            self._now_and_then(30 * DAY, self._power_goes, device)
            self._now_and_then(60 * DAY, self._killed, device)
            self._now_and_then(150 * DAY, self._disk_fills, device)
            self._now_and_then(200 * DAY, self._operator_cancels, device)
            self._every_day(device)
        fleet.time.after(self._chance.expovariate(1 / (120 * DAY)), self._aws_goes)

    def _every_day(self, device: Device) -> None:
        def look() -> None:
            self._look(device)
            self._every_day(device)

        self._fleet.time.after(DAY, look)

    def _now_and_then(self, mean: float, happens: Callable[[Device], None], device: Device) -> None:
        def happen() -> None:
            if self._fleet.time.now >= self._until:
                return
            happens(device)
            self._look(device)
            self._now_and_then(mean, happens, device)

        self._fleet.time.after(self._chance.expovariate(1 / mean), happen)

    def _noted(self, what: str) -> None:
        self._history.mishaps[what] += 1

    # -- mishaps -------------------------------------------------------------------------------

    def _network_goes(self, device: Device) -> None:
        if not device.has_network:
            return
        self._noted("offline")
        device.lose_network()
        # Mostly minutes, sometimes months.
        seconds = min(10 * MINUTE * self._chance.paretovariate(0.5), 90 * DAY)
        self._fleet.time.after(seconds, device.regain_network)

    def _power_goes(self, device: Device) -> None:
        self._noted("power cut")
        self._clock_may_be_wrong(device)
        device.cut_power()

    def _killed(self, device: Device) -> None:
        self._noted("component killed")
        device.kill_process()

    def _disk_fills(self, device: Device) -> None:
        self._noted("disk full")
        device.host.fails = {"Prepare": FailureReason.STORE_FULL}

        def freed() -> None:
            device.host.fails = {}

        self._fleet.time.after(self._chance.uniform(HOUR, 20 * DAY), freed)

    def _clock_may_be_wrong(self, device: Device) -> None:
        """Without a battery a device boots in 1970, and hears the time some minutes later."""
        if self._chance.random() > 0.3:
            return
        self._noted("clock wrong at boot")
        device.host.clock_is_off_by = timedelta(seconds=-self._fleet.time.now)

        def set_right() -> None:
            device.host.clock_is_off_by = timedelta(0)

        self._fleet.time.after(self._chance.uniform(MINUTE, HOUR), set_right)

    def _operator_cancels(self, device: Device) -> None:
        """Whatever job is under way, if there is one; else one is made, for good measure."""
        jobs = self._fleet.jobs.pending(device.thing)
        if jobs:
            self._noted("job cancelled")
            self._fleet.jobs.cancel(device.thing, jobs[0])
            return
        self._noted("job made by hand")
        made = self._history.mishaps["job made by hand"]
        self._fleet.create_job(f"by-hand-{made}", [device])
        if self._chance.random() < 0.5:  # and is cancelled, perhaps in mid-rotation
            seconds = self._chance.uniform(0, 60)
            self._fleet.time.after(seconds, lambda: self._cancel(device, f"by-hand-{made}"))

    def _cancel(self, device: Device, job_id: str) -> None:
        self._noted("job cancelled")
        self._fleet.jobs.cancel(device.thing, job_id)

    def _aws_goes(self) -> None:
        if self._fleet.time.now >= self._until:
            return
        self._noted("AWS away")
        self._fleet.go_away()
        self._fleet.time.after(self._chance.uniform(MINUTE, 8 * HOUR), self._fleet.come_back)
        self._fleet.time.after(self._chance.expovariate(1 / (120 * DAY)), self._aws_goes)

    def _point(self, device: Device) -> Callable[[str], None]:
        def point(_what: str) -> None:
            if self._fleet.time.now >= self._until:
                return
            odds = _CUT_ELSEWHERE if device.is_settled else _CUT_IN_ROTATION
            if self._chance.random() * odds < 1:
                self._noted("power cut in a rotation" if odds == _CUT_IN_ROTATION else "power cut")
                self._clock_may_be_wrong(device)
                raise Death

        return point

    # -- what must hold ------------------------------------------------------------------------

    def _look(self, device: Device) -> None:
        """Each day, and after each mishap: there is a pair with which the device is let in."""
        store, thing = device.store, device.thing
        lets_in = self._fleet.iot_core.lets_in
        if not any(
            store.is_whole(slot) and lets_in(thing, pair.certificate or "")
            for slot, pair in store.slots.items()
        ):
            raise LockedOut(f"{self._fleet.time.now}: {device.story()}")
        if not store.is_whole(store.current):
            raise LockedOut(f"{self._fleet.time.now}: no whole pair is in use: {device.story()}")
