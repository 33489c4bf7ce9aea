"""What the service still has to say, in the order in which it became true."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable


class Outbox:
    """Actions that are run one at a time, in order, by whoever drains it first.

    Another who drains meanwhile does not wait: what he put in is run by the first. So no
    thread is held up by another's publishing, which the lab's loop could not bear.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._actions: deque[Callable[[], None]] = deque()
        self._running = False

    def put(self, action: Callable[[], None]) -> None:
        with self._lock:
            self._actions.append(action)

    def drain(self) -> None:
        """Run what there is. Raises what an action raises, and keeps those after it."""
        while True:
            with self._lock:
                if self._running or not self._actions:
                    return
                self._running = True
                action = self._actions.popleft()
            try:
                action()
            finally:
                with self._lock:
                    self._running = False
