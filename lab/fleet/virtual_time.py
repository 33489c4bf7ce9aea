"""Time that passes as fast as the processor allows: what is to happen, in order.

Whatever takes place at an instant is an *action*. What takes longer and is written as plain
code, such as a Lambda function that waits for AWS, is a *task*: a coroutine (greenlet) that
gives way wherever it sleeps. No two runs differ: actions of the same instant happen in the
order in which they were asked for.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

from greenlet import getcurrent, greenlet

Action = Callable[[], None]


class VirtualTime:
    """``now`` is in seconds since the epoch, and moves only while ``run`` runs."""

    def __init__(self, start: float) -> None:
        self.now = start
        self._heap: list[tuple[float, int, Action]] = []
        self._number = 0
        self._until = start
        self._hub: greenlet | None = None

    def after(self, seconds: float, act: Action) -> None:
        """Let that happen so much later."""
        self._number += 1
        heapq.heappush(self._heap, (self.now + max(seconds, 0.0), self._number, act))

    def begin(self, work: Action) -> None:
        """A task, begun soon; what it raises is raised by ``run``."""
        # Made by the action, so that it comes back to whoever lets time pass, not to a task.
        self.after(0.0, lambda: greenlet(work).switch())

    def sleep(self, seconds: float) -> None:
        """Within a task: let so much time pass."""
        wake_at = self.now + max(seconds, 0.0)
        task, hub = getcurrent(), self._hub
        assert hub is not None, "time passes only while it runs"
        assert task is not hub, "only a task may sleep"
        if wake_at <= self._until and (not self._heap or wake_at < self._heap[0][0]):
            self.now = wake_at  # nothing else happens meanwhile
            return
        self._number += 1
        heapq.heappush(self._heap, (wake_at, self._number, task.switch))
        hub.switch()

    def run(self, until: float, done: Callable[[], bool] = lambda: False) -> None:
        """Let time pass ``until`` then, or until ``done``, which is asked after each action."""
        self._until, self._hub = until, getcurrent()
        try:
            while self._heap and self._heap[0][0] <= until:
                at, _, act = heapq.heappop(self._heap)
                self.now = at
                act()
                if done():
                    return
            self.now = max(self.now, until)
        finally:
            self._hub = None
