"""The log of one component, written as the classic nucleus writes it.

A line that the component prints becomes one line in ``logs/<component>.log`` and
one entry in the timeline, so that whoever watches the lab can wait for it. On lite
there is no such file, its components print into the journal; the lab writes the
same file there. Left out: rotation, and JSON as the log's format.

Format: ``GreengrassLogMessage`` of aws-greengrass-logging-java; what is said, and
with which values: ``ShellRunner`` and ``GenericExternalService`` of the nucleus.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable
from pathlib import Path

from lab.timeline import Timeline


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


class ComponentLog:
    """Appends to ``path``; ``now`` gives the device's time, aware of its zone."""

    def __init__(
        self,
        path: Path,
        component: str,
        timeline: Timeline,
        now: Callable[[], datetime.datetime] = _now,
    ) -> None:
        self._path = path
        self._component = component
        self._timeline = timeline
        self._now = now

    def script_started(self, script: str, command: str, state: str) -> None:
        """A lifecycle script was started: ``script`` is its place in the recipe."""
        # The nucleus shortens the command too.
        command = command if len(command) <= 80 else command[:77] + "..."
        shown = command.replace("\n", "\\n")
        self._write(
            "INFO",
            "pool-3-thread-1",
            "shell-runner-start",
            f'scriptName={self._script_name(script)}, {self._about(state)}, command=["{shown}"]',
        )

    def printed(self, stream: str, line: str, script: str, state: str) -> None:
        """The component printed a line (without its end) to ``stdout`` or ``stderr``.

        In the timeline the line's first word is the event.
        """
        line = line.strip()
        self._write(
            "INFO" if stream == "stdout" else "WARN",
            "Copier",
            f"{stream}. {line}" if line else stream,
            f"scriptName={self._script_name(script)}, {self._about(state)}",
        )
        if line:
            event = line.split(maxsplit=1)[0]
            self._timeline.record("component", event, line=line, component=self._component)

    def script_exited(self, code: int, state: str) -> None:
        """The run script ended with an exit code."""
        about = f"exitCode={code}, {self._about(state)}"
        self._write("INFO", "Copier", "Run script exited", about)

    def _script_name(self, script: str) -> str:
        return f"services.{self._component}.lifecycle.{script}"

    def _about(self, state: str) -> str:
        return f"serviceName={self._component}, currentState={state}"

    def _write(self, level: str, thread: str, message: str, context: str) -> None:
        at = self._now().astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
        # A nucleus whose disk is full logs nothing, and goes on.
        with contextlib.suppress(OSError), self._path.open("a", encoding="utf-8") as file:
            file.write(f"{at} [{level}] ({thread}) {self._component}: {message}. {{{context}}}\n")
