"""The processes of a device: what systemd's control groups know, told by the environment.

A process belongs to the unit that its ``LAB_UNIT`` names, and hands that down to whatever
it starts, also to what leaves its process group. Linux only, as /proc is.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Iterator
from pathlib import Path

_VARIABLE = "LAB_UNIT"
_DEATH_MS = 5000


def unit_environment(root: Path, unit: str) -> dict[str, str]:
    """What marks a process of a unit of the device whose Greengrass root this is."""
    return {_VARIABLE: f"{root}:{unit}"}


def kill_processes(root: Path, unit: str | None = None) -> None:
    """SIGKILL to every process of a unit of the device, or of all its units, and wait.

    From any thread.
    """
    mark = os.fsencode(f"{_VARIABLE}={root}:")
    # Again until there is none, since one may have forked in the meantime.
    while True:
        found = list(_marked(mark, None if unit is None else unit.encode()))
        for process in found:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(process, signal.SIGKILL)
        for process in found:
            ended = select.poll()
            ended.register(process, select.POLLIN)
            ended.poll(_DEATH_MS)
            os.close(process)
        if not found:
            return


def _marked(mark: bytes, unit: bytes | None) -> Iterator[int]:
    """A descriptor of each such process: an id alone could by now be another's."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            process = os.pidfd_open(int(entry.name))
        except OSError:  # it has ended
            continue
        if _bears(entry / "environ", mark, unit):
            yield process
        else:
            os.close(process)


def _bears(environ: Path, mark: bytes, unit: bytes | None) -> bool:
    with contextlib.suppress(OSError):  # it has ended, or is another user's
        for variable in environ.read_bytes().split(b"\0"):
            if variable.startswith(mark):
                return unit in (None, variable[len(mark) :])
    return False
