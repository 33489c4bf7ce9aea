"""The figures of one run of a fleet."""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import dataclass

from lab.fleet.cost import dollars
from lab.fleet.fleet import Fleet
from lab.fleet.verdict import problems


@dataclass(frozen=True)
class Outcome:
    """``began`` is when the first rotation was asked for. Times are in seconds.

    ``made`` and ``throttled`` are the functions' calls of the AWS IoT control plane, those that
    were throttled among the former. ``waits`` counts events that could not run at once, and
    ``handed_over`` the workflows that a person has to look at.
    """

    devices: int
    rotated: int
    ends: Counter[str]
    took: float
    median: float
    made: int
    throttled: int
    jobs_throttled: int
    invoked: int
    retried: int
    waits: int
    dead_letters: int
    told: int
    handed_over: int
    dollars: float
    problems: list[str]

    @property
    def calls_each(self) -> float:
        """Calls of the control plane for each rotation that succeeded."""
        return self.made / self.rotated if self.rotated else 0.0


def outcome(fleet: Fleet, began: float) -> Outcome:
    """The figures, as they are now."""
    ends = Counter(status for _, _, status, _ in fleet.iot_core.ended)
    times = [at - began for _, _, status, at in fleet.iot_core.ended if status == "succeeded"]
    functions, throttled = fleet.functions, fleet.quotas.throttled
    return Outcome(
        devices=len(fleet.devices),
        rotated=fleet.rotated,
        ends=ends,
        took=max(times, default=0.0),
        median=statistics.median(times) if times else 0.0,
        made=_of_control_plane(fleet.services.count),
        throttled=_of_control_plane(throttled),
        jobs_throttled=sum(n for (service, _), n in throttled.items() if service[:8] == "iot-jobs"),
        invoked=functions.invoked.total(),
        retried=functions.failed.total(),
        waits=functions.throttled.total(),
        dead_letters=len(functions.dead_letters),
        told=len(fleet.notices.told),
        handed_over=fleet.machines.failed,
        dollars=dollars(fleet),
        problems=problems(fleet),
    )


def _of_control_plane(calls: Counter[tuple[str, str]]) -> int:
    return sum(number for (service, _), number in calls.items() if service == "iot")
