"""Programs for the tracer to run, and one run of each under it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.crash.points import Point, read_points
from lab.crash.tracer import command_line

PROJECT = Path(__file__).resolve().parents[2]
LIMIT_SECONDS = 60


@dataclass(frozen=True)
class Stage:
    """A folder in which a program does what it does, and the tracer's record beside it."""

    folder: Path
    record: Path

    @classmethod
    def under(cls, path: Path) -> Stage:
        """A new one."""
        folder = path / "stage"
        folder.mkdir()
        return cls(folder, path / "points")

    def command(
        self, program: str, *, kill_before: int | None = None, begin: str | Path | None = None
    ) -> list[str]:
        """The command that runs Python code under the tracer; its argument is the folder."""
        return command_line(
            [sys.executable, "-I", "-c", program, str(self.folder)],
            kill_before=kill_before,
            record=self.record,
            begin=begin,
        )

    def run(
        self, program: str, *, kill_before: int | None = None, begin: str | Path | None = None
    ) -> int:
        """Run it to its end; the tracer's return code."""
        return subprocess.run(
            self.command(program, kill_before=kill_before, begin=begin),
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            check=False,
            timeout=LIMIT_SECONDS,
        ).returncode

    @contextmanager
    def running(self, command: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
        """The tracer while it runs, in a group of its own, with pipes to talk through."""
        with subprocess.Popen(
            command,
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as tracer:
            try:
                yield tracer
            finally:
                tracer.kill()  # and with it, all that it traces

    def points(self) -> list[Point]:
        """What the tracer has written down."""
        return read_points(self.record)

    def files(self) -> dict[str, str]:
        """The files in the folder, and what is in them."""
        return {path.name: path.read_text() for path in self.folder.iterdir()}
