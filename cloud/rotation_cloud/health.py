"""A device's health message, from the rule into the inventory.

It is not signed, and so is believed as far as its connection: the sender's certificate is the
thing's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from rotation_cloud import inventory
from rotation_cloud.doubts import Doubt, NotBelieved
from rotation_cloud.hearing import hear
from rotation_cloud.ports import Cloud, RecordChanged
from rotation_cloud.reports import Report, speak_for
from rotation_cloud.sender import attached_seen
from rotation_protocol.codec import decode_health
from rotation_protocol.fields import WireError
from rotation_protocol.messages import Health
from rotation_protocol.reasons import ReadinessCheckName

_KNOWN_CHECKS = frozenset(name.value for name in ReadinessCheckName)


def receive(cloud: Cloud, event: Mapping[str, Any]) -> None:
    """Serves one health message. Raises as ``alerts.receive``."""
    hear(cloud, event, lambda report: _receive(cloud, report))


def _receive(cloud: Cloud, report: Report) -> None:
    health = _decoded(report)
    seen = attached_seen(cloud, report, cloud.records.of_thing(report.thing))
    with suppress(RecordChanged):  # ten others have written it meanwhile
        inventory.note_health(cloud, report, health, seen)


def _decoded(report: Report) -> Health:
    payload = report.payload
    checks = report.fields.get("checks")
    if isinstance(checks, list):
        # A newer component may make checks of which nothing is known here.
        known = [one for one in checks if _is_known(one)]
        payload = json.dumps({**report.fields, "checks": known}).encode()
    try:
        health = decode_health(payload)
    except WireError as error:
        raise NotBelieved(Doubt.MALFORMED, str(error)) from error
    speak_for(report, health.thing_name)
    return health


def _is_known(check: object) -> bool:
    name = check.get("name") if isinstance(check, dict) else None
    return not isinstance(name, str) or name in _KNOWN_CHECKS
