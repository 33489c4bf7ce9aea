"""An inspector on a stage: what it posts, the children that it starts, and an alert to sign."""

from __future__ import annotations

import json
import queue
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from certkeeper.core import events
from certkeeper.core.settings import Settings
from certkeeper.edge.inspector import ChildInspector
from rotation_protocol.messages import Alert
from rotation_protocol.reasons import AlertType

CHECKED = datetime(2026, 11, 22, 10, tzinfo=UTC)


@contextmanager
def watched_children(monkeypatch: pytest.MonkeyPatch) -> Iterator[queue.SimpleQueue[Any]]:
    """Every child process as it is started; none may be left at the end."""
    started: queue.SimpleQueue[Any] = queue.SimpleQueue()
    all_of_them = []

    class Watched(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            all_of_them.append(self)
            started.put(self)

    monkeypatch.setattr(subprocess, "Popen", Watched)
    yield started
    for child in all_of_them:
        assert child.returncode is not None, "a child was not waited for"
        pipes = (child.stdin, child.stdout, child.stderr)
        assert all(pipe is None or pipe.closed for pipe in pipes), "a pipe was left open"


class Stage:
    """A ChildInspector, and what it posts."""

    def __init__(self, root: object, *command: str, timeout: float = 60.0) -> None:
        self.inbox: queue.SimpleQueue[events.Event] = queue.SimpleQueue()
        chosen = {"command": command} if command else {}
        self.inspector = ChildInspector(self.inbox.put, str(root), timeout=timeout, **chosen)

    def next(self) -> events.Event:
        return self.inbox.get(timeout=60)

    def inspected(self, settings: Settings | None = None) -> events.Inspected:
        self.inspector.inspect(settings or Settings())
        event = self.next()
        assert isinstance(event, events.Inspected), event
        return event

    def why_not(self) -> str:
        self.inspector.inspect(Settings())
        event = self.next()
        assert isinstance(event, events.InspectionFailed), event
        return event.reason

    def signed(self, alerts: tuple[Alert, ...], source: object = "/key") -> events.AlertsSigned:
        self.inspector.sign(alerts, str(source))
        event = self.next()
        assert isinstance(event, events.AlertsSigned), event
        return event


def shell(script: str) -> tuple[str, str, str]:
    return ("sh", "-c", script)


def printing(answer: object) -> tuple[str, str, str, str]:
    """A child that reads its request and prints this."""
    text = answer if isinstance(answer, str) else json.dumps(answer)
    return ("sh", "-c", 'cat >/dev/null; printf "%s" "$0"', text)


def alert(source: str = "/gg/thingCert.crt") -> Alert:
    return Alert(
        type=AlertType.MISMATCH,
        thing_name="press-7",
        role="core-device",
        source=source,
        severity="CRITICAL",
        critical=True,
        threshold="mismatch",
        checked_at=CHECKED,
        next_check_at=None,
        component_version="0.1.0",
    )
