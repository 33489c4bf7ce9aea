"""The messages that cross the wire, as values. How they are written is codec.py's.

All times are aware datetimes in UTC, with whole seconds.
"""

from __future__ import annotations

from datetime import datetime
from typing import Union

from rotation_protocol.reasons import AlertType, CheckStatus, DeadlineReason, ReadinessCheckName
from rotation_protocol.values import dataclass

#: A rung of the ladder: a number of days, a share of the lifetime such as "20%", or a word.
Threshold = Union[int, str]


@dataclass(frozen=True)
class Alert:
    """Something a person should know about one certificate.

    ``certificate_id`` is the lowercase hex SHA-256 of the certificate's DER, as AWS
    IoT has it. ``days_remaining`` counts whole days to the deadline, rounded down,
    negative once it has passed. What is known only of a certificate that could be
    read is None otherwise. ``signature`` is a detached JWS (RFC 7515, appendix F)
    over the canonical JSON of everything else.
    """

    type: AlertType
    thing_name: str
    role: str
    source: str
    severity: str
    critical: bool
    threshold: Threshold
    checked_at: datetime
    next_check_at: datetime | None
    component_version: str
    certificate_id: str | None = None
    subject: str | None = None
    issuer: str | None = None
    serial_number: str | None = None
    not_before: datetime | None = None
    not_after: datetime | None = None
    deadline: datetime | None = None
    deadline_reason: DeadlineReason | None = None
    days_remaining: int | None = None
    key_algorithm: str | None = None
    detail: str | None = None
    signature: str | None = None


@dataclass(frozen=True)
class CertificateHealth:
    """One watched certificate in a health message: its state, and what is known of it."""

    role: str
    source: str
    state: str
    certificate_id: str | None = None
    not_after: datetime | None = None
    deadline: datetime | None = None
    deadline_reason: DeadlineReason | None = None
    days_remaining: int | None = None
    detail: str | None = None
    key_algorithm: str | None = None


@dataclass(frozen=True)
class ReadinessCheck:
    """One named thing that doctor looked at, what it found, and what to do about it."""

    name: ReadinessCheckName
    status: CheckStatus
    detail: str
    remedy: str | None = None


@dataclass(frozen=True)
class Health:
    """One check's result: sent at every check, so that its absence means something too."""

    thing_name: str
    status: str
    checked_at: datetime
    next_check_at: datetime | None
    component_version: str
    runtime: str
    waiting_alerts: int
    certificates: tuple[CertificateHealth, ...]
    certificates_left_out: int
    checks: tuple[ReadinessCheck, ...]
