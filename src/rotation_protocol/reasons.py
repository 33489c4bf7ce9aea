"""The closed lists of codes that appear in messages and in the log, a sentence each.

A code is a promise: it is never renamed, and never used for anything else.
"""

from __future__ import annotations

from enum import Enum


class AlertType(str, Enum):
    """What an alert says (its ``type``)."""

    EXPIRING = "certificate.expiring"
    EXPIRED = "certificate.expired"
    OVERDUE = "certificate.overdue"
    MISMATCH = "certificate.mismatch"
    UNREADABLE = "certificate.unreadable"
    KEY_UNREADABLE = "key.unreadable"
    CLOCK_UNTRUSTED = "clock.untrusted"


class DeadlineReason(str, Enum):
    """Which of the three ends comes first (an alert's ``deadlineReason``)."""

    NOT_AFTER = "not-after"
    MAX_AGE = "max-age"
    ISSUER_END = "issuer-end"


class ReadProblem(str, Enum):
    """Why a watched certificate could not be read."""

    MISSING = "missing"
    DENIED = "denied"
    UNREADABLE = "unreadable"
    EMPTY = "empty"
    TOO_LARGE = "too-large"
    NOT_A_CERTIFICATE = "not-a-certificate"
    PKCS11 = "pkcs11"


class ReadinessCheckName(str, Enum):
    """What ``doctor`` looks at, and each health message reports."""

    CREDENTIALS_FOUND = "credentials-found"
    CERTIFICATE_READABLE = "certificate-readable"
    KEY_READABLE = "key-readable"
    PAIR_MATCHES = "pair-matches"
    KEY_TYPE = "key-type"
    STORE_WRITABLE = "store-writable"
    STORE_SPACE = "store-space"
    STORE_LINKS = "store-links"
    SUPERVISOR = "supervisor"
    PROBE_ENDPOINT = "probe-endpoint"
    CLOCK = "clock"
    CONFIGURATION = "configuration"
    IPC = "ipc"


class CheckStatus(str, Enum):
    """What a readiness check found; UNKNOWN says that it could not be looked at here."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    UNKNOWN = "unknown"


SENTENCES = {
    AlertType.EXPIRING: "The certificate's deadline is near.",
    AlertType.EXPIRED: "The certificate, or the CA that issued it, has expired.",
    AlertType.OVERDUE: "The certificate is still valid, but older than its age policy allows.",
    AlertType.MISMATCH: "The private key is not the key of the certificate beside it.",
    AlertType.UNREADABLE: "A watched certificate cannot be read.",
    AlertType.KEY_UNREADABLE: "The private key is gone or damaged: a restart loses the device.",
    AlertType.CLOCK_UNTRUSTED: "The device's clock cannot be right, so nothing is said of expiry.",
    DeadlineReason.NOT_AFTER: "The certificate's own notAfter.",
    DeadlineReason.MAX_AGE: "notBefore plus the configured maxAgeDays.",
    DeadlineReason.ISSUER_END: "The notAfter of the CA that issued it.",
    ReadProblem.MISSING: "There is no such file.",
    ReadProblem.DENIED: "The file may not be read by this process.",
    ReadProblem.UNREADABLE: "Reading the file failed.",
    ReadProblem.EMPTY: "The file is empty.",
    ReadProblem.TOO_LARGE: "The file is larger than any certificate file.",
    ReadProblem.NOT_A_CERTIFICATE: "The file holds no X.509 certificate.",
    ReadProblem.PKCS11: "The certificate is kept in a PKCS#11 token, which is not read.",
    ReadinessCheckName.CREDENTIALS_FOUND: "Where the nucleus keeps its certificate and key.",
    ReadinessCheckName.CERTIFICATE_READABLE: "The core device certificate can be read.",
    ReadinessCheckName.KEY_READABLE: "The private key can be read by us, and by nobody else.",
    ReadinessCheckName.PAIR_MATCHES: "The certificate and the private key belong together.",
    ReadinessCheckName.KEY_TYPE: "The key is of a type that can be rotated.",
    ReadinessCheckName.STORE_WRITABLE: "The folder of the private key can be written.",
    ReadinessCheckName.STORE_SPACE: "There is room for a second pair.",
    ReadinessCheckName.STORE_LINKS: "Links can be made beside the credentials.",
    ReadinessCheckName.SUPERVISOR: "There is a way to make the nucleus use a new pair.",
    ReadinessCheckName.PROBE_ENDPOINT: "A new certificate can be tried before it is activated.",
    ReadinessCheckName.CLOCK: "The device's clock can be right.",
    ReadinessCheckName.CONFIGURATION: "The component's configuration is valid.",
    ReadinessCheckName.IPC: "The nucleus lets the component do what it needs.",
    CheckStatus.OK: "It is as it should be.",
    CheckStatus.WARN: "It works, but somebody should look at it.",
    CheckStatus.FAIL: "It does not work, and the remedy says what to do.",
    CheckStatus.UNKNOWN: "It could not be looked at from here.",
}
