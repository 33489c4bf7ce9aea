"""What is known of a device's certificates, as plain values; nobody reads a file here."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import Enum

from rotation_protocol.messages import ReadinessCheck
from rotation_protocol.reasons import ReadProblem
from rotation_protocol.values import dataclass


class Role(str, Enum):
    """What a watched certificate is for."""

    CORE_DEVICE = "core-device"
    ROOT_CA = "root-ca"
    CLAIM = "claim"
    CLIENT_DEVICE_CA = "client-device-ca"
    WATCHED = "watched"


class PairState(str, Enum):
    """How a certificate and the private key that should be its own stand to each other."""

    MATCHES = "matches"
    MISMATCH = "mismatch"
    KEY_UNREADABLE = "key-unreadable"
    NOT_CHECKED = "not-checked"


@dataclass(frozen=True)
class CertificateFacts:
    """One X.509 certificate (RFC 5280) in plain values.

    ``certificate_id``: lowercase hex SHA-256 of the DER, AWS IoT's certificateId.
    ``serial_number``: lowercase hex. ``subject`` and ``issuer``: RFC 4514 text.
    ``issuer_not_after``: when the certificate of its CA ends, where that was at hand.
    """

    certificate_id: str
    subject: str
    issuer: str
    serial_number: str
    not_before: datetime
    not_after: datetime
    key_algorithm: str
    issuer_not_after: datetime | None = None

    @property
    def lifetime(self) -> timedelta:
        """From notBefore to notAfter."""
        return self.not_after - self.not_before


@dataclass(frozen=True)
class Reading:
    """What came of reading one watched certificate: facts, or a problem and its detail."""

    role: Role
    source: str
    facts: CertificateFacts | None = None
    problem: ReadProblem | None = None
    detail: str = ""
    pair: PairState = PairState.NOT_CHECKED

    @property
    def identity(self) -> str:
        """What stays the same from check to check: the certificate id, else role and source."""
        return self.facts.certificate_id if self.facts else f"{self.role.value}:{self.source}"


@dataclass(frozen=True)
class Inventory:
    """Everything that one look at the device brought back.

    ``runtime`` is "classic", "lite" or "unknown"; ``clock_synchronized`` is what the
    kernel says of its clock, None where it says nothing.
    """

    runtime: str
    thing_name: str | None
    private_key_source: str | None
    readings: tuple[Reading, ...]
    checks: tuple[ReadinessCheck, ...]
    clock_synchronized: bool | None = None
    notes: tuple[str, ...] = ()

    @property
    def core_device(self) -> Reading | None:
        """The reading of the certificate with which the nucleus connects."""
        for reading in self.readings:
            if reading.role is Role.CORE_DEVICE:
                return reading
        return None
