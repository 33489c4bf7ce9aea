"""The Step Functions of an account: state machines, their executions, and the time that they see.

Everything that happens to an execution happens in one queue, whoever's thread brings it, so
that no two things happen to it at once. Refusals are the API's errors, by name.
https://docs.aws.amazon.com/step-functions/latest/apireference/Welcome.html
"""

from __future__ import annotations

import heapq
import itertools
import json
import re
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lab.states.definition import Definition, parse
from lab.states.execution import MAX_PAYLOAD, Answer, Execution
from lab.timeline import Timeline

#: Takes a function's ARN and an event; the answer is told, now or later, on any thread.
Invoke = Callable[[str, Any, Callable[[Answer], None]], None]

# https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
_NAME = re.compile(r"[^\s<>{}\[\]?*\"#%\\^|~`$&,;:/\x00-\x1f\x7f-\x9f]{1,80}")


class StatesError(Exception):
    """A call that Step Functions refuses; ``code`` is the API's."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(order=True)
class _Due:
    moment: float
    number: int
    action: Callable[[], None] = field(compare=False)


def _nobody(function: str, _event: Any, told: Callable[[Answer], None]) -> None:
    told(Answer(error="Lambda.ResourceNotFoundException", cause=f"there is no {function}"))


class StateMachines:
    """Speaks as ``workflow`` in the timeline. Any thread may call; nothing here blocks.

    ``functions`` runs them. ``retry_delay`` makes of the seconds of a retrier those after which
    a task is really tried again: a lab has not the patience of AWS.
    """

    def __init__(
        self,
        account_id: str,
        region: str,
        *,
        clock: Callable[[], float] = time.time,
        timeline: Timeline | None = None,
    ) -> None:
        self.clock = clock
        self.functions: Invoke = _nobody
        self.retry_delay: Callable[[float], float] = lambda seconds: seconds
        self.changed = threading.Condition(threading.RLock())
        self._arn = f"arn:aws:states:{region}:{account_id}"
        self._timeline = timeline
        self._machines: dict[str, Definition] = {}
        self._executions: dict[str, Execution] = {}
        self._due: list[_Due] = []
        self._numbers = itertools.count()
        self._waiting: deque[Callable[[], None]] = deque()
        self._is_draining = False

    def clear(self) -> None:
        """Forget every state machine and execution, without a word to anybody."""
        with self.changed:
            self._machines.clear()
            self._executions.clear()
            self._due.clear()
            self._waiting.clear()
            self.changed.notify_all()

    # --- the API ------------------------------------------------------------------------

    def create(self, name: str, definition: str) -> str:
        """A state machine's ARN. Raises DefinitionError."""
        parsed = parse(definition)
        arn = f"{self._arn}:stateMachine:{name}"
        with self.changed:
            self._machines[arn] = parsed
        return arn

    def start(self, machine_arn: str, name: str | None, given: str) -> Execution:
        """The execution, once it has to wait for something. Raises StatesError.

        A running one of the same name and input is the one; see ports.Workflows.start.
        """
        with self.changed:
            definition = self._machines.get(machine_arn)
            if definition is None:
                raise StatesError("StateMachineDoesNotExist", f"there is no {machine_arn}")
            called = name or str(uuid.uuid4())
            if not _NAME.fullmatch(called):
                raise StatesError("InvalidName", f"not a name: {called!r}")
            known = self._executions.get(self._execution_arn(machine_arn, called))
            if known is not None:
                if known.status == "RUNNING" and known.given == _json(given):
                    return known
                raise StatesError("ExecutionAlreadyExists", f"there was a {called}")
            execution = Execution(
                self._execution_arn(machine_arn, called),
                called,
                machine_arn,
                definition,
                _json(given),
                self,
            )
            self._executions[execution.arn] = execution
        self._do(execution.begin)
        return execution

    def succeed(self, token: str, output: str) -> None:
        """SendTaskSuccess. Raises StatesError."""
        execution, result = self._with_token(token), _json(output, "InvalidOutput")
        self._do(lambda: execution.task_succeeded(result) if execution.token == token else None)

    def fail(self, token: str, error: str, cause: str) -> None:
        """SendTaskFailure. Raises StatesError."""
        execution = self._with_token(token)
        self._do(lambda: execution.task_failed(error, cause) if execution.token == token else None)

    def stop(self, arn: str, error: str | None = None, cause: str | None = None) -> Execution:
        """StopExecution. Raises StatesError."""
        execution = self.execution(arn)
        self._do(lambda: execution.stop(error, cause) if execution.status == "RUNNING" else None)
        return execution

    def execution(self, arn: str) -> Execution:
        """Raises StatesError."""
        with self.changed:
            if arn not in self._executions:
                raise StatesError("ExecutionDoesNotExist", f"there is no {arn}")
            return self._executions[arn]

    def executions(self, machine_arn: str) -> list[Execution]:
        """The newest first. Raises StatesError."""
        with self.changed:
            if machine_arn not in self._machines:
                raise StatesError("StateMachineDoesNotExist", f"there is no {machine_arn}")
            ours = [e for e in self._executions.values() if e.machine_arn == machine_arn]
            return ours[::-1]

    # --- time ---------------------------------------------------------------------------

    def run_due(self) -> None:
        """Do what is due by the clock; whatever sets the clock calls it."""
        while True:
            with self.changed:
                if not self._due or self._due[0].moment > self.clock():
                    return
                due = heapq.heappop(self._due)
            self._do(due.action)

    def next_due(self) -> float | None:
        """When the next thing is due, in seconds since the epoch; None: nothing is."""
        with self.changed:
            return self._due[0].moment if self._due else None

    def idle(self, timeout: float = 30.0) -> bool:
        """Wait until no function is at work for an execution, or to be tried again."""
        with self.changed:
            return self.changed.wait_for(lambda: not self.is_working, timeout)

    @property
    def is_working(self) -> bool:
        """Whether a function is at work for an execution, or is to be tried again."""
        with self.changed:
            return bool(self._waiting) or any(e.is_working for e in self._executions.values())

    # --- what an execution needs: see execution.Surroundings -----------------------------

    def now(self) -> float:
        return self.clock()

    def invoke(self, function: str, event: Any, told: Callable[[Answer], None]) -> None:
        self.functions(function, event, lambda answer: self._do(lambda: told(answer)))

    def at(self, moment: float, action: Callable[[], None]) -> None:
        with self.changed:
            heapq.heappush(self._due, _Due(moment, next(self._numbers), action))
            self.changed.notify_all()

    def retry_at(self, seconds: float, action: Callable[[], None]) -> None:
        self.at(self.clock() + self.retry_delay(seconds), action)

    def say(self, execution: Execution, what: str, **details: object) -> None:
        if self._timeline is not None:
            self._timeline.record("workflow", what, execution=execution.name, **details)

    # --- within -------------------------------------------------------------------------

    def _do(self, action: Callable[[], None]) -> None:
        """Put it in the queue, and work the queue off unless somebody is at it."""
        with self.changed:
            self._waiting.append(action)
            if self._is_draining:
                return
            self._is_draining = True
        while True:
            with self.changed:
                if not self._waiting:
                    self._is_draining = False
                    self.changed.notify_all()
                    return
                following = self._waiting.popleft()
                following()

    def _execution_arn(self, machine_arn: str, name: str) -> str:
        return f"{self._arn}:execution:{machine_arn.rpartition(':')[2]}:{name}"

    def _with_token(self, token: str) -> Execution:
        with self.changed:
            for execution in self._executions.values():
                if execution.token is not None and execution.token == token:
                    return execution
        raise StatesError("TaskTimedOut", "no task waits with this token (any more)")


def _json(text: str, code: str = "InvalidExecutionInput") -> Any:
    if len(text.encode()) > MAX_PAYLOAD:
        raise StatesError(code, f"more than {MAX_PAYLOAD} bytes")
    try:
        return json.loads(text)
    except ValueError as error:
        raise StatesError(code, f"no JSON: {error}") from None
