"""What happened, for whoever watches: one event for each step that changes who may connect.

The events go to a bus of their own (``Audit`` in ports.py), where a SIEM takes them up, and are
counted as metrics. docs/security-events.md has the schema.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Activity(StrEnum):
    """What was done, or refused."""

    CERTIFICATE_ISSUED = "certificate-issued"
    CERTIFICATE_COMMITTED = "certificate-committed"
    CERTIFICATE_RETIRED = "certificate-retired"
    CERTIFICATE_KEPT = "certificate-kept"  # it should have gone, and something else needs it
    ROTATION_REQUESTED = "rotation-requested"
    ROTATION_SUCCEEDED = "rotation-succeeded"
    ROTATION_FAILED = "rotation-failed"
    REVIEW_NEEDED = "review-needed"
    ALERT_RECEIVED = "alert-received"
    MESSAGE_NOT_BELIEVED = "message-not-believed"
    DEVICE_REGISTERED = "device-registered"
    REGISTRY_REPAIRED = "registry-repaired"
    JOB_EVENTS_SWITCHED_ON = "job-events-switched-on"


@dataclass(frozen=True)
class SecurityEvent:
    """One step. Empty is what does not apply; ``succeeded`` is False where it was refused or
    failed, and ``reason`` then is a code."""

    activity: Activity
    thing: str
    succeeded: bool = True
    job_id: str = ""
    certificate_id: str = ""
    reason: str = ""
    detail: str = ""
