"""Runs a program, counts its points, and kills it just before the one that is asked for.

    python -m lab.crash.tracer --count FILE -- COMMAND...
    python -m lab.crash.tracer --kill-before 17 --from rename:journal.json -- COMMAND...

The program, its threads and whatever it starts are traced. At the chosen point all of them
get SIGKILL while the call has not begun, and no other point has begun since; the tracer ends
with status 137. Otherwise it ends as the program does, by its exit status or its signal.
SIGTERM, SIGINT, SIGHUP and SIGQUIT sent to the tracer go to the program's process group,
which is its own. What the program leaves running is killed when it ends.

Leaves out which calls count (``points``), and what follows from a death (``sweep``).
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TextIO

from lab.crash import kernel
from lab.crash.points import Begin, Judge, Once
from lab.crash.syscalls import architecture, calls

KILLED = 137
NOT_FOUND = 127
_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
_STOPPING = (signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)


def command_line(
    command: Sequence[str],
    *,
    kill_before: int | None = None,
    record: Path | None = None,
    begin: str | Path | None = None,
    ignore: Sequence[Path | str] = (),
) -> list[str]:
    """The command that runs ``command`` under a tracer; see this module's options.

    ``begin``: a path is that of ``--once``, a text what ``--from`` takes.
    """
    words = [sys.executable, "-m", "lab.crash.tracer"]
    if record is not None:
        words += ["--count", str(record)]
    if kill_before is not None:
        words += ["--kill-before", str(kill_before)]
    if begin is not None:
        words += ["--once" if isinstance(begin, Path) else "--from", str(begin)]
    for place in ignore:
        words += ["--ignore", str(place)]
    return [*words, "--", *command]


class Tracer:
    """One run of one program."""

    def __init__(self, judge: Judge, kill_before: int | None, record: TextIO | None) -> None:
        """``record``: where each point is written before it is reached; the fatal one too."""
        self._judge = judge
        self._kill_before = kill_before
        self._record = record
        self._threads: set[int] = set()
        self._root = 0
        self._begun = False

    def run(self, command: Sequence[str]) -> int:
        """Run the command to its end, or to the point: a wait status, as os.wait gives it.

        KILLED << 8 if it was killed at the point. Nothing that it started is left.
        """
        kernel.adopt_orphans()
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _FORWARDED)
        self._root = _start(command, mask)
        self._threads.add(self._root)
        threading.Thread(target=_forward, args=(self._root,), daemon=True).start()
        while True:
            thread, status = os.waitpid(-1, kernel.WALL)
            if not os.WIFSTOPPED(status):
                self._threads.discard(thread)
                self._judge.forget(thread)
                if thread == self._root:
                    break
                continue
            self._threads.add(thread)
            with suppress(ProcessLookupError):
                if self._fatal(thread, status):
                    status = KILLED << 8
                    break
        self._kill_all()
        return status

    def _fatal(self, thread: int, status: int) -> bool:
        """Deal with a stop: True if it is the point to be killed at, else the thread goes on."""
        event, number = status >> 16, os.WSTOPSIG(status)
        if event == kernel.EVENT_SECCOMP:
            # Between the fork and the exec it is still our own code that runs.
            if self._begun and self._at_the_point(thread):
                return True
            kernel.resume(thread)
        elif event == kernel.EVENT_STOP and number in _STOPPING:
            kernel.stay_stopped(thread)
        elif event == 0:
            kernel.resume(thread, number)
        else:
            if event == kernel.EVENT_EXEC:
                former = kernel.event_message(thread)
                for gone in {thread, former}:
                    self._judge.forget(gone)
                if former != thread:
                    self._threads.discard(former)
                self._begun = self._begun or thread == self._root
            kernel.resume(thread)
        return False

    def _at_the_point(self, thread: int) -> bool:
        point = self._judge.point(self._root, thread)
        if point is None:
            return False
        if self._record is not None:
            self._record.write(point.line())
        return point.index == self._kill_before

    def _kill_all(self) -> None:
        """SIGKILL to every process of the tree, and wait until there is none."""
        for thread in self._threads:
            with suppress(ProcessLookupError):
                os.kill(thread, signal.SIGKILL)
        with suppress(ChildProcessError):
            while True:
                thread, status = os.waitpid(-1, kernel.WALL)
                if os.WIFSTOPPED(status):  # one that was being born
                    with suppress(ProcessLookupError):
                        os.kill(thread, signal.SIGKILL)


def _start(command: Sequence[str], mask: set[signal.Signals | int]) -> int:
    """Start the command as a traced child, in a process group of its own; its number."""
    program = shutil.which(command[0])
    gate, opener = os.pipe()
    root = os.fork()
    if root == 0:
        try:
            _become(program, command, gate, opener, mask)
        finally:
            os._exit(NOT_FOUND)
    os.close(gate)
    os.setpgid(root, root)
    kernel.seize(root)
    os.write(opener, b"go")
    os.close(opener)
    return root


def _become(
    program: str | None,
    command: Sequence[str],
    gate: int,
    opener: int,
    mask: set[signal.Signals | int],
) -> None:
    """In the child: wait until it is traced, and turn into the program."""
    os.close(opener)
    if not os.read(gate, 1):
        return  # the tracer has died
    if program is None:
        print(f"{command[0]}: command not found", file=sys.stderr, flush=True)
        return
    # What Python ignores, the program is to meet as it would without us.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    kernel.stop_before(list(calls()), architecture())
    os.execv(program, list(command))  # noqa: S606  # it is what was asked for


def _forward(group: int) -> None:
    while True:
        number = signal.sigwait(_FORWARDED)
        with suppress(ProcessLookupError):
            os.killpg(group, number)


def _end_as(status: int) -> int:
    """The exit status to end with; does not return if a signal is to be died of."""
    if os.WIFEXITED(status):
        return os.WEXITSTATUS(status)
    number = os.WTERMSIG(status)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)
    return 128 + number


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m lab.crash.tracer", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--count", metavar="FILE", help="write each point, a line of JSON")
    parser.add_argument("--kill-before", type=int, metavar="N", help="the first point is 1")
    begin = parser.add_mutually_exclusive_group()
    begin.add_argument(
        "--from",
        dest="begin",
        type=Begin.parse,
        metavar="[CALL:]SUFFIX",
        help="count from the first call on whose path ends so (and whose name begins so)",
    )
    begin.add_argument(
        "--once",
        dest="begin",
        type=lambda path: Once(Path(path)),
        metavar="FILE",
        help="count from the first call on that comes when somebody has made this file",
    )
    begin.add_argument("--from-start", action="store_true", help="count from the start (default)")
    parser.add_argument(
        "--ignore",
        action="append",
        default=[],
        metavar="PREFIX",
        help="a folder whose files are no points, besides the system's and Python's; repeatable",
    )
    parser.add_argument("command", nargs="+", help="the program, after --")
    options = parser.parse_args(arguments)
    if options.count is None and options.kill_before is None:
        parser.error("--count or --kill-before is needed")
    judge = Judge(calls(), ignore=options.ignore, begin=options.begin)
    with ExitStack() as closing:
        record: TextIO | None = None
        if options.count is not None:
            # Line by line, so that a tracer that is killed has said what it saw.
            record = closing.enter_context(Path(options.count).open("w", buffering=1))
        status = Tracer(judge, options.kill_before, record).run(options.command)
    return _end_as(status)


if __name__ == "__main__":
    sys.exit(main())
