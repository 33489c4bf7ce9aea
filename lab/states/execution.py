"""One run of a state machine, from state to state, until it has to wait for something.

It never blocks and has no clock: what it waits for (a function's answer, a token, a time) comes
back as a call. Each state that it enters, and each try of a task, is a *turn*; what belongs to
an earlier turn comes too late, and is ignored.
"""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol

from lab.states.definition import Branch, Definition, State
from lab.states.expressions import QueryEvaluationError, evaluate

#: https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
MAX_PAYLOAD = 256 * 1024

TIMEOUT = "States.Timeout"
_TASK_FAILED, _ALL = "States.TaskFailed", "States.ALL"
_NEVER_CAUGHT = ("States.DataLimitExceeded", "States.Runtime")


@dataclass(frozen=True)
class Answer:
    """What came of a function: its result, or an error's name and cause."""

    result: Any = None
    error: str | None = None
    cause: str = ""


class Surroundings(Protocol):
    """What an execution needs of the service that it runs in."""

    def now(self) -> float: ...

    def at(self, moment: float, action: Callable[[], None]) -> None:
        """Do it once that time has come."""

    def retry_at(self, seconds: float, action: Callable[[], None]) -> None:
        """Do it so many seconds of a retrier's later."""

    def invoke(self, function: str, event: Any, told: Callable[[Answer], None]) -> None:
        """Invoke a function, by its ARN; ``told`` hears of its answer."""

    def say(self, execution: Execution, what: str, **details: object) -> None: ...


@dataclass
class Execution:
    """``status`` and what goes with it as in DescribeExecution; ``events`` is its history."""

    arn: str
    name: str
    machine_arn: str
    definition: Definition
    given: Any
    surroundings: Surroundings = field(repr=False)
    status: str = "RUNNING"
    output: Any = None
    error: str | None = None
    cause: str | None = None
    started_at: float = 0.0
    stopped_at: float | None = None
    token: str | None = field(default=None, repr=False)
    is_working: bool = False  # a function is at it, or is tried again
    events: list[tuple[float, str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.started_at = self.surroundings.now()
        self._variables: dict[str, Any] = {}
        self._state: State
        self._input: Any = None
        self._entered = 0.0
        self._turn = 0
        self._tries: Counter[int] = Counter()

    # --- from outside -------------------------------------------------------------------

    def begin(self) -> None:
        """Enter the first state."""
        self._say("execution-started")
        self._enter(self.definition.start_at, self.given)

    def task_succeeded(self, output: Any) -> None:
        """Its token came back, with what is the task's result."""
        self.token = None
        self._completed(output)

    def task_failed(self, error: str, cause: str) -> None:
        """Its token came back with an error."""
        self.token = None
        self._failed(error, cause)

    def stop(self, error: str | None, cause: str | None) -> None:
        """End it from outside."""
        self._end("ABORTED", error=error, cause=cause)

    # --- states -------------------------------------------------------------------------

    def _enter(self, name: str, given: Any) -> None:
        self._state = self.definition.states[name]
        self._input, self._entered = given, self.surroundings.now()
        self._tries.clear()
        self._say("state-entered", state=name)
        if _is_too_large(given):
            self._end("FAILED", error="States.DataLimitExceeded", cause=name)
            return
        try:
            self._do(self._state)
        except QueryEvaluationError as error:
            self._failed("States.QueryEvaluationError", str(error))

    def _do(self, state: State) -> None:
        self._turn += 1
        match state.kind:
            case "Task":
                self._ask(state)
            case "Choice":
                self._choose(state)
            case "Wait":
                passed = partial(self._in_turn, self._turn, self._completed, self._input)
                self.surroundings.at(self._waits_until(state), passed)
            case "Pass":
                self._completed(self._input)
            case "Succeed":
                self._take(state.onward, self._input)
            case "Fail":
                error, cause = (self._evaluated(state.fields.get(n)) for n in ("Error", "Cause"))
                self._end("FAILED", error=error, cause=cause)

    def _choose(self, state: State) -> None:
        holding = (rule for rule in state.rules if self._evaluated(rule.condition) is True)
        branch = next(holding, state.onward)
        if branch.next is None:
            self._failed("States.NoChoiceMatched", state.name)
        else:
            self._take(branch, self._input)

    def _waits_until(self, state: State) -> float:
        if "Seconds" in state.fields:
            seconds = self._evaluated(state.fields["Seconds"])
            if type(seconds) is not int or seconds < 0:
                raise QueryEvaluationError(f"Seconds: {seconds!r}")
            return self.surroundings.now() + seconds
        moment = self._evaluated(state.fields["Timestamp"])
        try:
            parsed = datetime.fromisoformat(moment)
        except (TypeError, ValueError):
            raise QueryEvaluationError(f"Timestamp: {moment!r}") from None
        if parsed.tzinfo is None or "T" not in moment:
            raise QueryEvaluationError(f"Timestamp: {moment!r}")
        return parsed.timestamp()

    # --- tasks --------------------------------------------------------------------------

    def _ask(self, state: State) -> None:
        self.token = secrets.token_urlsafe(96) if state.waits_for_token else None
        arguments = self._evaluated(state.fields["Arguments"])
        turn = self._turn
        if "TimeoutSeconds" in state.fields:
            seconds = self._evaluated(state.fields["TimeoutSeconds"])
            if type(seconds) is not int or seconds < 1:
                raise QueryEvaluationError(f"TimeoutSeconds: {seconds!r}")
            timed_out = partial(self._in_turn, turn, self._failed, TIMEOUT, "")
            self.surroundings.at(self.surroundings.now() + seconds, timed_out)
        self.is_working = True
        self.surroundings.invoke(
            arguments["FunctionName"],
            arguments.get("Payload", {}),
            lambda answer: self._in_turn(turn, self._answered, answer),
        )

    def _answered(self, answer: Answer) -> None:
        self.is_working = False
        if answer.error is not None:
            self._failed(answer.error, answer.cause)
        elif not self._state.waits_for_token:
            self._completed({"StatusCode": 200, "Payload": answer.result})

    def _failed(self, error: str, cause: str) -> None:
        """A state failed: it is tried again, or caught, or the execution ends."""
        self.token, self.is_working = None, False
        self._turn += 1
        self._say("state-failed", state=self._state.name, error=error, cause=cause)
        delay = self._delay(error)
        if delay is not None:
            self.is_working = True
            again = partial(self._in_turn, self._turn, self._again)
            self.surroundings.retry_at(delay, again)
            return
        catching = (one for one in self._state.catchers if _matches(one.errors, error))
        catcher = next(catching, None)
        if catcher is None:
            self._end("FAILED", error=error, cause=cause)
            return
        told = {"Error": error, "Cause": cause}
        try:
            self._take(catcher, told, errorOutput=told)
        except QueryEvaluationError as wrong:
            self._end("FAILED", error="States.QueryEvaluationError", cause=str(wrong))

    def _delay(self, error: str) -> float | None:
        """After how many seconds to try again; None: no more. The first retrier that matches
        has the word."""
        for number, retrier in enumerate(self._state.retriers):
            if _matches(retrier.errors, error):
                if self._tries[number] >= retrier.most:
                    return None
                self._tries[number] += 1
                return retrier.delay(self._tries[number] - 1)
        return None

    def _again(self) -> None:
        self.is_working = False
        self._say("state-retried", state=self._state.name)
        try:
            self._do(self._state)
        except QueryEvaluationError as error:
            self._failed("States.QueryEvaluationError", str(error))

    # --- onward -------------------------------------------------------------------------

    def _completed(self, result: Any) -> None:
        try:
            self._take(self._state.onward, result, result=result)
        except QueryEvaluationError as error:
            self._failed("States.QueryEvaluationError", str(error))

    def _take(self, branch: Branch, default: Any, **more: Any) -> None:
        """Go on that way: assignments and output see the variables as they were."""
        self._turn += 1
        self.token, self.is_working = None, False
        output = self._evaluated(branch.output, **more) if branch.has_output else default
        assigned = self._evaluated(dict(branch.assign), **more)
        self._variables.update(assigned)
        if branch.next is None:
            self._end("SUCCEEDED", output)
        else:
            self._enter(branch.next, output)

    def _end(self, status: str, output: Any = None, **why: str | None) -> None:
        self._turn += 1
        self.status, self.output = status, output
        self.token, self.is_working = None, False
        self.error, self.cause = why.get("error"), why.get("cause")
        self.stopped_at = self.surroundings.now()
        said = {name: value for name, value in why.items() if value is not None}
        self._say(f"execution-{status.lower()}", **said)

    def _in_turn(self, turn: int, action: Callable[..., None], *arguments: Any) -> None:
        if turn == self._turn and self.status == "RUNNING":
            action(*arguments)

    # --- what expressions see -----------------------------------------------------------

    def _evaluated(self, value: Any, **more: Any) -> Any:
        states = {"input": self._input, "context": self._context(), **more}
        return evaluate(value, {**self._variables, "states": states})

    def _context(self) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/step-functions/latest/dg/input-output-contextobject.html"""
        context: dict[str, Any] = {
            "Execution": {
                "Id": self.arn,
                "Name": self.name,
                "Input": self.given,
                "StartTime": rfc3339(self.started_at),
            },
            "State": {
                "Name": self._state.name,
                "EnteredTime": rfc3339(self._entered),
                "RetryCount": self._tries.total(),
            },
            "StateMachine": {
                "Id": self.machine_arn,
                "Name": self.machine_arn.rpartition(":")[2],
            },
        }
        if self.token is not None:
            context["Task"] = {"Token": self.token}
        return context

    def _say(self, what: str, **details: object) -> None:
        self.events.append((self.surroundings.now(), what, str(details.get("state", ""))))
        self.surroundings.say(self, what, **details)


def rfc3339(moment: float) -> str:
    """As the context object and DescribeExecution have it, in UTC with milliseconds."""
    text = datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _matches(errors: tuple[str, ...], error: str) -> bool:
    if error in errors:
        return True
    if _TASK_FAILED in errors and error != TIMEOUT:
        return True
    return _ALL in errors and error not in _NEVER_CAUGHT


def _is_too_large(value: Any) -> bool:
    return len(json.dumps(value, ensure_ascii=False).encode()) > MAX_PAYLOAD
