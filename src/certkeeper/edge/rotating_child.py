"""The other side of edge/rotator.py: requests from standard input, an answer to each.

One child lives as long as a rotation. Each line is a request, a JSON object whose ``do`` says
which step; each answer is one line, whose ``event`` names what came of it. What the steps do
is in edge/rotation_steps.py. Nothing that they find on the device ends the child: that goes
into the answer, and no byte of a key ever does.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import warnings
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import IO, Any, Callable

from certkeeper.edge import rotation_device, rotation_steps
from certkeeper.edge.rotation_device import Answer, Device, Request, StepProblem
from rotation_protocol.reasons import FailureReason

MAX_DETAIL = 300


def main() -> int:
    """Answer each request on standard input, until it ends; 0, whatever the answers say."""
    warnings.simplefilter("ignore")  # the X.509 library warns of odd names, which are none of ours
    answers = _take_standard_output()
    parent = os.getppid()
    child = RotatingChild(orphaned=lambda: os.getppid() != parent)
    with contextlib.suppress(BrokenPipeError):  # nobody listens any more
        for line in sys.stdin.buffer:
            answers.write(json.dumps(child.answer(line)).encode() + b"\n")
            answers.flush()
    return 0


def _take_standard_output() -> IO[bytes]:
    """The pipe that the answers go into, out of everybody else's reach: whatever a library or a
    command prints from now on goes to standard error."""
    sys.stdout.flush()
    answers = io.BufferedWriter(io.FileIO(os.dup(1), "w"))
    os.dup2(2, 1)
    return answers


def _utc_now() -> datetime:
    return datetime.now(timezone.utc)


class RotatingChild:
    """Answers requests. ``orphaned`` says whether whoever asked is gone: what he wanted must not
    be done behind the back of a new one."""

    def __init__(
        self,
        now: Callable[[], datetime] = _utc_now,
        orphaned: Callable[[], bool] = lambda: False,
    ) -> None:
        self._device: Device | None = None
        self._problem = StepProblem(FailureReason.INTERNAL_ERROR, "no survey has been made")
        #: What is asked for: the step's name, the event's, and who does it.
        self._steps: Mapping[str, tuple[str, str, Callable[[Device, Request], Answer]]] = {
            "prepare": ("Prepare", "Prepared", lambda d, r: rotation_steps.prepare(d, r, orphaned)),
            "stage": ("Stage", "Staged", lambda d, r: rotation_steps.stage(d, r, now())),
            "probe": ("Probe", "Probed", rotation_steps.probe),
            "arm": ("Arm", "Armed", rotation_steps.arm),
            "activate": ("Activate", "Activated", rotation_steps.activate),
            "reconnect": ("Reconnect", "Reconnected", rotation_steps.reconnect),
            "disarm": ("Disarm", "Disarmed", rotation_steps.disarm),
            "wipe": ("Wipe", "Wiped", rotation_steps.wipe),
        }

    def answer(self, line: bytes) -> Answer:
        """The answer to the request in one line."""
        try:
            request: dict[str, Any] = json.loads(line)
            do = str(request["do"])
        except (ValueError, KeyError, TypeError, RecursionError):
            return _failed("", FailureReason.INTERNAL_ERROR, "the request is not understood")
        if do == "survey":
            return self._survey(request)
        if do not in self._steps:
            return _failed("", FailureReason.INTERNAL_ERROR, "the request is not known")
        step, event, act = self._steps[do]
        try:
            if self._device is None:
                raise self._problem
            with rotation_device.store_problems():
                return {"event": event, **act(self._device, request)}
        except StepProblem as problem:
            return _failed(step, problem.reason, problem.detail)

    def _survey(self, request: Request) -> Answer:
        """Find the device's pair anew: what is found counts for the steps that follow, even where
        its store cannot be looked at."""
        self._device = None
        try:
            self._device = rotation_device.find(request)
            with rotation_device.store_problems():
                return {"event": "Surveyed", **rotation_device.look(self._device)}
        except StepProblem as problem:
            self._problem = problem
            return {"event": "SurveyFailed", "reason": problem.detail[:MAX_DETAIL]}


def _failed(step: str, reason: FailureReason, detail: str) -> Answer:
    return {
        "event": "StepFailed",
        "step": step,
        "reason": reason.value,
        "detail": detail[:MAX_DETAIL],
    }
