"""An account with thing groups, deployments, jobs and devices, as a test sets it up.

``fleet_api.py`` makes AWS's answers of it. Time is the fleet's own: it passes when a test says so,
and the state of every device follows from it. A deployment's job behaves as the AWS pages that
``deployment/`` names say: continuous, one execution for each thing of the group.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

ACCOUNT, REGION = "123456789012", "eu-central-1"
START = datetime(2026, 11, 26, 9, 0, tzinfo=UTC)
TERMINAL = ("SUCCEEDED", "FAILED", "TIMED_OUT", "REJECTED", "CANCELED", "REMOVED")


@dataclass(frozen=True)
class Device:
    """What a device does with a deployment: seconds after it was queued; None: never."""

    starts: float | None = 4
    ends: float | None = 9
    status: str = "SUCCEEDED"
    details: Mapping[str, str] = field(default_factory=dict)


OFFLINE = Device(starts=None)


@dataclass
class ThingGroup:
    """A static group, or a dynamic one if it has a query."""

    things: list[str] = field(default_factory=list)
    below: list[str] = field(default_factory=list)
    query: str | None = None
    status: str = "ACTIVE"


@dataclass
class Execution:
    """One thing's execution of a job; ``ended`` if that was not the device's doing."""

    thing: str
    queued: float
    number: int = 1
    ended: str | None = None


@dataclass
class IotJob:
    job_id: str
    target: str
    status: str = "IN_PROGRESS"
    why: str = ""
    executions: list[Execution] = field(default_factory=list)


@dataclass
class Made:
    """A deployment. ``extra`` is what a newer AWS tells of it."""

    deployment_id: str
    target: str
    number: int
    content: dict[str, Any]
    job_id: str
    created: float
    status: str = "ACTIVE"
    latest: bool = True
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def parent(self) -> str | None:
        return self.content.get("parentTargetArn")


class Fleet:
    """The account in one Region. Tests change its fields, and look at them afterwards."""

    def __init__(self) -> None:
        self.time = 0.0
        self.groups: dict[str, ThingGroup] = {}
        self.versions: dict[str, dict[str, Any]] = {"0.1.0": {"componentState": "DEPLOYABLE"}}
        self.devices: defaultdict[str, Device] = defaultdict(Device)
        self.deployments: list[Made] = []
        self.jobs: dict[str, IotJob] = {}
        #: Seconds from one device to the next in a rollout.
        self.rollout = 0.0
        #: What AWS calls a revision when another has taken its place.
        self.superseded = "INACTIVE"
        self._events: list[tuple[float, Callable[[], object]]] = []

    # -- time ----------------------------------------------------------------------------

    def at(self, time: float, event: Callable[[], object]) -> None:
        """Lets something happen at that second."""
        self._events.append((time, event))
        self._events.sort(key=lambda one: one[0])

    def advance(self, seconds: float) -> None:
        until = self.time + seconds
        while self._events and self._events[0][0] <= until:
            when, event = self._events.pop(0)
            self.time = max(self.time, when)
            event()
        self.time = until

    # -- deployments ---------------------------------------------------------------------

    def deploy(self, group: str, **content: Any) -> Made:
        """A new deployment: it takes the place of the group's latest, and of subdeployments."""
        target, number = group_arn(group), 1
        for made in self.deployments:
            same = made.target == target and made.parent == content.get("parentTargetArn")
            number += same
            if made.latest and (same or made.parent == target):
                made.latest, made.status = False, self.superseded
                self.stop(self.jobs[made.job_id])
        job = IotJob(f"job-{len(self.jobs) + 1}", target)
        job.executions = [
            Execution(thing, self.time + self.rollout * place)
            for place, thing in enumerate(self.members(group))
        ]
        self.jobs[job.job_id] = job
        identity = f"a1b2c3d4-0000-4000-8000-{len(self.deployments) + 1:012}"
        made = Made(identity, target, number, content, job.job_id, self.time)
        self.deployments.append(made)
        return made

    def cancel(self, made: Made, status: str = "CANCELED", why: str = "") -> None:
        made.status = status
        self.jobs[made.job_id].why = why
        self.stop(self.jobs[made.job_id])

    def stop(self, job: IotJob) -> None:
        """CancelJob without force: who has begun may finish."""
        job.status = "CANCELED"
        for each in job.executions:
            if self.state(each) == "QUEUED":
                each.ended = "CANCELED"

    # -- things --------------------------------------------------------------------------

    def members(self, name: str) -> list[str]:
        """The things in a group and in those below it."""
        group = self.groups[name]
        below = [thing for each in group.below for thing in self.members(each)]
        return list(dict.fromkeys([*group.things, *below]))

    def join(self, group: str, thing: str) -> None:
        """A thing joins; a continuous job that still runs gets an execution for it."""
        self.groups[group].things.append(thing)
        for job in self.jobs.values():
            if job.target == group_arn(group) and job.status == "IN_PROGRESS":
                number = 1 + sum(each.thing == thing for each in job.executions)
                job.executions.append(Execution(thing, self.time, number))

    def leave(self, group: str, thing: str) -> None:
        self.groups[group].things.remove(thing)
        for job in self.jobs.values():
            for each in job.executions:
                if job.target == group_arn(group) and each.thing == thing:
                    over = self.state(each) in TERMINAL
                    each.ended = each.ended if over else "REMOVED"

    def state(self, execution: Execution) -> str:
        if execution.ended:
            return execution.ended
        device, passed = self.devices[execution.thing], self.time - execution.queued
        if device.starts is None or passed < device.starts:
            return "QUEUED"
        return "IN_PROGRESS" if device.ends is None or passed < device.ends else device.status


def group_arn(name: str) -> str:
    return f"arn:aws:iot:{REGION}:{ACCOUNT}:thinggroup/{name}"
