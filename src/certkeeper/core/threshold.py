"""The rungs of the ladder: days before the deadline, or a share of the lifetime."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Union

from certkeeper.core.deadline import DAY
from rotation_protocol.values import dataclass

MAX_DAYS = 3650


@dataclass(frozen=True)
class Share:
    """A share of the certificate's lifetime, in percent, for short-lived certificates."""

    percent: int

    def __str__(self) -> str:
        return f"{self.percent}%"


Threshold = Union[int, Share]


def parse_threshold(value: object) -> Threshold | None:
    """``30``, ``30.0`` or ``"20%"``; None for what is no threshold."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int):
        return value if 1 <= value <= MAX_DAYS else None
    if isinstance(value, str):
        match = re.fullmatch(r"([1-9][0-9]?)%", value)
        return Share(int(match.group(1))) if match else None
    return None


def span(threshold: Threshold, lifetime: timedelta) -> timedelta:
    """How long before the deadline a threshold is reached."""
    if isinstance(threshold, Share):
        return lifetime * threshold.percent / 100
    return threshold * DAY
