"""Tries many points: at each, a program is killed, and a trial says what became of the device.

The caller brings the trial (it builds a device, runs the program under the tracer, boots the
device again and looks) and the points, as ``tracer --count`` has written them down. Leaves
out what a device is.
"""

from __future__ import annotations

import multiprocessing
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol, TypeVar

from lab.crash.points import Point

T = TypeVar("T")


class Outcome(Enum):
    """What became of the device after the crash and a reboot."""

    KEPT_OLD = "kept old"  # the old pair works, the rotation is over and says so
    TOOK_NEW = "took new"  # the new pair works, the rotation is finished
    RECOVERED = "recovered"  # works, but something outside the program had to step in
    STUCK = "stuck"  # works, but the rotation is never over, or something is left behind
    BRICKED = "bricked"  # no pair that matches and that the cloud accepts
    NOT_REACHED = "not reached"  # the program ended before the point: nothing was tried
    NO_VERDICT = "no verdict"  # the trial itself failed

    @property
    def good(self) -> bool:
        """Whether a promise is kept, or was not put to the test."""
        return self not in (Outcome.STUCK, Outcome.BRICKED, Outcome.NO_VERDICT)


@dataclass(frozen=True)
class Verdict:
    """A trial's answer.

    ``point``: where the program was killed in truth, if the trial knows it from the tracer's
    record; threads do not run in the same order twice, and the count is of another run.
    """

    outcome: Outcome
    detail: str = ""
    point: Point | None = None


class Trial(Protocol):
    """One crash, on a fresh device. It runs in a worker process, so it must be picklable."""

    def __call__(self, kill_before: int) -> Verdict:
        """Kill the program before that point, boot, and judge.

        Bounds its own time: a device that does not come back is BRICKED or STUCK. What it
        raises is told as NO_VERDICT.
        """
        ...


@dataclass(frozen=True)
class Tried:
    """A point of the count, and what the trial said of it."""

    counted: Point
    verdict: Verdict

    def __str__(self) -> str:
        point = self.verdict.point or self.counted
        where = f"point {self.counted.index}: {point.process} {point.call} {point.target}"
        return ": ".join(filter(None, (where, self.verdict.outcome.value, self.verdict.detail)))


@dataclass
class Report:
    """What a sweep has found."""

    tried: list[Tried] = field(default_factory=list)

    @property
    def bad(self) -> list[Tried]:
        """The points that lost something, in the order of the count."""
        found = (one for one in self.tried if not one.verdict.outcome.good)
        return sorted(found, key=lambda one: one.counted.index)

    def table(self) -> str:
        """The figures, as a table in Markdown."""
        counted = Counter(one.verdict.outcome for one in self.tried)
        heads = ["points tried", *(outcome.value for outcome in Outcome)]
        figures = [len(self.tried), *(counted[outcome] for outcome in Outcome)]
        rows = (heads, ["--:"] * len(heads), [str(figure) for figure in figures])
        return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def kind_of(point: Point) -> tuple[str, str, str]:
    """Points of one kind do the same to the same thing; numbers in names do not matter."""
    return point.process, point.call, re.sub(r"\d+", "#", point.target)


def sample(points: Sequence[Point], size: int) -> list[Point]:
    """So many of the points, or all if there are not so many: evenly over their kinds.

    No kind gets a second point before each has one, and those of a kind lie evenly along
    the run. The same points every time.
    """
    kinds: dict[tuple[str, str, str], list[Point]] = {}
    for point in points:
        kinds.setdefault(kind_of(point), []).append(point)
    groups = list(kinds.values())
    if size < len(groups):
        groups = _evenly(groups, size)
    shares = [0] * len(groups)
    left = min(size, len(points))
    while left:
        open_groups = [n for n, group in enumerate(groups) if shares[n] < len(group)]
        for number in _evenly(open_groups, min(left, len(open_groups))):
            shares[number] += 1
            left -= 1
    chosen = (
        point
        for group, share in zip(groups, shares, strict=True)
        for point in _evenly(group, share)
    )
    return sorted(chosen, key=lambda point: point.index)


@dataclass(frozen=True)
class Part:
    """Every so many-th point, from this one on: a long sweep can be done in parts."""

    number: int = 1
    of: int = 1

    @classmethod
    def parse(cls, text: str) -> Part:
        """``2/8`` is the second of eight. Raises ValueError, which says so."""
        match = re.fullmatch(r"(\d+)/(\d+)", text)
        part = cls(*map(int, match.groups())) if match else None
        if part is None or not 1 <= part.number <= part.of:
            raise ValueError(f"{text} is no part: 2/8 is the second of eight")
        return part

    def choose(self, points: Sequence[Point]) -> Sequence[Point]:
        """The points of this part."""
        return points[self.number - 1 :: self.of]


@contextmanager
def workers(count: int) -> Iterator[Executor]:
    """So many processes for trials; what none of them has begun at the end is not done.

    Spawned, not forked: a trial starts threads.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, mp_context=context) as pool:
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)


def sweep(
    trial: Trial,
    points: Sequence[Point],
    pool: Executor,
    say: Callable[[str], None] = print,
) -> Report:
    """Try each point in the pool, and say how it goes, line by line.

    Raises BrokenProcessPool if one of its processes dies.
    """
    report = Report()
    running = {pool.submit(trial, point.index): point for point in points}
    for future in as_completed(running):
        tried = Tried(running[future], _verdict(future))
        report.tried.append(tried)
        say(f"{len(report.tried)}/{len(points)} {tried}")
    return report


def _verdict(future: Future[Verdict]) -> Verdict:
    """The trial's answer. A trial that raised has none; a pool that broke ends the sweep."""
    error = future.exception()
    if error is None:
        return future.result()
    if not isinstance(error, Exception) or isinstance(error, BrokenProcessPool):
        raise error
    return Verdict(Outcome.NO_VERDICT, f"{type(error).__name__}: {error}")


def _evenly(items: Sequence[T], size: int) -> list[T]:
    """So many of the items, spread from the first on."""
    return [items[number * len(items) // size] for number in range(size)]
