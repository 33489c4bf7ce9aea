"""Lambda functions, run in this process as Lambda invokes them.

Each invocation waits in line for a worker. An asynchronous one (``invoke``) whose handler
raises is made again with the same event, and after its last retry the event is a dead letter
(``dead-letter``); of one that is waited for (``request``) the answer is told, or the error.
Each function is loaded once, under a module name of its own, as a container is started once.

A handler reads ``os.environ`` when it is called. The environment is the process's, so the
variables of all functions are set while a Functions is open; two functions that disagree
on one are refused. Left out: time limits, memory, concurrency limits.
(AWS Lambda Developer Guide, "How Lambda handles errors and retries with asynchronous
invocation".)
"""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from lab.cloud.template import Function
from lab.states.execution import Answer
from lab.timeline import Timeline

Handler = Callable[[Any, "Context"], Any]

WORKERS = 4

#: The function whose handler runs on this thread, if one does.
running: ContextVar[Function | None] = ContextVar("running", default=None)


def short_delay(attempt: int) -> float:
    """Seconds before a retry, where Lambda waits one minute, then two."""
    return 0.05 * attempt


@dataclass(frozen=True)
class Context:
    """What Lambda passes beside the event, as far as handlers here may look.

    https://docs.aws.amazon.com/lambda/latest/dg/python-context.html
    """

    function_name: str
    aws_request_id: str
    deadline: float  # of time.monotonic()

    def get_remaining_time_in_millis(self) -> int:
        """What is left of the function's time limit."""
        return max(0, round((self.deadline - time.monotonic()) * 1000))


@dataclass(frozen=True)
class _Invocation:
    function: Function
    event: str = field(repr=False)  # JSON, so that no attempt sees what another did to it
    request_id: str


class Functions:
    """``with Functions(...) as functions:``; any thread may invoke. Speaks as ``lambda``."""

    def __init__(
        self,
        functions: Mapping[str, Function],
        timeline: Timeline,
        *,
        environment: Mapping[str, str] | None = None,
        retry_delay: Callable[[int], float] = short_delay,
        workers: int = WORKERS,
    ) -> None:
        """``environment`` comes on top of the functions' own; ``retry_delay`` takes 1, 2, ... and
        gives seconds. Raises ValueError if two functions disagree on a variable.
        """
        self._functions = dict(functions)
        self._timeline = timeline
        self._environment = together(functions, environment or {})
        self._retry_delay = retry_delay
        self._workers = workers
        self._changed = threading.Condition()
        self._running = 0
        self._retries: set[threading.Timer] = set()
        self._closed = False
        self._handlers: dict[str, Handler] = {}
        self._before: dict[str, str | None] = {}
        self._pool: ThreadPoolExecutor

    def __enter__(self) -> Functions:
        self._before = {name: os.environ.get(name) for name in self._environment}
        with ExitStack() as undone:
            undone.callback(self._restore_environment)
            os.environ.update(self._environment)
            self._handlers = {name: load(each) for name, each in self._functions.items()}
            self._pool = ThreadPoolExecutor(self._workers, "lab-lambda")
            undone.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Waits for what is running; retries that are due later are dropped."""
        with self._changed:
            self._closed = True
            for timer in self._retries:
                timer.cancel()
        self._pool.shutdown(cancel_futures=True)
        self._restore_environment()

    def invoke(self, name: str, event: Any) -> None:
        """Put an event (a JSON value) in line. KeyError if there is no such function."""
        invocation = _Invocation(self._functions[name], json.dumps(event), str(uuid.uuid4()))
        with self._changed:
            if self._closed:
                return
            self._running += 1
        self._submit(invocation, 1)

    def call(self, name: str, event: Any) -> Any:
        """Invoke a function and wait for its answer, as an operator does: no retries.

        Not from the loop. Raises what the handler raises.
        """
        invocation = _Invocation(self._functions[name], json.dumps(event), str(uuid.uuid4()))
        return json.loads(json.dumps(self._call(invocation, 1)))

    def request(self, name: str, event: Any, told: Callable[[Answer], None]) -> None:
        """Invoke it and tell the answer, on a worker's thread. KeyError as for ``invoke``.

        The name of an error is that of the exception's class, its cause what Lambda says of it.
        https://docs.aws.amazon.com/step-functions/latest/dg/connect-lambda.html
        """
        invocation = _Invocation(self._functions[name], json.dumps(event), str(uuid.uuid4()))
        with self._changed:
            if self._closed:
                return
            self._running += 1
            future = self._pool.submit(self._call, invocation, 1)
        future.add_done_callback(functools.partial(self._answered, invocation, told))

    def idle(self, timeout: float = 30.0) -> None:
        """Wait until nothing is running, in line or to be retried. Raises TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._running == 0, timeout):
                raise TimeoutError(f"{self._running} invocations after {timeout:g} s")

    # --- within

    def _submit(self, invocation: _Invocation, attempt: int) -> None:
        with self._changed:
            if self._closed:
                return
            future = self._pool.submit(self._call, invocation, attempt)
        future.add_done_callback(functools.partial(self._ended, invocation, attempt))

    def _call(self, invocation: _Invocation, attempt: int) -> Any:
        function = invocation.function
        self._record("function-invoked", invocation, attempt=attempt)
        context = Context(function.name, invocation.request_id, time.monotonic() + function.timeout)
        token = running.set(function)
        try:
            return self._handlers[function.name](json.loads(invocation.event), context)
        finally:
            running.reset(token)

    def _answered(
        self, invocation: _Invocation, told: Callable[[Answer], None], future: Future[Any]
    ) -> None:
        if future.cancelled():
            return
        error = future.exception()
        if error is None:
            self._record("function-done", invocation, attempt=1)
            told(Answer(json.loads(json.dumps(future.result()))))
        else:
            kind, why = type(error).__name__, str(error)
            self._record("function-failed", invocation, attempt=1, error=f"{kind}: {why}")
            told(Answer(error=kind, cause=json.dumps({"errorMessage": why, "errorType": kind})))
        with self._changed:
            self._running -= 1
            self._changed.notify_all()

    def _ended(self, invocation: _Invocation, attempt: int, future: Future[Any]) -> None:
        if future.cancelled():
            return
        error = future.exception()
        if error is None:
            self._record("function-done", invocation, attempt=attempt)
        else:
            why = f"{type(error).__name__}: {error}"
            self._record("function-failed", invocation, attempt=attempt, error=why)
            if attempt <= invocation.function.retries:
                self._retry(invocation, attempt)
                return
            event = json.loads(invocation.event)
            self._record("dead-letter", invocation, error=why, event=event)
        with self._changed:
            self._running -= 1
            self._changed.notify_all()

    def _retry(self, invocation: _Invocation, attempt: int) -> None:
        def again() -> None:
            with self._changed:
                self._retries.discard(timer)
            self._submit(invocation, attempt + 1)

        timer = threading.Timer(self._retry_delay(attempt), again)
        timer.daemon = True
        with self._changed:
            if self._closed:
                return
            self._retries.add(timer)
            timer.start()

    def _record(self, what: str, invocation: _Invocation, **details: object) -> None:
        self._timeline.record(
            "lambda",
            what,
            function=invocation.function.name,
            request_id=invocation.request_id,
            **details,
        )

    def _restore_environment(self) -> None:
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def together(functions: Mapping[str, Function], more: Mapping[str, str]) -> dict[str, str]:
    together: dict[str, str] = {}
    for function in functions.values():
        for name, value in function.environment.items():
            if together.setdefault(name, value) != value:
                raise ValueError(f"{function.name} wants another {name} than the functions before")
    return {**together, **more}


def load(function: Function) -> Handler:
    """The handler, of a module that is loaded anew."""
    name = f"lab_function_{function.name}"
    spec = importlib.util.spec_from_file_location(name, function.file)
    assert spec is not None  # a file that ends in .py
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look themselves up there
    spec.loader.exec_module(module)
    handler: Handler = getattr(module, function.handler)
    return handler
