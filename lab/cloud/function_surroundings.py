"""What a function finds around it in Lambda, in the lab: a clock, a log, and who reads its metrics.

They are the process's, so they hold for every function while they are in place.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

from lab.cloud.metrics import Metrics
from lab.timeline import Timeline
from rotation_cloud import aws, metrics


class _TimelineHandler(logging.Handler):
    """Log lines of the functions, as CloudWatch has them."""

    def __init__(self, timeline: Timeline) -> None:
        super().__init__()
        self._timeline = timeline

    def emit(self, record: logging.LogRecord) -> None:
        self._timeline.record("cloud", "function-log", line=record.getMessage())


@contextmanager
def clock_of_the_functions(
    clock: Callable[[], float], patience: Callable[[], float]
) -> Iterator[None]:
    """The functions' time is this clock's, in seconds since the epoch; whatever they wait for AWS
    takes ``patience`` seconds."""
    with (
        patch.object(aws.SystemClock, "now", lambda _: clock()),
        patch.object(aws.SystemClock, "sleep", lambda *_: time.sleep(patience())),
    ):
        yield


@contextmanager
def log_to(timeline: Timeline) -> Iterator[None]:
    """What the functions log is recorded as ``function-log`` (source ``cloud``)."""
    logger, handler = logging.getLogger("rotation_cloud"), _TimelineHandler(timeline)
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = True


@contextmanager
def metrics_to(taken: Metrics) -> Iterator[None]:
    """What the functions count is counted there, and not printed."""
    before, metrics.write = metrics.write, taken.read
    try:
        yield
    finally:
        metrics.write = before
