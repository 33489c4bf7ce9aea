"""Metrics, as lines that CloudWatch reads out of a function's log: no permission, no call.

The metrics are CertKeeper's own, in the namespace METRICS_NAMESPACE of the environment
(cloud/template.yaml, which also has the dashboard). Each security event counts once by its
activity: ``rotation-failed`` is RotationFailed, and a ``certificate-issued`` that was not is
CertificateIssuedFailed. Where there is a reason it is counted by that as
well, by one of a closed list: what devices say must not become metrics that cost money.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from rotation_cloud.admission import Reason
from rotation_cloud.doubts import Doubt
from rotation_cloud.findings import Kind
from rotation_cloud.grace import Objection
from rotation_cloud.security_events import Activity, SecurityEvent
from rotation_protocol.reasons import FailureReason, RejectionCode

#: What was still throttled after its retries, by operation.
THROTTLED = "Throttled"
#: How long a rotation took that succeeded, in seconds.
DURATION = "RotationSeconds"
OTHER = "other"
_NEVER_SUCCEED = (
    *(Activity.ROTATION_FAILED, Activity.REQUEST_REFUSED, Activity.MESSAGE_NOT_BELIEVED),
    Activity.REVIEW_NEEDED,
)
_STATUSES = {"timed_out", "canceled", "rejected", "removed", "deleted", "failed", "event_lost"}
#: Why a certificate was kept, or a person has to look, where that is in no list.
_OTHERS = {"shared", "replaced", "attempts-failed"}
#: The rungs of the device's default ladder, and those that are not days (docs/protocol.md).
_RUNGS = {
    *("30", "15", "7", "3", "1"),
    *("expired", "overdue", "mismatch", "key", "unreadable", "clock"),
}
REASONS = {
    *(*FailureReason, *RejectionCode, *Reason, *Objection, *Doubt, *Kind),
    *(*_STATUSES, *_OTHERS, *_RUNGS),
}


def _to_stdout(text: str) -> None:
    print(text, flush=True)


#: Where the lines go: to the standard output, which is a function's log. The lab listens here.
write: Callable[[str], None] = _to_stdout


def count_event(event: SecurityEvent) -> None:
    """Counts a security event, and the time that it took."""
    counts: dict[str, tuple[float, str]] = {name_of(event): (1, "Count")}
    if event.seconds and event.succeeded:
        counts[DURATION] = (event.seconds, "Seconds")
    reason = {"Reason": event.reason if event.reason in REASONS else OTHER} if event.reason else {}
    write(json.dumps(line(counts, reason, time.time())))


def count_throttled(operation: str) -> None:
    """Counts a call of AWS that was throttled for good."""
    said = line({THROTTLED: (1, "Count")}, {"Operation": operation}, time.time())
    write(json.dumps(said))


def name_of(event: SecurityEvent) -> str:
    """As what it is counted."""
    name = "".join(word.capitalize() for word in event.activity.split("-"))
    return name if event.succeeded or event.activity in _NEVER_SUCCEED else f"{name}Failed"


def line(
    counts: Mapping[str, tuple[float, str]], dimensions: Mapping[str, str], now: float
) -> dict[str, Any]:
    """One line, before it is JSON: each count by itself, and by the dimensions if there are any.

    ``counts`` are values with their units, by name; ``now`` in seconds since the epoch.
    """
    directive = {
        "Namespace": os.environ.get("METRICS_NAMESPACE", "CertKeeper"),
        "Dimensions": [[], *([[*dimensions]] if dimensions else [])],
        "Metrics": [{"Name": name, "Unit": unit} for name, (_, unit) in counts.items()],
    }
    values = {name: value for name, (value, _) in counts.items()}
    about = {"Timestamp": int(now * 1000), "CloudWatchMetrics": [directive]}
    return {"_aws": about, **dimensions, **values}
