"""One component on a loop of its own: what it runs is small shell scripts."""

from __future__ import annotations

import datetime
import os
import select
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from lab.loop import LoopThread
from lab.nucleus.component_log import ComponentLog
from lab.nucleus.lifecycle import Component, State
from lab.nucleus.recipe import Recipe, Runtime, Step
from lab.timeline import Timeline

NAME = "com.example.Watcher"
AT = datetime.datetime(2026, 11, 22, 10, 0, 0, 123456, tzinfo=datetime.UTC)


class Clock:
    """A clock that stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """One component on a loop of its own, with everything that it touches in sight."""

    def __init__(self, folder: Path, loop: LoopThread) -> None:
        self.folder = folder
        self.work = folder / "work"
        self.work.mkdir()
        self.log_path = folder / f"{NAME}.log"
        self.timeline = Timeline()
        self.loop = loop
        self.clock = Clock()
        self.starts = 0
        self.components: list[Component] = []

    def component(
        self,
        runtime: Runtime = "classic",
        *,
        environment: Callable[[], Mapping[str, str]] | None = None,
        shutdown_seconds: float | None = None,
        **steps: Step,
    ) -> Component:
        recipe = Recipe(
            runtime=runtime,
            name=NAME,
            version="1.0.0",
            default_configuration={},
            dependencies=(),
            steps=steps,
        )
        component = Component(
            recipe,
            work_path=self.work,
            log=ComponentLog(self.log_path, NAME, self.timeline, now=lambda: AT),
            timeline=self.timeline,
            environment=environment or dict,
            clock=self.clock,
            shutdown_seconds=shutdown_seconds,
        )
        self.components.append(component)
        return component

    def start(self, component: Component, *, install: bool = True) -> None:
        self.loop.run(component.start(install=install))

    def wait_for(self, state: State, after: int = 0) -> None:
        self.timeline.wait_for("component-state", state=state.value, after=after)

    def states(self) -> list[object]:
        return [entry.details["state"] for entry in self.timeline.find("component-state")]


def script(
    text: str,
    *,
    timeout: float | None = None,
    setenv: Mapping[str, str] | None = None,
    skipif: str | None = None,
) -> Step:
    return Step(path="run.Script", script=text, timeout=timeout, setenv=setenv or {}, skipif=skipif)


@contextmanager
def running_bench(folder: Path) -> Iterator[Bench]:
    """Afterwards its components have ended."""
    with LoopThread() as loop:
        bench = Bench(folder, loop)
        yield bench
        for component in bench.components:
            loop.run(component.kill())


def ended(process: int) -> bool:
    """Whether a process has ended, given ten seconds to do so."""
    try:
        handle = os.pidfd_open(process)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], 10)[0])
    finally:
        os.close(handle)
