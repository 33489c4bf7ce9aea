"""Looks over the fleet, by schedule or by hand (see ``rotation_cloud/reconciler.py``)."""

from __future__ import annotations

import os
from typing import Any, Protocol

from rotation_cloud import aws
from rotation_cloud.daily import run_of_the_day
from rotation_cloud.reconciler import Orders, reconcile

#: Of the AWS IoT control plane; the smallest quotas are 10 a second, and rotations need them too.
#: https://docs.aws.amazon.com/general/latest/gr/iot-core.html
CALLS_PER_SECOND = 5


class Context(Protocol):
    """What Lambda passes beside the event, as far as it is needed here."""

    def get_remaining_time_in_millis(self) -> int: ...


def handler(event: dict[str, Any], context: Context) -> dict[str, Any] | None:
    """The schedule's event: what is still to be done today. What is raised is delivered again.

    Anything else is an order by hand (``Orders.of``), answered with a report.
    """

    def remaining() -> float:
        return context.get_remaining_time_in_millis() / 1000

    cloud = aws.cloud(os.environ, iot_per_second=CALLS_PER_SECOND)
    most_repairs = int(os.environ["RECONCILER_MAX_REPAIRS"])
    auto_rotate_days = int(os.environ["AUTO_ROTATE_BELOW_DAYS"])
    if event == {"scheduled": True}:
        run_of_the_day(cloud, most_repairs, auto_rotate_days, remaining)
        return None
    return reconcile(cloud, Orders.of(event, most_repairs, auto_rotate_days), remaining).to_json()
