"""A moment, by both clocks; a room of its own, so that whoever only looks loads no events."""

from __future__ import annotations

from datetime import datetime

from rotation_protocol.values import dataclass


@dataclass(frozen=True)
class Moment:
    """When something happens: the wall clock (aware, UTC), which may jump, and the monotonic
    clock (seconds), which may not."""

    wall: datetime
    monotonic: float
