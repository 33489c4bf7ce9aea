"""Transient timers of systemd-run: a command that is to run after so many seconds.

A timer and its service have one name, ``NAME.timer`` and ``NAME.service``; both are gone
when the command has ended (``--collect``), and with the power. Left out: every other
kind of transient unit.

Sources: systemd-run(1) and ``run.c`` of systemd 252.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from lab.timeline import Timeline

_SUFFIXES = (".timer", ".service")
# EXIT_EXEC: systemd's code for a command that could not be executed.
_NOT_EXECUTED = 203


class UnitExists(Exception):
    """A unit of that name is there already."""


@dataclass
class _Unit:
    name: str
    command: tuple[str, ...]
    timer: asyncio.TimerHandle | None = None
    run: asyncio.Task[int] | None = None
    process: int | None = field(default=None)


class TransientUnits:
    """Those of one device. To be called on the lab's loop.

    ``environment`` gives the variables of a unit's command.
    """

    def __init__(self, environment: Callable[[str], Mapping[str, str]], timeline: Timeline) -> None:
        self._environment = environment
        self._timeline = timeline
        self._units: dict[str, _Unit] = {}

    @property
    def timers(self) -> tuple[str, ...]:
        """The timers that are armed. From any thread."""
        units = tuple(self._units.values())
        return tuple(f"{unit.name}.timer" for unit in units if unit.timer is not None)

    def arm(self, name: str, seconds: float, command: Sequence[str]) -> None:
        """Run the command after so many seconds, unless stopped. Raises UnitExists."""
        name = _stem(name)
        if name in self._units:
            raise UnitExists(f"{name}.timer")
        unit = self._units[name] = _Unit(name, tuple(command))
        loop = asyncio.get_running_loop()
        unit.timer = loop.call_later(seconds, self._elapse, unit)
        self._record("timer-armed", unit, seconds=seconds, command=" ".join(command))

    def is_loaded(self, name: str) -> bool:
        """Whether there is such a timer or service."""
        return _stem(name) in self._units

    def is_active(self, name: str) -> bool:
        """Whether the timer waits, or the service runs."""
        unit = self._units.get(_stem(name))
        if unit is None:
            return False
        return unit.run is not None if name.endswith(".service") else unit.timer is not None

    async def stop(self, name: str) -> None:
        """Disarm the timer, or end the service; nothing to do for what is not loaded."""
        unit = self._units.get(_stem(name))
        if unit is None:
            return
        if not name.endswith(".service"):
            self._disarm(unit)
            self._record("timer-stopped", unit)
            if unit.run is None:
                del self._units[unit.name]
        elif unit.run is not None:
            self._signal(unit, signal.SIGTERM)
            await asyncio.wait({unit.run})

    async def fire(self, name: str) -> int:
        """The timer elapses now: the exit code of its command. Raises KeyError if not armed."""
        unit = self._units[_stem(name)]
        if unit.timer is None:
            raise KeyError(name)
        return await asyncio.shield(self._elapse(unit))

    def disarm_all(self) -> None:
        """The power is gone: nothing is armed, nothing is loaded."""
        for unit in self._units.values():
            self._disarm(unit)
            self._signal(unit, signal.SIGKILL)
        self._units.clear()

    def _elapse(self, unit: _Unit) -> asyncio.Task[int]:
        self._disarm(unit)
        self._record("timer-elapsed", unit)
        unit.run = asyncio.get_running_loop().create_task(self._run(unit))
        return unit.run

    async def _run(self, unit: _Unit) -> int:
        code = _NOT_EXECUTED
        try:
            process = await asyncio.create_subprocess_exec(
                *unit.command,
                cwd="/",
                env=self._environment(f"{unit.name}.service"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
            unit.process = process.pid
            if self._units.get(unit.name) is not unit:  # the power went in the meantime
                self._signal(unit, signal.SIGKILL)
            output, _ = await process.communicate()
            code = process.returncode or 0
            for line in output.decode(errors="replace").splitlines():
                self._record("service-printed", unit, line=line)
        except OSError as error:
            self._record("service-printed", unit, line=str(error))
        finally:
            # What the command leaves behind ends with its control group.
            self._signal(unit, signal.SIGKILL)
            unit.process = unit.run = None
            if self._units.get(unit.name) is unit:
                del self._units[unit.name]
        self._record("service-exited", unit, code=code)
        return code

    def _disarm(self, unit: _Unit) -> None:
        if unit.timer is not None:
            unit.timer.cancel()
            unit.timer = None

    def _signal(self, unit: _Unit, number: signal.Signals) -> None:
        if unit.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(unit.process, number)

    def _record(self, event: str, unit: _Unit, **details: object) -> None:
        self._timeline.record("systemd", event, unit=unit.name, **details)


def _stem(name: str) -> str:
    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix)
    return name
