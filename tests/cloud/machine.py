"""The rotation workflow in memory: the template's state machine over an Account, on its clock."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from lab.cloud.template import Template
from lab.fleet.account import RUNNING, Account
from lab.fleet.disturbance import Hook, Watched, quiet
from lab.fleet.registry import THING
from lab.states.execution import Answer, Execution
from lab.states.service import StateMachines, StatesError
from rotation_cloud import steps, workflow
from rotation_cloud.attempt import StillRunning
from rotation_cloud.finish import StillIssuing
from rotation_cloud.ports import AlreadyThere, AwsError, NotFound, RecordChanged
from rotation_cloud.workflow import Cause
from rotation_protocol.fields import WireError
from tests.cloud.device import Device, code, issued_id

HOUR, DAY = 3600, 24 * 3600

_STEPS: Mapping[str, steps.Step] = {
    "ValidateFunction": steps.validate,
    "BeginFunction": steps.begin,
    "SettleFunction": steps.settle,
    "RetireFunction": steps.retire,
    "HandOverFunction": steps.hand_over,
}


@cache
def _template(parameters: tuple[tuple[str, str], ...]) -> Template:
    return Template(dict(parameters))


class Workflows:
    """ports.Workflows, led to the state machines."""

    def __init__(self, machines: StateMachines, arn: str) -> None:
        self._machines = machines
        self._arn = arn

    def start(self, name: str, given: Mapping[str, Any]) -> None:
        try:
            self._machines.start(self._arn, name, json.dumps(dict(given)))
        except StatesError as error:
            raise AlreadyThere(name) from error

    def end_task(self, token: str, result: Mapping[str, Any]) -> None:
        try:
            self._machines.succeed(token, json.dumps(dict(result)))
        except StatesError as error:
            raise NotFound(token) from error


class Machine:
    """An account whose workflows run. The device answers its jobs when it is told to."""

    def __init__(self, grace_days: int = 7, **parameters: str) -> None:
        self.account = Account()
        self.account.jobs.executions.clear()
        self._template = _template(tuple(parameters.items()))
        self.machines = StateMachines("123456789012", "eu-west-1", clock=self.account.clock.now)
        self.machines.functions = self._invoke
        ((name, definition),) = self._template.state_machines().items()
        self.arn = self.machines.create(name, definition)
        self.account.workflows = Workflows(self.machines, self.arn)  # type: ignore[assignment]
        watched: Any = Watched(self.account, "workflows", self.account.workflows)
        self.account.cloud = replace(
            self.account.cloud, workflows=watched, grace_seconds=grace_days * DAY
        )
        self.device = Device(self.account, is_patient=True)
        self.failures: list[str] = []
        self.invoked: list[str] = []
        #: Disturb the calls of the workflow's functions, and of nobody else.
        self.before: Hook = quiet
        self.after: Hook = quiet

    def _invoke(self, arn: str, event: Any, told: Callable[[Answer], None]) -> None:
        name = self._template.function_of(arn)
        self.invoked.append(name)
        told(self._step(name, json.loads(json.dumps(event))))

    def _step(self, name: str, event: Any) -> Answer:
        outer = self.account.before, self.account.after
        self.account.before, self.account.after = self.before, self.after
        try:
            return Answer(json.loads(json.dumps(_STEPS[name](self.account.cloud, event))))
        except (AwsError, RecordChanged, StillIssuing, StillRunning, WireError) as error:
            self.failures.append(f"{name}: {type(error).__name__} {error}")
            return Answer(error=type(error).__name__, cause=str(error))
        finally:
            self.account.before, self.account.after = outer

    def start(self, cause: Cause = Cause.ALERT) -> Execution:
        """As an alert does it, for the certificate in use."""
        name = workflow.start(self.account.cloud, THING, self.in_use, cause)
        arn = self.arn.replace(":stateMachine:", ":execution:")
        return self.machines.execution(f"{arn}:{name}")

    def advance(self, seconds: float) -> None:
        """Time passes, and what is due happens, each thing at its time."""
        end = self.account.clock.time + seconds
        while (due := self.machines.next_due()) is not None and due <= end:
            self.account.clock.time = max(due, self.account.clock.time)
            self.machines.run_due()
        self.account.clock.time = max(end, self.account.clock.time)

    @property
    def in_use(self) -> str:
        """The certificate that the device was last given, or that it was born with."""
        kept = [r.new for r in self.account.records.items.values() if r.keeps_new and r.new]
        return kept[-1] if kept else self.account.old

    @property
    def jobs(self) -> list[str]:
        """The jobs that were made, in order."""
        return list(self.account.jobs.created)

    def rotate(self) -> str:
        """The device does the last job, up to its success; the new certificate."""
        new = self.commit()
        self.device.end("SUCCEEDED", self.jobs[-1], certificateId=new)
        return new

    def commit(self) -> str:
        """The device does the last job, up to the commit; the new certificate."""
        job, old = self.jobs[-1], self.in_use
        self.take()
        assert code(self.device.create(old, job, job)) == "accepted"
        new = issued_id(self.account, job)
        assert code(self.device.commit(new, job)) == "accepted"
        return new

    def take(self) -> None:
        """The device takes the last job."""
        known = self.account.jobs.executions[THING, self.jobs[-1]]
        running = replace(RUNNING, identity=known.identity)
        self.account.jobs.executions[THING, self.jobs[-1]] = running

    def fail(self, reason: str = "probe-refused") -> None:
        """The device takes the last job, and fails with it after it was given a certificate."""
        job, old = self.jobs[-1], self.in_use
        self.take()
        assert code(self.device.create(old, job, job)) == "accepted"
        self.device.end("FAILED", job, reason=reason, certificateId=old)
