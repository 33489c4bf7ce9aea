"""A rotator on a stage: what it posts, and children that say what they are told to."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from certkeeper.core import effects, events
from certkeeper.core.effects import RotatorStep
from certkeeper.core.settings import Settings
from certkeeper.edge.rotator import ChildRotator
from rotation_protocol.reasons import FailureReason

SURVEY = effects.Survey(Settings())
PREPARE = effects.Prepare("same", "auto")
#: A child that answers each request with the next of its arguments.
SPEAKER = 'for answer in "$@"; do read -r request; printf "%s\\n" "$answer"; done; exec cat >&2'
FOUND = {
    "event": "Surveyed",
    "folder": "/gg/certkeeper",
    "runtime": "classic",
    "adopted": False,
    "current": None,
    "slots": {s: {"hasKey": False, "certificateId": None, "whole": False} for s in "ab"},
    "inUse": "ab12",
    "journal": None,
}


def speaker(*answers: object) -> tuple[str, ...]:
    texts = [text if isinstance(text, str) else json.dumps(text) for text in answers]
    return ("sh", "-c", SPEAKER, "sh", *texts)


class Stage:
    """A ChildRotator, and what it posts."""

    def __init__(self, root: object = "/gg", *command: str, timeout: float | None = None) -> None:
        self.inbox: queue.SimpleQueue[events.Event] = queue.SimpleQueue()
        chosen = {"command": command} if command else {}
        self.rotator = ChildRotator(self.inbox.put, str(root), "press-7", timeout=timeout, **chosen)

    def next(self) -> events.Event:
        return self.inbox.get(timeout=60)

    def do(self, step: RotatorStep) -> events.Event:
        self.rotator.do(step)
        return self.next()

    def failed(self, step: RotatorStep) -> str:
        event = self.do(step)
        if isinstance(step, effects.Survey):
            assert isinstance(event, events.SurveyFailed), event
            return event.reason
        assert isinstance(event, events.StepFailed), event
        assert (event.step, event.reason) == (type(step).__name__, FailureReason.INTERNAL_ERROR)
        return event.detail


def workers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "rotator"]


@contextmanager
def stages() -> Iterator[Callable[..., Stage]]:
    """Makes stages, and closes them in the end: no thread may be left."""
    made: list[Stage] = []

    def make(*arguments: Any, **named: Any) -> Stage:
        made.append(Stage(*arguments, **named))
        return made[-1]

    yield make
    for stage in made:
        stage.rotator.close()
    for worker in workers():
        worker.join(60)
    assert workers() == []
