"""A fleet in simulated time: what befalls it, and a verdict from outside.

``make bench`` plays the same with all its devices.
"""

from __future__ import annotations

from lab.fleet.outcome import Outcome
from lab.fleet.scenarios import SCENARIOS

DEVICES = 200
HOURS = 3600.0


def play(name: str, devices: int = DEVICES) -> Outcome:
    """Every device is connected with its one certificate, nothing is leaked, people were told."""
    outcome = SCENARIOS[name](devices)
    assert outcome.problems == []
    return outcome


def everybody_rotated(outcome: Outcome) -> bool:
    """Each once, none of them failed, no event given up, and nobody told of anything."""
    everybody = outcome.devices
    ends = {"succeeded": everybody}
    quiet = (outcome.dead_letters, outcome.told, outcome.handed_over) == (0, 0, 0)
    return (outcome.rotated, outcome.ends, quiet) == (everybody, ends, True)


def test_due_in_one_night() -> None:
    """Devices that check in one hour ask in that hour, and nothing is throttled."""
    outcome = play("due-in-one-night")
    assert everybody_rotated(outcome)
    assert 0.5 * HOURS < outcome.took < 1.25 * HOURS
    assert outcome.throttled == 0


def test_due_in_one_window() -> None:
    """A window of twelve hours spreads them over its first half; a rotation has its calls."""
    outcome = play("due-in-one-window")
    assert everybody_rotated(outcome)
    assert 5 * HOURS < outcome.took < 7 * HOURS
    assert outcome.throttled == 0
    assert outcome.calls_each == 12


def test_one_job_for_all() -> None:
    """An operator's job reaches everybody at the template's rate."""
    assert everybody_rotated(play("one-job-for-all"))


def test_all_at_once() -> None:
    """Far above the quotas: they are throttled, ask again, and are all served."""
    outcome = play("all-at-once")
    assert everybody_rotated(outcome)
    assert outcome.throttled > DEVICES


def test_wave_that_fails() -> None:
    """The job is stopped: most were never reached, and each failure was told once."""
    outcome = play("wave-that-fails")
    assert 0 < outcome.ends["failed"] <= 10
    assert outcome.told == outcome.ends["failed"]
    assert outcome.rotated == outcome.ends["succeeded"] < DEVICES / 2


def test_cloud_away() -> None:
    """Some rotate before the outage, most long after it, and nobody fails for it."""
    outcome = play("cloud-away", 60)
    assert everybody_rotated(outcome)
    assert outcome.took > 6 * HOURS


def test_no_two_runs_differ() -> None:
    """The same plan gives the same figures, to the last call."""
    first, second = (SCENARIOS["all-at-once"](30) for _ in range(2))
    assert first == second
