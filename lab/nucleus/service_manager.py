"""A device's service manager: who answers the stand-ins for systemctl, systemd-run and ss.

It lives from boot to power-off, while the nucleus comes and goes. Left out: units that
nobody here speaks of, and whatever of systemctl is not a verb on a unit.

Sources: systemctl(1) and systemd-run(1) of systemd 252, and what they print.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.nucleus.faults import DeviceFaults
from lab.nucleus.stand_ins.wire import Answer, decode_question, encode_answer
from lab.nucleus.systemd_run import TimerRequest, Usage, parse
from lab.nucleus.transient_units import TransientUnits, UnitExists
from lab.timeline import Timeline

_SILENT = frozenset({"--quiet", "-q", "--no-ask-password", "--no-pager", "--no-block"})
_VERBS = frozenset({"start", "stop", "restart", "is-active", "reset-failed"})
_NOT_ACTIVE, _NO_SUCH_UNIT, _NOT_LOADED = 3, 4, 5

Job = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Service:
    """A unit of the device that does not come from systemd-run; each job is awaited."""

    is_active: Callable[[], bool]
    start: Job
    stop: Job
    restart: Job


class ServiceManager:
    """Answers on ``socket`` for a device. To be called on the lab's loop.

    ``services`` are the units by full name, ``statistics`` is ``ss``, ``path`` the device's
    PATH.
    """

    def __init__(
        self,
        socket: Path,
        *,
        services: Mapping[str, Service],
        transient: TransientUnits,
        statistics: Callable[[Sequence[str]], Answer],
        path: str,
        faults: DeviceFaults,
        timeline: Timeline,
    ) -> None:
        self._socket = socket
        self._services = services
        self._transient = transient
        self._statistics = statistics
        self._path = path
        self._faults = faults
        self._timeline = timeline
        self._server: asyncio.Server | None = None
        self._jobs: set[asyncio.Future[None]] = set()
        self._clients: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """The device boots. Does nothing if it has."""
        if self._server is None:
            self._server = await asyncio.start_unix_server(self._serve, self._socket)

    async def close(self) -> None:
        """The power is gone: whoever waits for an answer gets none."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.close()
        self._socket.unlink(missing_ok=True)
        for client in tuple(self._clients):
            client.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.add(writer)
        try:
            with contextlib.suppress(ConnectionError):
                command, *arguments = decode_question(await reader.read())
                if self._server is None:
                    return
                answer = await self.answer(command, arguments)
                writer.write(encode_answer(answer))
                await writer.drain()
        finally:
            self._clients.discard(writer)
            writer.close()

    async def answer(self, command: str, arguments: Sequence[str]) -> Answer:
        """What the command does, and prints."""
        asked = self._timeline.record("systemd", command, arguments=" ".join(arguments))
        if command == "ss":
            answer = self._statistics(arguments)
        elif command == "systemd-run":
            answer = self._systemd_run(arguments)
        else:
            answer = await self._systemctl(arguments)
        if answer.code:
            self._timeline.record(
                "systemd", f"{asked.event}-failed", code=answer.code, errors=answer.errors.strip()
            )
        return answer

    # -- systemd-run ----------------------------------------------------------------

    def _systemd_run(self, arguments: Sequence[str]) -> Answer:
        try:
            request: TimerRequest = parse(arguments)
            program = shutil.which(request.command[0], path=self._path)
            if program is None:
                raise Usage(f"Failed to find executable {request.command[0]}: No such file")
            self._transient.arm(request.unit, request.seconds, (program, *request.command[1:]))
        except Usage as usage:
            return Answer(1, errors=f"{usage}\n")
        except UnitExists as exists:
            return Answer(
                1,
                errors="Failed to start transient timer unit: "
                f"Unit {exists} was already loaded or has a fragment file.\n",
            )
        unit = request.unit
        said = f"Running timer as unit: {unit}.timer\nWill run service as unit: {unit}.service\n"
        return Answer(errors="" if request.quiet else said)

    # -- systemctl ------------------------------------------------------------------

    async def _systemctl(self, arguments: Sequence[str]) -> Answer:
        if self._faults.systemctl_fault is not None:
            return Answer(1, errors=f"{self._faults.systemctl_fault}\n")
        options = {argument for argument in arguments if argument.startswith("-")}
        if unknown := options - _SILENT:
            return Answer(1, errors=f"systemctl: unrecognized option '{min(unknown)}'\n")
        verb, *units = [argument for argument in arguments if argument not in options] or [""]
        if verb not in _VERBS:
            return Answer(1, errors=f"Unknown command verb '{verb}'.\n")
        if not units:
            return Answer(1, errors="Too few arguments.\n")
        units = [unit if "." in unit else f"{unit}.service" for unit in units]
        quiet = bool(options & {"--quiet", "-q"})
        if verb == "is-active":
            return self._is_active(units, quiet)
        missing = [unit for unit in units if not self._is_loaded(unit)]
        jobs = [self._begin(verb, unit) for unit in units if unit not in missing]
        if "--no-block" not in options:
            for job in jobs:
                await job
        if not missing:
            return Answer()
        if verb == "reset-failed":
            said = "Failed to reset failed state of unit {0}: Unit {0} not loaded.\n"
            return Answer(1, errors="".join(said.format(unit) for unit in missing))
        what = "loaded" if verb == "stop" else "found"
        said = f"Failed to {verb} {{0}}: Unit {{0}} not {what}.\n"
        return Answer(_NOT_LOADED, errors="".join(said.format(unit) for unit in missing))

    def _is_loaded(self, unit: str) -> bool:
        return unit in self._services or self._transient.is_loaded(unit)

    def _is_active(self, units: Sequence[str], quiet: bool) -> Answer:
        active = [
            self._services[unit].is_active()
            if unit in self._services
            else self._transient.is_active(unit)
            for unit in units
        ]
        code = 0
        if not any(active):
            code = _NOT_ACTIVE if any(map(self._is_loaded, units)) else _NO_SUCH_UNIT
        said = "".join("active\n" if one else "inactive\n" for one in active)
        return Answer(code, output="" if quiet else said)

    def _begin(self, verb: str, unit: str) -> asyncio.Future[None]:
        """The job runs on by itself, whatever becomes of who asked for it."""
        job = asyncio.ensure_future(self._do(verb, unit))
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)
        return job

    async def _do(self, verb: str, unit: str) -> None:
        service = self._services.get(unit)
        if service is None:
            if verb == "stop":
                await self._transient.stop(unit)
            return
        if verb == "restart":
            await service.restart()
        elif verb == "start":
            await service.start()
        elif verb == "stop":
            await service.stop()
        self._timeline.record("systemd", "job-done", verb=verb, unit=unit)
