"""What happened, for whoever watches: one event for each step that changes who may connect.

The events go to a bus of their own (``Audit`` in ports.py), where a SIEM takes them up, in the
shape of OCSF's class Entity Management; each is counted as a metric of its activity's name too
(``metrics.py``). docs/security-events.md says what each means, and is held complete by a test.
https://schema.ocsf.io/1.3.0/classes/entity_management
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any

OCSF_VERSION = "1.3.0"
_CATEGORY, _CLASS = 3, 3004
_OTHER = 99
#: An IoT device, in OCSF's device object.
_IOT = 7


class Activity(StrEnum):
    """What was done, or refused."""

    CERTIFICATE_ISSUED = "certificate-issued"
    CERTIFICATE_COMMITTED = "certificate-committed"
    CERTIFICATE_RETIRED = "certificate-retired"
    CERTIFICATE_KEPT = "certificate-kept"  # it should have gone, and something else needs it
    REQUEST_REFUSED = "request-refused"  # a device asked for what it may not have
    ROTATION_REQUESTED = "rotation-requested"
    ROTATION_SUCCEEDED = "rotation-succeeded"
    ROTATION_FAILED = "rotation-failed"
    REVIEW_NEEDED = "review-needed"
    ALERT_RECEIVED = "alert-received"
    MESSAGE_NOT_BELIEVED = "message-not-believed"
    DEVICE_REGISTERED = "device-registered"
    REGISTRY_REPAIRED = "registry-repaired"
    JOB_EVENTS_SWITCHED_ON = "job-events-switched-on"


class Severity(IntEnum):
    """severity_id of OCSF."""

    INFORMATIONAL = 1
    LOW = 2
    MEDIUM = 3
    HIGH = 4


@dataclass(frozen=True)
class SecurityEvent:
    """One step. Empty is what does not apply; ``succeeded`` is False where it was refused or
    failed, and ``reason`` then is a code; of an alert it is the rung. ``seconds`` is how long
    it took, where that is known."""

    activity: Activity
    thing: str
    succeeded: bool = True
    job_id: str = ""
    certificate_id: str = ""
    reason: str = ""
    detail: str = ""
    seconds: int = 0


#: Nearest activity_id of the class (name as there), and what the event is about.
_KINDS: dict[Activity, tuple[int, str, str]] = {
    Activity.CERTIFICATE_ISSUED: (1, "Create", "certificate"),
    Activity.CERTIFICATE_COMMITTED: (10, "Activate", "certificate"),
    Activity.CERTIFICATE_RETIRED: (4, "Delete", "certificate"),
    Activity.CERTIFICATE_KEPT: (_OTHER, "", "certificate"),
    Activity.REQUEST_REFUSED: (_OTHER, "", "device"),
    Activity.ROTATION_REQUESTED: (_OTHER, "", "device"),
    Activity.ROTATION_SUCCEEDED: (3, "Update", "device"),
    Activity.ROTATION_FAILED: (3, "Update", "device"),
    Activity.REVIEW_NEEDED: (_OTHER, "", "device"),
    Activity.ALERT_RECEIVED: (_OTHER, "", "certificate"),
    Activity.MESSAGE_NOT_BELIEVED: (_OTHER, "", "device"),
    Activity.DEVICE_REGISTERED: (6, "Enroll", "device"),
    Activity.REGISTRY_REPAIRED: (3, "Update", "certificate"),
    Activity.JOB_EVENTS_SWITCHED_ON: (8, "Enable", "configuration"),
}
_NOTABLE = {
    Activity.REVIEW_NEEDED: Severity.HIGH,
    Activity.CERTIFICATE_KEPT: Severity.MEDIUM,
    Activity.ALERT_RECEIVED: Severity.LOW,
    Activity.REGISTRY_REPAIRED: Severity.LOW,
    Activity.JOB_EVENTS_SWITCHED_ON: Severity.LOW,
}


def as_ocsf(event: SecurityEvent, uid: str, now: float) -> dict[str, Any]:
    """The event as JSON: ``uid`` is its own, ``now`` in seconds since the epoch.

    What is empty is left out.
    """
    activity_id, activity_name, kind = _KINDS[event.activity]
    severity = _NOTABLE.get(event.activity, Severity.INFORMATIONAL)
    if not event.succeeded:
        severity = max(severity, Severity.MEDIUM)
    entity = {
        "type": kind,
        "uid": event.certificate_id if kind == "certificate" else "",
        "name": event.thing if kind == "device" else "",
    }
    said = {
        "class_uid": _CLASS,
        "class_name": "Entity Management",
        "category_uid": _CATEGORY,
        "category_name": "Identity & Access Management",
        "activity_id": activity_id,
        "activity_name": activity_name or event.activity.value,
        "type_uid": _CLASS * 100 + activity_id,
        "time": int(now * 1000),
        "severity_id": int(severity),
        "severity": severity.name.capitalize(),
        "status_id": 1 if event.succeeded else 2,
        "status": "Success" if event.succeeded else "Failure",
        "status_code": event.reason,
        "status_detail": event.detail,
        "duration": event.seconds * 1000,
        "metadata": {
            "version": OCSF_VERSION,
            "product": {"name": "CertKeeper", "vendor_name": "CertKeeper"},
            "profiles": ["host"],
            "uid": uid,
            "event_code": event.activity.value,
            **({"correlation_uid": event.job_id} if event.job_id else {}),
        },
        "entity": {name: value for name, value in entity.items() if value},
        "device": {"type_id": _IOT, "type": "IOT", "name": event.thing} if event.thing else {},
        "unmapped": {
            name: value
            for name, value in (("jobId", event.job_id), ("certificateId", event.certificate_id))
            if value
        },
    }
    return {name: value for name, value in said.items() if value not in ("", 0, {})}
