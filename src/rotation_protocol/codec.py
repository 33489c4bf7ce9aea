"""Alert and health message to bytes and back.

What is sent is canonical JSON (RFC 8785) already, so that a signature covers exactly what
was sent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from rotation_protocol.fields import VERSION, Fields, WireError, time_text
from rotation_protocol.messages import (
    Alert,
    CertificateHealth,
    Health,
    ReadinessCheck,
)
from rotation_protocol.reasons import AlertType, CheckStatus, DeadlineReason, ReadinessCheckName

_LARGEST_EXACT_INTEGER = 2**53 - 1


def canonical(value: object) -> bytes:
    """The canonical JSON (RFC 8785) of a value made of dict, list, str, int, bool and None.

    Numbers are integers that a double holds exactly: our messages need no others.
    Raises WireError for anything else, and for text that is not Unicode.
    """
    _refuse_what_is_not_canonical(value)
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise WireError("text with a lone surrogate has no canonical form") from None


def _refuse_what_is_not_canonical(value: object) -> None:
    if value is None or isinstance(value, (bool, str)):
        return
    if isinstance(value, int):
        if abs(value) > _LARGEST_EXACT_INTEGER:
            raise WireError(f"the integer {value} is too large for JSON")
    elif isinstance(value, list):
        for item in value:
            _refuse_what_is_not_canonical(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            # Sorting by code point equals RFC 8785's sorting by UTF-16 unit for ASCII.
            if not (isinstance(key, str) and key.isascii()):
                raise WireError(f"the name {key!r} is not ASCII text")
            _refuse_what_is_not_canonical(item)
    else:
        raise WireError(f"a {type(value).__name__} has no canonical form here")


def encode_alert(alert: Alert) -> bytes:
    """The message as it is published."""
    return canonical(_alert_fields(alert))


def alert_signing_bytes(alert: Alert) -> bytes:
    """What an alert's signature covers: the canonical JSON of all but the signature."""
    return encode_alert(replace(alert, signature=None))


def encode_health(health: Health) -> bytes:
    """The message as it is published."""
    return canonical(
        _without_none(
            {
                "version": VERSION,
                "type": "certificates.health",
                "thingName": health.thing_name,
                "status": health.status,
                "checkedAt": time_text(health.checked_at),
                "nextCheckAt": _optional_time(health.next_check_at),
                "componentVersion": health.component_version,
                "runtime": health.runtime,
                "waitingAlerts": health.waiting_alerts,
                "certificates": [
                    _without_none(_certificate_fields(c)) for c in health.certificates
                ],
                "certificatesLeftOut": health.certificates_left_out,
                "checks": [
                    _without_none(
                        {
                            "name": check.name.value,
                            "status": check.status.value,
                            "detail": check.detail,
                            "remedy": check.remedy,
                        }
                    )
                    for check in health.checks
                ],
            }
        )
    )


def decode_alert(payload: bytes) -> Alert:
    """The alert in a message. Raises WireError."""
    fields = Fields.of(payload)
    fields.version()
    days = fields.optional("daysRemaining", int)
    return Alert(
        type=fields.enum("type", AlertType),
        thing_name=fields.required("thingName", str),
        role=fields.required("role", str),
        source=fields.required("source", str),
        severity=fields.required("severity", str),
        critical=fields.required("critical", bool),
        threshold=fields.threshold("threshold"),
        checked_at=fields.time("checkedAt"),
        next_check_at=fields.optional_time("nextCheckAt"),
        component_version=fields.required("componentVersion", str),
        certificate_id=fields.optional("certificateId", str),
        subject=fields.optional("subject", str),
        issuer=fields.optional("issuer", str),
        serial_number=fields.optional("serialNumber", str),
        not_before=fields.optional_time("notBefore"),
        not_after=fields.optional_time("notAfter"),
        deadline=fields.optional_time("deadline"),
        deadline_reason=fields.optional_enum("deadlineReason", DeadlineReason),
        days_remaining=days,
        key_algorithm=fields.optional("keyAlgorithm", str),
        detail=fields.optional("detail", str),
        signature=fields.optional("signature", str),
    )


def decode_health(payload: bytes) -> Health:
    """The health report in a message. Raises WireError."""
    fields = Fields.of(payload)
    fields.version()
    return Health(
        thing_name=fields.required("thingName", str),
        status=fields.required("status", str),
        checked_at=fields.time("checkedAt"),
        next_check_at=fields.optional_time("nextCheckAt"),
        component_version=fields.required("componentVersion", str),
        runtime=fields.required("runtime", str),
        waiting_alerts=fields.required("waitingAlerts", int),
        certificates=tuple(
            CertificateHealth(
                role=item.required("role", str),
                source=item.required("source", str),
                state=item.required("state", str),
                certificate_id=item.optional("certificateId", str),
                not_after=item.optional_time("notAfter"),
                deadline=item.optional_time("deadline"),
                deadline_reason=item.optional_enum("deadlineReason", DeadlineReason),
                days_remaining=item.optional("daysRemaining", int),
                detail=item.optional("detail", str),
                key_algorithm=item.optional("keyAlgorithm", str),
            )
            for item in fields.items("certificates")
        ),
        certificates_left_out=fields.required("certificatesLeftOut", int),
        checks=tuple(
            ReadinessCheck(
                name=item.enum("name", ReadinessCheckName),
                status=item.enum("status", CheckStatus),
                detail=item.required("detail", str),
                remedy=item.optional("remedy", str),
            )
            for item in fields.items("checks")
        ),
    )


def _alert_fields(alert: Alert) -> dict[str, object]:
    fields: dict[str, object] = {
        "version": VERSION,
        "type": alert.type.value,
        "thingName": alert.thing_name,
        "certificateId": alert.certificate_id,
        "role": alert.role,
        "source": alert.source,
        "subject": alert.subject,
        "issuer": alert.issuer,
        "serialNumber": alert.serial_number,
        "notBefore": _optional_time(alert.not_before),
        "notAfter": _optional_time(alert.not_after),
        "deadline": _optional_time(alert.deadline),
        "deadlineReason": alert.deadline_reason.value if alert.deadline_reason else None,
        "daysRemaining": alert.days_remaining,
        "threshold": alert.threshold,
        "severity": alert.severity,
        "critical": alert.critical,
        "keyAlgorithm": alert.key_algorithm,
        "detail": alert.detail,
        "checkedAt": time_text(alert.checked_at),
        "nextCheckAt": _optional_time(alert.next_check_at),
        "componentVersion": alert.component_version,
        "signature": alert.signature,
    }
    return _without_none(fields)


def _certificate_fields(certificate: CertificateHealth) -> dict[str, object]:
    reason = certificate.deadline_reason
    return {
        "role": certificate.role,
        "source": certificate.source,
        "state": certificate.state,
        "certificateId": certificate.certificate_id,
        "notAfter": _optional_time(certificate.not_after),
        "deadline": _optional_time(certificate.deadline),
        "deadlineReason": reason.value if reason else None,
        "daysRemaining": certificate.days_remaining,
        "detail": certificate.detail,
        "keyAlgorithm": certificate.key_algorithm,
    }


def _without_none(fields: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value is not None}


def _optional_time(moment: datetime | None) -> str | None:
    return None if moment is None else time_text(moment)
