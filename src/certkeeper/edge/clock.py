"""The device's clocks, and what the kernel knows of the wall clock's quality."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone

from certkeeper.core.moment import Moment

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
#: adjtimex(2): the state that says "not synchronized to a reference".
_TIME_ERROR = 5
#: struct timex is 208 bytes on 64-bit Linux; a modes field of 0 only reads.
_TIMEX_BYTES = 512


class SystemClock:
    """The system's clocks."""

    def now(self) -> Moment:
        # Not datetime.now: a clock far in the future must not raise where time_t still counts.
        return Moment(_EPOCH + timedelta(seconds=int(time.time())), time.monotonic())


def synchronized() -> bool | None:
    """Whether the kernel holds its clock for synchronized (adjtimex(2)); None where it cannot say.

    chrony, ntpd and systemd-timesyncd all tell the kernel.
    """
    import ctypes  # only the inspecting child asks; the daemon stays without it

    try:
        adjtimex = ctypes.CDLL(None, use_errno=True).adjtimex
    except (OSError, AttributeError):
        return None
    state: int = adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    return None if state < 0 else state != _TIME_ERROR
