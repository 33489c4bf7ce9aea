"""State machines on a clock that the test sets, with functions that are the test's."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from lab.states.execution import Answer, Execution
from lab.states.service import StateMachines
from lab.timeline import Timeline

Handler = Callable[[Any], Any]


class Raised(Exception):
    """What a function may raise; its name is the error's."""


class Site:
    """State machines whose functions are handlers of the test, run at once."""

    def __init__(self) -> None:
        self.time = 1_800_000_000.0
        self.timeline = Timeline()
        self.machines = StateMachines(
            "1", "eu-west-1", clock=lambda: self.time, timeline=self.timeline
        )
        self.machines.functions = self._invoke
        self.events: list[Any] = []
        self.handler: Handler = lambda event: event
        self.held: list[Callable[[Answer], None]] = []
        self.holds = False

    def _invoke(self, function: str, event: Any, told: Callable[[Answer], None]) -> None:
        self.events.append(event)
        if self.holds:
            self.held.append(told)
            return
        try:
            told(Answer(self.handler(event)))
        except Raised as error:
            told(Answer(error=type(error).__name__, cause=str(error)))

    def run(self, states: dict[str, Any], given: Any = None, start: str = "A") -> Execution:
        text = json.dumps({"QueryLanguage": "JSONata", "StartAt": start, "States": states})
        arn = self.machines.create("m", text)
        return self.machines.start(arn, "run", json.dumps(given))

    def advance(self, seconds: float) -> None:
        self.time += seconds
        self.machines.run_due()


def task(**more: Any) -> dict[str, Any]:
    """A task that hands its input to a function."""
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Arguments": {"FunctionName": "f", "Payload": "{% $states.input %}"},
        **({} if "Next" in more else {"End": True}),
        **more,
    }


def waiting(**more: Any) -> dict[str, Any]:
    """A task that waits for its token."""
    arguments = {"FunctionName": "f", "Payload": {"token": "{% $states.context.Task.Token %}"}}
    return task(
        Resource="arn:aws:states:::lambda:invoke.waitForTaskToken", Arguments=arguments, **more
    )


CAUGHT = {"Type": "Pass", "End": True}
RETRY = {"ErrorEquals": ["States.TaskFailed"], "IntervalSeconds": 10, "MaxAttempts": 2}


def failing_times(times: int) -> Handler:
    """Fails so often, then answers how often it was called."""
    calls = 0

    def handler(_: Any) -> int:
        nonlocal calls
        calls += 1
        if calls <= times:
            raise Raised("not yet")
        return calls

    return handler
