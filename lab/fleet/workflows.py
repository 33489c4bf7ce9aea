"""ports.Workflows over the lab's Step Functions, whose time and functions are the simulation's."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from typing import Any

from lab.cloud.template import Template
from lab.fleet.functions import Functions
from lab.fleet.registry import ACCOUNT_ID, REGION
from lab.fleet.virtual_time import VirtualTime
from lab.states.execution import Execution
from lab.states.service import StateMachines, StatesError
from rotation_cloud.ports import AlreadyThere, NotFound


class Machines(StateMachines):
    """The state machine of the template. ``transitions`` counts the states that were entered,
    ``open`` the executions that run, and ``failed`` those that handed over to a person."""

    def __init__(
        self, time: VirtualTime, template: Template, functions: Functions, chance: random.Random
    ) -> None:
        super().__init__(ACCOUNT_ID, REGION, clock=lambda: time.now)
        self.transitions = self.open = self.failed = 0
        self._time = time
        self._wakes_at: float | None = None
        # Each retrier of the definition has full jitter.
        self.retry_delay = lambda seconds: chance.uniform(0.0, seconds)
        self.functions = lambda arn, event, told: functions.request(
            template.function_of(arn), event, told
        )
        ((name, definition),) = template.state_machines().items()
        self.arn = self.create(name, definition)

    def say(self, execution: Execution, what: str, **details: object) -> None:
        self.transitions += what == "state-entered"
        self.open += what == "execution-started"
        if execution.status != "RUNNING" and what != "state-entered":
            self.open -= 1
            self.failed += execution.status == "FAILED"

    def at(self, moment: float, action: Callable[[], None]) -> None:
        super().at(moment, action)
        self._wake()

    def _wake(self) -> None:
        due = self.next_due()
        if due is None or (self._wakes_at is not None and self._wakes_at <= due):
            return
        self._wakes_at = due

        def run() -> None:
            if self._wakes_at == due:
                self._wakes_at = None
                self.run_due()
                self._wake()

        self._time.after(due - self._time.now, run)


class MachineWorkflows:
    """See ports.Workflows."""

    def __init__(self, machines: Machines) -> None:
        self._machines = machines

    def start(self, name: str, given: Mapping[str, Any]) -> None:
        try:
            self._machines.start(self._machines.arn, name, json.dumps(dict(given)))
        except StatesError as error:
            if error.code == "ExecutionAlreadyExists":
                raise AlreadyThere(name) from error
            raise

    def end_task(self, token: str, result: Mapping[str, Any]) -> None:
        try:
            self._machines.succeed(token, json.dumps(dict(result)))
        except StatesError as error:
            if error.code in ("TaskTimedOut", "TaskDoesNotExist"):
                raise NotFound(token) from error
            raise
