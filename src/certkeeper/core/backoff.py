"""How long to wait before the next try: exponential, capped, spread, and the same every time.

The spread is a hash of the device's name and the attempt, not a draw: a thousand
devices that lost the cloud at once come back at a thousand different moments, and a
test gets the same answer twice.
"""

from __future__ import annotations

import binascii
from datetime import timedelta

from rotation_protocol.values import dataclass


@dataclass(frozen=True)
class Backoff:
    """Delays that double from ``first`` up to ``most``, each shortened by up to one half."""

    first: timedelta
    most: timedelta

    def delay(self, attempt: int, seed: str) -> timedelta:
        """The wait after the ``attempt``-th failure in a row (1, 2, ...) on the device ``seed``."""
        doublings = min(max(attempt, 1) - 1, 32)
        full = min(self.first * (1 << doublings), self.most)
        # Not hashlib: it would keep OpenSSL in the daemon's memory for a spread.
        share = binascii.crc32(f"{attempt} {seed}".encode()) / 2**32
        return full * (1 - share / 2)
