"""A fleet: its devices, the account that they are registered in, and the backend of the template.

Everything that happens is a function of the plan: chance is a generator with a seed.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from lab.cloud.backend import as_in_the_api
from lab.cloud.quotas import PUBLISHED, Quota, Quotas
from lab.cloud.template import Function, Template
from lab.fleet.account import Alerts, Audit, Documents, JobEvents, Notices
from lab.fleet.calls import Caller, Services
from lab.fleet.certificates import DeviceCertificates
from lab.fleet.component import Pace
from lab.fleet.device import Device
from lab.fleet.functions import Functions, Sleep
from lab.fleet.indexed import IndexedRecords, IndexedRegistry
from lab.fleet.iot_core import IotCore
from lab.fleet.jobs_port import ServiceJobs
from lab.fleet.registry import EXCLUSIVE, Census, Issuer, Registrar
from lab.fleet.store import Pair
from lab.fleet.virtual_time import VirtualTime
from lab.fleet.workflows import Machines, MachineWorkflows
from lab.nucleus.recipe import Runtime
from rotation_cloud.ports import AwsError, Cloud
from rotation_cloud.security_events import SecurityEvent
from rotation_protocol import topics

#: Midnight before the day on which most plans begin.
MIDNIGHT = datetime(2026, 11, 22, tzinfo=UTC).timestamp()
DAY, HOUR, MINUTE = 86400.0, 3600.0, 60.0


@dataclass(frozen=True)
class Plan:
    """A fleet as it is before anything happens. ``age_days`` is how old its certificates are.

    ``detaching`` is how long a detached thing still holds its certificate, in seconds.
    """

    devices: int
    seed: int = 1
    runtimes: tuple[Runtime, ...] = ("classic", "lite")
    configuration: Mapping[str, Any] = field(default_factory=dict)
    age_days: float = 300.0
    attachment: str = EXCLUSIVE
    policies: tuple[str, ...] = ("core",)
    quotas: tuple[Quota, ...] = PUBLISHED
    detaching: float = 2.0
    pace: Pace = field(default_factory=Pace)
    parameters: Mapping[str, str] = field(default_factory=dict)


class Fleet:
    """``with Fleet(plan) as fleet:``, then let time pass with ``fleet.run``; one at a time."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.time = VirtualTime(MIDNIGHT - plan.age_days * DAY)
        self.chance = random.Random(plan.seed)
        template = Template(plan.parameters)
        self.quotas = Quotas(plan.quotas, lambda: self.time.now)
        self.services = Services(self.quotas, self.chance)
        self.registry = IndexedRegistry(FleetClock(self.time))
        self.registry.lag = plan.detaching
        self.issuer = Issuer(self.registry)
        self.records, self.documents = IndexedRecords(), Documents()
        self.notices, self.alerts, self.audit = Notices(), Alerts(), Audit()
        self.functions = Functions(self.time, template.functions(), self._cloud, self.chance)
        self.machines = Machines(self.time, template, self.functions, self.chance)
        self.workflows = MachineWorkflows(self.machines)
        self.iot_core = IotCore(
            self.time,
            self.registry,
            template.rules(),
            self.functions.invoke,
            self.quotas,
            self.chance,
        )
        (job_template,) = template.job_templates()
        self.jobs = ServiceJobs(
            self.iot_core.jobs, as_in_the_api(job_template), self.iot_core.watch_expiry
        )
        self.devices = [self._device(number) for number in range(plan.devices)]
        self.time.now = MIDNIGHT

    def __enter__(self) -> Fleet:
        self._loaded = self.functions.loaded()
        self._loaded.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._loaded.__exit__(*error)

    # -- what an operator does -----------------------------------------------------------------

    def start(self, within: float = 10 * MINUTE) -> None:
        """Switch the devices on, one after the other ``within`` so many seconds."""
        for number, device in enumerate(self.devices):
            self.time.after(within * number / len(self.devices), device.start)

    def create_job(self, job_id: str, devices: Sequence[Device] | None = None, **job: Any) -> None:
        """A job of the template for these devices, or all; ``job`` are fields of CreateJob."""
        chosen = self.devices if devices is None else devices
        self.jobs.create_for(job_id, [each.thing for each in chosen], **job)

    def run(self, seconds: float, done: Callable[[], bool] = lambda: False) -> None:
        """Let so much time pass, or until ``done``, which is asked once a minute."""
        end = self.time.now + seconds
        while self.time.now < end and not done():
            self.time.run(min(self.time.now + MINUTE, end))

    @property
    def rotated(self) -> int:
        """How many devices use another certificate than the one that they were born with."""
        return sum(device.store.in_use != device.born_with for device in self.devices)

    def is_settled(self) -> bool:
        """Whether no rotation is under way on any device, and no event is on its way."""
        if self.functions.waiting:
            return False
        return all(device.is_settled and device.principal for device in self.devices)

    def through_grace(self) -> None:
        """Let the grace periods pass, in which the devices have nothing to do."""
        for device in self.devices:
            device.rest()
        self.run(30 * DAY, lambda: not self.machines.open and not self.functions.waiting)

    # -- the cloud -----------------------------------------------------------------------------

    def go_away(self) -> None:
        """AWS IoT and Lambda are not there any more."""
        self.functions.is_away = True
        self.services.away = {"iot", "iot-jobs-data", "iot-data"}
        self.iot_core.go_away()

    def come_back(self) -> None:
        self.functions.is_away = self.iot_core.is_away = False
        self.services.away = set()

    # -- within --------------------------------------------------------------------------------

    def _device(self, number: int) -> Device:
        plan, thing = self.plan, f"press-{number}"
        certificates = DeviceCertificates(thing, self.registry, self.iot_core, self.quotas)
        key = f"key of {thing}"
        self.registry.known.add(thing)
        certificate = self.registry.add(thing, plan.attachment, plan.policies, thing=thing, key=key)
        return Device(
            thing,
            plan.runtimes[number % len(plan.runtimes)],
            Pair(key, certificate),
            dict(plan.configuration),
            self.time,
            self.iot_core,
            certificates,
            plan.pace,
        )

    def _cloud(self, function: Function, sleep: Sleep) -> Cloud:
        """What one execution of a function has of AWS; see aws.cloud."""
        environment = function.environment
        caller = Caller(self.services, sleep)
        return Cloud(
            prefix=topics.PREFIX,
            registry=caller.port("registry", self.registry),
            registrar=caller.port("registrar", Registrar(self.registry)),
            issuer=caller.port("issuer", self.issuer),
            jobs=caller.port("jobs", self.jobs),
            records=caller.port("records", self.records),
            answers=caller.port("answers", self.iot_core),
            notices=caller.port("notices", self.notices),
            alerts=caller.port("alerts", self.alerts),
            documents=caller.port("documents", self.documents),
            audit=_Audit(caller.port("audit", self.audit)),
            workflows=caller.port("workflows", self.workflows),
            # The reconciler's schedule is not played here.
            census=Census(self.registry),
            job_events=JobEvents(),
            clock=FleetClock(self.time, sleep),
            grace_seconds=int(environment.get("GRACE_PERIOD_DAYS", "0")) * int(DAY),
            registers=environment.get("REGISTERS_DEVICES") == "true",
        )


class FleetClock:
    """See ports.Clock."""

    def __init__(self, time: VirtualTime, sleep: Sleep | None = None) -> None:
        self._time = time
        self.sleep = sleep or time.sleep

    def now(self) -> float:
        return self._time.now


class _Audit:
    """See ports.Audit: what cannot be recorded is lost, and nothing fails for it."""

    def __init__(self, port: Any) -> None:
        self._port = port

    def record(self, event: SecurityEvent) -> None:
        with suppress(AwsError):
            self._port.record(event)
