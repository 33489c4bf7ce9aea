"""The verdict over a fleet finds what is wrong: each thing in turn is made so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from lab.fleet.fleet import HOUR, Fleet, Plan
from lab.fleet.functions import Invocation
from lab.fleet.registry import BASE
from lab.fleet.store import Pair
from lab.fleet.verdict import problems


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    """Three devices after a rotation, and its grace period: all is well."""
    with Fleet(Plan(3)) as fleet:
        fleet.start()
        fleet.run(HOUR)
        fleet.create_job("job-1")
        fleet.run(HOUR)
        fleet.through_grace()
        assert problems(fleet) == []
        assert fleet.rotated == 3
        yield fleet


def leaked(fleet: Fleet) -> None:
    fleet.registry.register("nobody's")


def deactivated(fleet: Fleet) -> None:
    fleet.registry.certificates[f"{BASE}:cert/{fleet.devices[0].store.in_use}"].is_active = False


def two_attached(fleet: Fleet) -> None:
    fleet.registry.attach_thing(fleet.registry.register("k"), "press-1", "NON_EXCLUSIVE_THING")


def offline(fleet: Fleet) -> None:
    fleet.devices[0].principal = None


def other_connection(fleet: Fleet) -> None:
    fleet.devices[0].principal = fleet.devices[1].principal


def broken_pair(fleet: Fleet) -> None:
    store = fleet.devices[0].store
    store.slots[store.current] = replace(store.slots[store.current], key="another")


def second_key(fleet: Fleet) -> None:
    store = fleet.devices[0].store
    store.slots["a" if store.current == "b" else "b"] = Pair("left over")


def under_way(fleet: Fleet) -> None:
    fleet.devices[0].store.journal = b'{"phase": "claiming"}'


def dead_letter(fleet: Fleet) -> None:
    function = next(iter(fleet.functions._functions.values()))
    fleet.functions.dead_letters.append(Invocation(function, "{}", 0.0))


def two_ends(fleet: Fleet) -> None:
    fleet.iot_core.ended.append(fleet.iot_core.ended[0])


def job_that_waits(fleet: Fleet) -> None:
    fleet.create_job("job-2", fleet.devices[:1])


def untold_failure(fleet: Fleet) -> None:
    thing, job, _, at = fleet.iot_core.ended[0]
    fleet.iot_core.ended[0] = (thing, job, "failed", at)


def told_of_nothing(fleet: Fleet) -> None:
    fleet.notices.told.append({"thingName": "press-0", "jobId": "job-9", "status": "FAILED"})


@pytest.mark.parametrize(
    ("happens", "found"),
    [
        (leaked, "leaked"),
        (deactivated, "not ACTIVE"),
        (two_attached, "attached are 2"),
        (offline, "connected with None"),
        (other_connection, "connected with"),
        (broken_pair, "no whole pair"),
        (second_key, "more keys"),
        (under_way, "under way"),
        (dead_letter, "dead letter"),
        (two_ends, "2 ends"),
        (job_that_waits, "job-2 has not ended"),
        (untold_failure, "told 0 times"),
        (told_of_nothing, "job-9, which has no end"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_it_is_found(fleet: Fleet, happens: Callable[[Fleet], None], found: str) -> None:
    """One thing is wrong, and the verdict names it."""
    happens(fleet)
    assert any(found in problem for problem in problems(fleet)), problems(fleet)
