"""So many calls a second, and no more: what one function leaves of a quota is the others'."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any


class Pace:
    """Called before each call, by botocore (its event ``before-call``) or anybody: waits until
    the next one is due. Any thread may call."""

    def __init__(
        self,
        per_second: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._interval = 1 / per_second
        self._clock = clock
        self._sleep = sleep
        self._due = clock()
        self._lock = threading.Lock()

    def __call__(self, **_event: Any) -> None:
        with self._lock:
            now = self._clock()
            wait = self._due - now
            self._due = max(self._due, now) + self._interval
        if wait > 0:
            self._sleep(wait)
