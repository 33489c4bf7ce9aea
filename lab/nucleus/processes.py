"""The processes of a device: what systemd's control groups know, told by the environment.

A process belongs to the unit that its ``LAB_UNIT`` names, and hands that down to whatever
it starts, also to what leaves its process group. Linux only, as /proc is.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from pathlib import Path

_VARIABLE = "LAB_UNIT"
_DEATH_MS = 5000
# A process without any environment must not hold up for ever.
_MOST_UNCLEAR = 20
_KERNEL_THREAD = 0x0020_0000  # PF_KTHREAD


def unit_environment(root: Path, unit: str) -> dict[str, str]:
    """What marks a process of a unit of the device whose Greengrass root this is."""
    return {_VARIABLE: f"{root}:{unit}"}


def kill_processes(root: Path, unit: str | None = None) -> None:
    """SIGKILL to every process of a unit of the device, or of all its units, and wait.

    From any thread.
    """
    mark = os.fsencode(f"{_VARIABLE}={root}:{unit or ''}")
    # Again until there is none, since one may have forked or be about to show its mark.
    unclear = 0
    while unclear < _MOST_UNCLEAR:
        found, any_unclear = _marked(mark, whole=unit is not None)
        for process in found:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(process, signal.SIGKILL)
        for process in found:
            ended = select.poll()
            ended.register(process, select.POLLIN)
            ended.poll(_DEATH_MS)
            os.close(process)
        if not found and not any_unclear:
            return
        unclear = 0 if found else unclear + 1


def _marked(mark: bytes, *, whole: bool) -> tuple[list[int], bool]:
    """A descriptor of each such process, as an id alone could by now be another's.

    And whether there is a process that cannot be told: in the midst of execve(2) it has no
    environment.
    """
    found, unclear = [], False
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            process = os.pidfd_open(int(entry.name))
        except OSError:  # it has ended
            continue
        environment = b"ended, or another user's"
        with contextlib.suppress(OSError):
            environment = (entry / "environ").read_bytes()
            unclear = unclear or (not environment and _executes(entry))
        if any(
            variable == mark or (not whole and variable.startswith(mark))
            for variable in environment.split(b"\0")
        ):
            found.append(process)
        else:
            os.close(process)
    return found, unclear


def _executes(entry: Path) -> bool:
    """Whether it is neither a zombie nor a thread of the kernel (proc(5), stat)."""
    fields = (entry / "stat").read_text().rpartition(")")[2].split()
    return fields[0] not in "ZX" and not int(fields[6]) & _KERNEL_THREAD
