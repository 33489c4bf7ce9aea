"""Runs one component's lifecycle scripts, and restarts and gives up as the nucleus does.

NEW -> (install) -> INSTALLED -> STARTING -> (run) -> RUNNING -> FINISHED, and for a
script that fails ERRORED and again, the third time within an hour BROKEN. Each
script is a process group of its own, and none outlives ``stop``, ``kill`` or the
interpreter. Left out: the steps bootstrap, startup, shutdown and recover (a recipe
that has one is refused), users other than the lab's own (RequiresPrivilege changes
nothing), dependencies, and whatever a script leaves running when it ends: lite's
systemd kills that, classic would not, the lab does.

Sources: ``Lifecycle`` and ``GenericExternalService`` of the classic nucleus,
``recipe2unit`` and ``recipe-runner`` of lite, whose units restart one second after a
failure and at most three times an hour.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import enum
import os
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from lab.nucleus.component_log import ComponentLog
from lab.nucleus.recipe import Recipe, RecipeError, Runtime, Step
from lab.timeline import Timeline

ERROR_RESET_SECONDS = 3600.0
_ERRORS_UNTIL_BROKEN = 3
_INSTALL_SECONDS = 120.0
_SHUTDOWN_SECONDS: Mapping[Runtime, float] = {"classic": 15.0, "lite": 120.0}
_RESTART_SECONDS: Mapping[Runtime, float] = {"classic": 0.0, "lite": 1.0}
_LAST_WORDS_SECONDS = 1.0
# A longer line is broken up, so that a component cannot fill the lab's memory.
_LINE_LIMIT = 64 * 1024
# What a service manager hands down; nothing else of the lab's own environment.
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "USER", "TMPDIR")


class State(enum.Enum):
    """The state of a component, in the nucleus's words."""

    NEW = "NEW"
    INSTALLED = "INSTALLED"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    STOPPING = "STOPPING"
    FINISHED = "FINISHED"
    ERRORED = "ERRORED"
    BROKEN = "BROKEN"


def component_environment(
    *, svcuid: str, thing_name: str, region: str, root_ca_path: Path, ipc_socket: Path, version: str
) -> dict[str, str]:
    """What a nucleus of either kind puts into the environment of a component's script.

    ``version`` is the nucleus's own. The token is for the credentials endpoint of the
    token exchange service; it is the SVCUID.
    """
    return {
        "SVCUID": svcuid,
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": svcuid,
        "AWS_IOT_THING_NAME": thing_name,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "GGC_VERSION": version,
        "GG_ROOT_CA_PATH": str(root_ca_path),
        "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT": str(ipc_socket),
    }


class Component:
    """A component on a device. All of it is called on the lab's loop.

    ``recipe`` has its variables filled in; ``work_path`` exists. ``environment`` is
    called at each start of a script. ``clock`` counts seconds and never goes back.
    ``shutdown_seconds`` is what a script has to end after SIGTERM; the default is the
    nucleus's own.
    """

    def __init__(
        self,
        recipe: Recipe,
        *,
        work_path: Path,
        log: ComponentLog,
        timeline: Timeline,
        environment: Callable[[], Mapping[str, str]],
        clock: Callable[[], float] = time.monotonic,
        shutdown_seconds: float | None = None,
    ) -> None:
        for name in recipe.steps:
            if name not in ("install", "run"):
                raise RecipeError(f"Lifecycle.{name}: the lab runs only install and run")
        self.name = recipe.name
        self.state = State.NEW
        self._recipe = recipe
        self._work_path = work_path
        self._log = log
        self._timeline = timeline
        self._environment = environment
        self._clock = clock
        self._shutdown_seconds = shutdown_seconds or _SHUTDOWN_SECONDS[recipe.runtime]
        self._errors: list[float] = []
        self._life: asyncio.Task[None] | None = None
        self._end = asyncio.Event()
        # The process, and process group, of the script that is running, if one is.
        self.process_id: int | None = None

    async def start(self, *, install: bool = True) -> None:
        """Begin the component's life and return at once; ``state`` tells how it fares.

        Classic installs at every start of the nucleus. Lite installs only when a
        deployment brought the component: there ``install`` is False afterwards.
        """
        if self._life is not None and not self._life.done():
            raise RuntimeError(f"{self.name} is started already")
        self._errors.clear()
        self._end.clear()
        self._enter(State.NEW if install else State.INSTALLED)
        self._life = asyncio.create_task(self._live(install))
        atexit.register(self._signal, signal.SIGKILL)
        self._life.add_done_callback(lambda _: atexit.unregister(self._signal))

    async def stop(self) -> None:
        """SIGTERM to the process group, SIGKILL when the shutdown time is over.

        Does nothing to a component that has finished or is broken.
        """
        if self._life is None or self._life.done():
            return
        self._end.set()
        self._enter(State.STOPPING)
        self._signal(signal.SIGTERM)
        _, unfinished = await asyncio.wait({self._life}, timeout=self._shutdown_seconds)
        if unfinished:
            await self._cut_off(self._life)
        self._enter(State.FINISHED)

    async def kill(self) -> None:
        """Take its power away: SIGKILL to the process group, and its state is forgotten."""
        self._end.set()
        if self._life is not None:
            await self._cut_off(self._life)
        self.state = State.NEW

    async def _cut_off(self, life: asyncio.Task[None]) -> None:
        self._signal(signal.SIGKILL)
        # Once: a second time would interrupt what the first one makes it put away.
        if not life.cancelling():
            life.cancel()
        await asyncio.wait({life})

    async def _live(self, install: bool) -> None:
        if install:
            while await self._execute("install", _INSTALL_SECONDS) != 0:
                if not await self._may_try_again():
                    return
            if self._end.is_set():
                return
            self._errors.clear()
            self._enter(State.INSTALLED)
        while True:
            self._enter(State.STARTING)
            # Lite's systemd bounds the start and the stop of a run, not the run.
            code = await self._execute("run", None)
            if self._end.is_set():
                return
            if code == 0:
                self._enter(State.FINISHED)
                return
            if not await self._may_try_again():
                return

    async def _may_try_again(self) -> bool:
        """Count a failure: ERRORED and a pause, or BROKEN for the third in a row."""
        if self._end.is_set():
            return False
        now = self._clock()
        if self._errors and now - self._errors[-1] >= ERROR_RESET_SECONDS:
            self._errors.clear()
        self._errors.append(now)
        if len(self._errors) >= _ERRORS_UNTIL_BROKEN:
            self._enter(State.BROKEN)
            return False
        self._enter(State.ERRORED)
        if pause := _RESTART_SECONDS[self._recipe.runtime]:
            await _within(pause, self._end)
        return not self._end.is_set()

    async def _execute(self, name: str, limit: float | None) -> int:
        """Run a step to its end; its exit code, 0 if there is nothing to do, 137 if too slow."""
        step = self._recipe.steps.get(name)
        if step is None or _skipped(step):
            return 0
        if step.timeout is not None and (name == "install" or self._recipe.runtime == "classic"):
            limit = step.timeout
        self._log.script_started(step.path, step.script, self.state.value)
        try:
            transport, output = await self._spawn(name, step)
        except OSError as error:
            self._timeline.record(
                "nucleus", "component-not-started", component=self.name, reason=str(error)
            )
            return 1
        try:
            if not await _within(limit, output.exited):
                self._timeline.record("nucleus", "component-timed-out", component=self.name)
            elif self._end.is_set():
                # SIGTERM ends the shell before its child: the child has the rest of the time.
                await output.closed.wait()
        finally:
            self._signal(signal.SIGKILL)
            await output.exited.wait()
            # A process that left the group may hold the pipes open for ever.
            await _within(_LAST_WORDS_SECONDS, output.closed)
            transport.close()
            self.process_id = None
        code = transport.get_returncode() or 0
        code = code if code >= 0 else 128 - code
        self._timeline.record(
            "nucleus", "component-exited", component=self.name, step=name, code=code
        )
        if name == "run":
            self._log.script_exited(code, self.state.value)
        return code

    async def _spawn(self, name: str, step: Step) -> tuple[asyncio.SubprocessTransport, _Output]:
        return await asyncio.get_running_loop().subprocess_exec(
            lambda: _Output(
                begun=lambda process: self._begun(process, name),
                printed=lambda stream, line: self._log.printed(
                    stream, line, step.path, self.state.value
                ),
            ),
            *("/bin/sh", "-c", step.script),
            cwd=self._work_path,
            env={**_inherited(), **self._environment(), **step.setenv},
            stdin=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )

    def _begun(self, process: int, name: str) -> None:
        self.process_id = process
        if self._end.is_set():
            self._signal(signal.SIGTERM)
        elif name == "run":
            self._enter(State.RUNNING)

    def _signal(self, number: signal.Signals) -> None:
        if self.process_id is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process_id, number)

    def _enter(self, state: State) -> None:
        self.state = state
        self._timeline.record("nucleus", "component-state", component=self.name, state=state.value)


class _Output(asyncio.SubprocessProtocol):
    """Cuts what a script prints into lines, and knows when it has ended and when it is silent."""

    def __init__(self, begun: Callable[[int], None], printed: Callable[[str, str], None]) -> None:
        self.exited = asyncio.Event()
        self.closed = asyncio.Event()
        self._begun = begun
        self._printed = printed
        self._unfinished = {1: b"", 2: b""}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.SubprocessTransport)
        self._begun(transport.get_pid())

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        *lines, rest = (self._unfinished[fd] + data).split(b"\n")
        if len(rest) > _LINE_LIMIT:
            lines, rest = [*lines, rest], b""
        self._unfinished[fd] = rest
        for line in lines:
            self._print(fd, line)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if rest := self._unfinished.pop(fd, b""):
            self._print(fd, rest)
        if not self._unfinished:
            self.closed.set()

    def process_exited(self) -> None:
        self.exited.set()

    def _print(self, fd: int, line: bytes) -> None:
        self._printed("stdout" if fd == 1 else "stderr", line.decode("utf-8", errors="replace"))


async def _within(seconds: float | None, event: asyncio.Event) -> bool:
    """Whether the event comes within so many seconds, or at all if None."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
    return event.is_set()


def _inherited() -> dict[str, str]:
    return {name: os.environ[name] for name in _INHERITED if name in os.environ}


def _skipped(step: Step) -> bool:
    if step.skipif is None:
        return False
    operator, operand = step.skipif.removeprefix("!").split(maxsplit=1)
    found = (
        shutil.which(operand) is not None
        if operator == "onpath"
        else Path(operand).expanduser().exists()
    )
    return found != step.skipif.startswith("!")
