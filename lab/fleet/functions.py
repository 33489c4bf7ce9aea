"""Lambda in simulated time: asynchronous invocations, their queue, and what becomes of failures.

An event waits in the function's queue until it may run: within the concurrency that the
template reserves, and that of the account. One that may not yet is tried again after 1 s,
2 s, and so on up to 5 minutes, until it is too old; that is no error of the function. A
handler that fails, or takes longer than its time limit, is called again one minute and then
two minutes later; after that, the event is a dead letter.

The handlers are the real ones. They get their ``Cloud`` from rotation_cloud.aws.cloud, which
is the simulation's while one runs.
https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
"""

from __future__ import annotations

import json
import logging
import os
import random
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

from lab.cloud.functions import Context, load, together
from lab.cloud.quotas import LAMBDA_CONCURRENCY
from lab.cloud.template import Function
from lab.fleet.virtual_time import VirtualTime
from lab.states.execution import Answer
from rotation_cloud import aws
from rotation_cloud.ports import Cloud

#: Seconds of an invocation beside its AWS calls, for a function that is warm: an estimate.
OVERHEAD = 0.01
#: The first and the longest wait of an event that may not run yet.
_WAIT, _LONGEST_WAIT = 1.0, 300.0
#: Before a failed event is tried for the second and the third time.
_AFTER_FAILURE = (60.0, 120.0)

#: Thousands of lines that nobody would read.
_QUIET = logging.NullHandler()

Sleep = Callable[[float], None]
#: Makes the Cloud of an execution of a function, which waits with this.
CloudFor = Callable[[Function, Sleep], Cloud]


class OutOfTime(BaseException):
    """The function's time limit is over: nothing in the handler may catch this."""


@dataclass
class Invocation:
    """An event on its way through a function's queue."""

    function: Function
    event: str = field(repr=False)  # JSON
    since: float
    attempts: int = 0
    waits: int = 0
    error: str = ""


class Functions:
    """The functions of one account. ``cloud_for`` is asked at the start of each execution."""

    def __init__(
        self,
        time: VirtualTime,
        functions: Mapping[str, Function],
        cloud_for: CloudFor,
        chance: random.Random,
    ) -> None:
        self._time = time
        self._functions = dict(functions)
        self._handlers = {name: load(each) for name, each in functions.items()}
        self._cloud_for = cloud_for
        self._chance = chance
        self._running: Counter[str] = Counter()
        self._current: Cloud | None = None
        self._waiting = 0
        self.is_away = False
        self.dead_letters: list[Invocation] = []
        #: By function: invoked, throttled, failed.
        self.invoked: Counter[str] = Counter()
        self.throttled: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.most_at_once: Counter[str] = Counter()
        self.failures: deque[str] = deque(maxlen=100)
        self.gigabyte_seconds = 0.0

    @contextmanager
    def loaded(self) -> Iterator[None]:
        """Within it the handlers have the simulation's Cloud, and their environment."""
        logger = logging.getLogger("rotation_cloud")
        logger.addHandler(_QUIET)
        logger.propagate = False
        try:
            with (
                mock.patch.object(aws, "cloud", self._cloud_now),
                mock.patch.dict(os.environ, together(self._functions, {})),
            ):
                yield
        finally:
            logger.propagate = True
            logger.removeHandler(_QUIET)

    def _cloud_now(self, _environment: Mapping[str, str]) -> Cloud:
        assert self._current is not None
        return self._current

    def invoke(self, name: str, event: Any) -> None:
        """Put an event (a JSON value) in the function's queue."""
        given = Invocation(self._functions[name], json.dumps(event), self._time.now)
        self._waiting += 1
        self._time.after(0.0, lambda: self._try(given))

    def request(self, name: str, event: Any, told: Callable[[Answer], None]) -> None:
        """Invoke it and tell the answer, as a state machine does; whoever asks tries again."""
        function = self._functions[name]
        if not self._may_run(function):
            self.throttled[name] += 1
            refusal = Answer(error="Lambda.TooManyRequestsException", cause="Rate exceeded")
            self._time.after(0.0, lambda: told(refusal))
            return
        self._enter(function)
        self._waiting += 1

        def run() -> None:
            answer = self._execute(function, json.dumps(event))
            self._waiting -= 1
            told(answer)

        self._time.begin(run)

    @property
    def waiting(self) -> int:
        """How many events are in a queue, or being served."""
        return self._waiting

    def _try(self, given: Invocation) -> None:
        function = given.function
        if self._may_run(function):
            self._enter(function)
            self._time.begin(lambda: self._run(given))
            return
        self.throttled[function.name] += 1
        wait = min(_WAIT * 2**given.waits, _LONGEST_WAIT) * self._chance.uniform(0.5, 1.0)
        given.waits += 1
        self._again(given, wait, "throttled")

    def _may_run(self, function: Function) -> bool:
        if self.is_away:
            return False
        reserved = {f.name: f.concurrency for f in self._functions.values() if f.concurrency}
        if function.name in reserved:
            return self._running[function.name] < reserved[function.name]
        others = sum(n for name, n in self._running.items() if name not in reserved)
        return others < LAMBDA_CONCURRENCY - sum(reserved.values())

    def _again(self, given: Invocation, wait: float, error: str) -> None:
        given.error = error
        if self._time.now + wait - given.since > given.function.max_age:
            self._give_up(given)
            return
        self._time.after(wait, lambda: self._try(given))

    def _enter(self, function: Function) -> None:
        self._running[function.name] += 1
        running = self._running[function.name]
        self.most_at_once[function.name] = max(running, self.most_at_once[function.name])

    def _run(self, given: Invocation) -> None:
        function = given.function
        given.attempts += 1
        answer = self._execute(function, given.event)
        if answer.error is None:
            self._waiting -= 1
            return
        given.error = f"{answer.error}: {answer.cause}"
        if given.attempts > function.retries:
            self._give_up(given)
        else:
            self._again(given, _AFTER_FAILURE[given.attempts - 1], given.error)

    def _execute(self, function: Function, event: str) -> Answer:
        """One execution, in a task. The names of errors are those of Step Functions."""
        begun = self._time.now
        self.invoked[function.name] += 1

        def sleep(seconds: float) -> None:
            left = begun + function.timeout - self._time.now
            self._time.sleep(min(seconds, left))
            if seconds > left:
                raise OutOfTime

        try:
            sleep(OVERHEAD)
            self._current = self._cloud_for(function, sleep)
            context = Context(function.name, "", begun + function.timeout)
            return Answer(self._handlers[function.name](json.loads(event), context))
        except OutOfTime:
            problem = Answer(error="Sandbox.Timedout", cause=f"timed out, {function.timeout} s")
        except AssertionError:
            raise  # of the simulation itself
        except Exception as raised:  # noqa: BLE001  # whatever it is, it is tried again
            problem = Answer(error=type(raised).__name__, cause=str(raised))
        finally:
            self._running[function.name] -= 1
            self.gigabyte_seconds += (self._time.now - begun) * function.memory / 1024
        self.failed[function.name] += 1
        self.failures.append(f"{function.name}: {problem.error}: {problem.cause}")
        return problem

    def _give_up(self, given: Invocation) -> None:
        self._waiting -= 1
        self.dead_letters.append(given)
