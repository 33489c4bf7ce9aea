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


class FailureReason(str, Enum):
    """Why a rotation ended without a new certificate (``reason`` in the job's statusDetails)."""

    CREDENTIALS_UNREADABLE = "credentials-unreadable"
    KEY_NOT_SUPPORTED = "key-not-supported"
    STORE_FAILED = "store-failed"
    STORE_FULL = "store-full"
    STORE_NOT_REPLACEABLE = "store-not-replaceable"
    JOURNAL_FAILED = "journal-failed"
    JOURNAL_UNREADABLE = "journal-unreadable"
    CREATE_REJECTED = "create-rejected"
    CREATE_UNANSWERED = "create-unanswered"
    CERTIFICATE_GARBAGE = "certificate-garbage"
    CERTIFICATE_OTHER_KEY = "certificate-other-key"
    CERTIFICATE_OTHER_SUBJECT = "certificate-other-subject"
    CERTIFICATE_NOT_YET_VALID = "certificate-not-yet-valid"
    CERTIFICATE_EXPIRED = "certificate-expired"
    PROBE_REFUSED = "probe-refused"
    PROBE_UNREACHABLE = "probe-unreachable"
    DEAD_MAN_FAILED = "dead-man-failed"
    RECONNECT_FAILED = "reconnect-failed"
    PROVE_UNANSWERED = "prove-unanswered"
    COMMIT_REJECTED = "commit-rejected"
    CERTIFICATE_REFUSED = "certificate-refused"
    INTERRUPTED = "interrupted"
    JOB_GONE = "job-gone"
    INTERNAL_ERROR = "internal-error"


class RejectionCode(str, Enum):
    """Why the cloud did not do what a device asked (``errorCode`` of a rejected answer)."""

    INVALID_REQUEST = "invalid-request"
    NOT_ALLOWED = "not-allowed"
    NO_SUCH_JOB = "no-such-job"
    JOB_ENDED = "job-ended"
    OTHER_PRINCIPAL = "other-principal"
    NOT_ISSUED = "not-issued"
    CSR_REFUSED = "csr-refused"
    BUSY = "busy"
    THROTTLED = "throttled"
    INTERNAL = "internal"

    @property
    def may_be_asked_again(self) -> bool:
        """Whether the same request may succeed later."""
        return self in (RejectionCode.BUSY, RejectionCode.THROTTLED, RejectionCode.INTERNAL)


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
    FailureReason.CREDENTIALS_UNREADABLE: "The current certificate or key cannot be read.",
    FailureReason.KEY_NOT_SUPPORTED: "A key or signature of the wanted kind cannot be made.",
    FailureReason.STORE_FAILED: "The new pair could not be kept beside the old one.",
    FailureReason.STORE_FULL: "There is no room for a second pair.",
    FailureReason.STORE_NOT_REPLACEABLE: "The credential files cannot be renamed over.",
    FailureReason.JOURNAL_FAILED: "What the rotation does could not be written down.",
    FailureReason.JOURNAL_UNREADABLE: "The journal of an interrupted rotation was damaged.",
    FailureReason.CREATE_REJECTED: "The cloud refused to issue a certificate.",
    FailureReason.CREATE_UNANSWERED: "The cloud did not answer the request for a certificate.",
    FailureReason.CERTIFICATE_GARBAGE: "What the cloud sent is no certificate.",
    FailureReason.CERTIFICATE_OTHER_KEY: "The issued certificate is for another key.",
    FailureReason.CERTIFICATE_OTHER_SUBJECT: "The issued certificate has another subject.",
    FailureReason.CERTIFICATE_NOT_YET_VALID: "The issued certificate is not valid yet.",
    FailureReason.CERTIFICATE_EXPIRED: "The issued certificate has already ended.",
    FailureReason.PROBE_REFUSED: "AWS IoT does not let the new certificate in.",
    FailureReason.PROBE_UNREACHABLE: "The new certificate could not be tried.",
    FailureReason.DEAD_MAN_FAILED: "The dead-man's switch could not be armed.",
    FailureReason.RECONNECT_FAILED: "The nucleus could not be made to use the new pair.",
    FailureReason.PROVE_UNANSWERED: "Over the new certificate no answer came in time.",
    FailureReason.COMMIT_REJECTED: "The cloud refused to commit the new certificate.",
    FailureReason.CERTIFICATE_REFUSED: "The new certificate was let in no more.",
    FailureReason.INTERRUPTED: "The device restarted before the new pair was complete.",
    FailureReason.JOB_GONE: "The job was cancelled, deleted or timed out under way.",
    FailureReason.INTERNAL_ERROR: "A fault of the component itself; the log has it.",
    RejectionCode.INVALID_REQUEST: "The message is malformed.",
    RejectionCode.NOT_ALLOWED: "The sender's certificate is not this thing's.",
    RejectionCode.NO_SUCH_JOB: "There is no such rotation job for this thing.",
    RejectionCode.JOB_ENDED: "The job has ended.",
    RejectionCode.OTHER_PRINCIPAL: "The connection does not use the certificate issued.",
    RejectionCode.NOT_ISSUED: "No certificate was issued for this job.",
    RejectionCode.CSR_REFUSED: "No certificate can be issued for this CSR.",
    RejectionCode.BUSY: "Another request for this thing is being worked on.",
    RejectionCode.THROTTLED: "AWS is busy; ask again later.",
    RejectionCode.INTERNAL: "The backend failed; its operators were told.",
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
