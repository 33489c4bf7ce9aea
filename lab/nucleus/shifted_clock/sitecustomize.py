"""A device's own wall clock: the real one, moved by as many seconds as a file says.

Python imports this at its start where the lab has put the folder on its path. ``time.time``
and ``datetime.now`` are moved, in the component and its children; left out is what asks the
kernel by itself, such as the validity of a server's certificate in a TLS handshake.
"""

import datetime
import os
import time

_FILE = os.environ["LAB_CLOCK"]
_real_time = time.time


def _shift() -> float:
    try:
        with open(_FILE) as file:  # noqa: PTH123  # as little as can be at each start
            return float(file.read())
    except (OSError, ValueError):
        return 0.0


def _moved_time() -> float:
    return _real_time() + _shift()


class _MovedDatetime(datetime.datetime):
    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> "_MovedDatetime":
        return cls.fromtimestamp(_moved_time(), tz)


time.time = _moved_time
datetime.datetime = _MovedDatetime  # type: ignore[misc]  # a type, put in another's place
