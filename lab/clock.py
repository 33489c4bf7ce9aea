"""The clock of the lab's cloud, which may be set ahead."""

from __future__ import annotations

import time


class LabClock:
    """The cloud's clock, in seconds since the epoch: the real time, and what was added to it."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self._ahead

    def advance(self, seconds: float) -> None:
        """Let so much time pass at once."""
        self._ahead += seconds
