"""Has the steps of a rotation done by a child process, so that the daemon never holds a key.

The child (``python -m certkeeper rotate``, edge/rotating_child.py) is started for the first
step, answers each in turn, and is ended with the rotation. One thread waits for it, so that
the daemon never does; a child that fails, hangs or is not understood is killed, and another
one started for the next step (docs/decisions/0002).
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from collections.abc import Sequence

from certkeeper.core import effects, events
from certkeeper.core.effects import RotatorStep
from certkeeper.edge import rotator_json
from certkeeper.edge.line_child import ChildError, LineChild
from certkeeper.edge.rotator_json import AnswerError
from certkeeper.ports import EventSink
from rotation_protocol.reasons import FailureReason

#: A key of 3072 bits takes a small device long; a disk or a service manager may be slow.
TIMEOUT_SECONDS = 60.0
PREPARE_TIMEOUT_SECONDS = 120.0


class ChildRotator:
    """See ports.Rotator. For the Greengrass root ``root``; an empty ``thing_name`` is asked of the
    nucleus's configuration. ``timeout`` is for every step, where it is given."""

    def __init__(
        self,
        post: EventSink,
        root: str,
        thing_name: str,
        command: Sequence[str] = (sys.executable, "-m", "certkeeper", "rotate"),
        timeout: float | None = None,
    ) -> None:
        self._post = post
        self._root = root
        self._thing_name = thing_name
        self._command = tuple(command)
        self._timeout = timeout
        self._steps: queue.SimpleQueue[RotatorStep | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._started = False
        self._closed = False
        self._child: LineChild | None = None
        self._survey: effects.Survey | None = None  # the worker's own

    def do(self, step: RotatorStep) -> None:
        """See ports.Rotator."""
        if not self._started:
            try:
                threading.Thread(target=self._work, name="rotator", daemon=True).start()
            except RuntimeError as error:
                if not isinstance(step, effects.EndRotator):
                    self._post(_failed(step, f"no thread could be started: {error}"))
                return
            self._started = True
        self._steps.put(step)

    def close(self) -> None:
        """See ports.Rotator."""
        with self._lock:
            self._closed = True
            if self._child is not None:
                self._child.kill()
        self._steps.put(None)

    # -- the worker -------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            step = self._steps.get()
            if step is None or self._closed:
                self._end_child(at_once=True)
                return
            if isinstance(step, effects.EndRotator):
                self._end_child(at_once=False)
                continue
            event = self._outcome(step)
            # What a daemon that is ending has cut short is no failure of the rotation.
            if not self._closed:
                self._post(event)

    def _outcome(self, step: RotatorStep) -> events.Event:
        if isinstance(step, effects.Survey):
            self._survey = step
        try:
            return self._ask(step)
        except (ChildError, AnswerError) as error:
            self._end_child(at_once=True)
            return _failed(step, str(error))

    def _ask(self, step: RotatorStep) -> events.Event:
        """What the child answers. Raises ChildError or AnswerError."""
        if self._survey is None:
            raise ChildError("no survey has been asked for yet")
        survey = rotator_json.survey_request(self._survey, self._root, self._thing_name)
        if self._child is not None and not self._child.is_alive():
            self._end_child(at_once=True)
        fresh = self._child is None
        child = self._child or self._start()
        limit = self._timeout or TIMEOUT_SECONDS
        if isinstance(step, effects.Survey):
            return rotator_json.event(step, child.ask(survey, limit))
        if fresh:  # if nothing is found now, the step's own answer says why
            rotator_json.event(self._survey, child.ask(survey, limit))
        if isinstance(step, effects.Prepare):
            limit = self._timeout or PREPARE_TIMEOUT_SECONDS
        return rotator_json.event(step, child.ask(rotator_json.request(step), limit))

    def _start(self) -> LineChild:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        child = LineChild(self._command, environment)
        with self._lock:
            self._child = child
            if self._closed:
                child.kill()
        return child

    def _end_child(self, at_once: bool) -> None:
        with self._lock:
            child, self._child = self._child, None
        if child is not None:
            child.end(at_once)


def _failed(step: RotatorStep, why: str) -> events.Event:
    if isinstance(step, effects.Survey):
        return events.SurveyFailed(why)
    return events.StepFailed(type(step).__name__, FailureReason.INTERNAL_ERROR, why)
