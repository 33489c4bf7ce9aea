"""Whether a certificate that was issued for our request is the one that we want.

It looks at the certificate alone: who signed it, and whether AWS IoT lets it in, is for the
probe to find out. It keeps and changes nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from cryptography import x509 as library
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID

from certkeeper.edge.x509 import certificate_id
from rotation_protocol.reasons import FailureReason
from rotation_protocol.values import dataclass

#: A certificate and a chain of CAs with large RSA keys, generously.
MAX_CHARACTERS = 32 * 1024
#: How far the cloud's clock may be ahead of the device's.
TOLERANCE = timedelta(minutes=5)
#: The subject that AWS IoT gives to a certificate whatever its request says.
AWS_IOT_DEFAULT = library.Name([library.NameAttribute(NameOID.COMMON_NAME, "AWS IoT Certificate")])
#: What the library raises for a certificate, or a part of one, that it cannot read.
_MALFORMED = (
    *(ValueError, TypeError, UnsupportedAlgorithm),
    *(library.InvalidVersion, library.DuplicateExtension, library.UnsupportedGeneralNameType),
)


class NotAccepted(Exception):
    """The certificate is not to be used; says why, from the closed list and in words."""

    def __init__(self, reason: FailureReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True)
class Accepted:
    """The certificate's id as AWS IoT has it, and the PEM to keep: it and its chain, leaf first,
    written anew, with nothing else of what was sent."""

    certificate_id: str
    pem: bytes


def check(pem: str, csr: str, now: datetime, clock_trusted: bool = True) -> Accepted:
    """Accept the certificate in ``pem``, issued for ``csr`` (both PEM), at ``now`` (aware).

    ``clock_trusted`` is False where ``now`` cannot be right: no window is held against it then.
    The subject may be the request's, or AWS IoT's own, or one with the request's common name (a
    private CA fills in the rest). Raises NotAccepted.
    """
    certificates = _parsed(pem)
    leaf = certificates[0]
    request = _request(csr)
    try:
        _check_shape(certificates)
        _check_key(leaf, request)
        _check_subject(leaf.subject, request.subject)
        _check_window(leaf, now, clock_trusted)
    except _MALFORMED as error:
        raise _garbage(f"a part of it cannot be read ({type(error).__name__})") from None
    written = b"".join(c.public_bytes(serialization.Encoding.PEM) for c in certificates)
    return Accepted(certificate_id(leaf), written)


def _parsed(pem: str) -> list[library.Certificate]:
    if len(pem) > MAX_CHARACTERS:
        raise _garbage(f"it has {len(pem)} characters, more than any certificate")
    try:
        return library.load_pem_x509_certificates(pem.encode("ascii"))
    except _MALFORMED:
        raise _garbage("it is no certificate in PEM") from None


def _request(csr: str) -> library.CertificateSigningRequest:
    try:
        return library.load_pem_x509_csr(csr.encode("ascii"))
    except _MALFORMED:
        detail = "the request that it was issued for cannot be read any more"
        raise NotAccepted(FailureReason.INTERNAL_ERROR, detail) from None


def _check_shape(certificates: list[library.Certificate]) -> None:
    """One certificate of a device, then CAs if anything."""
    if _is_ca(certificates[0]):
        raise _garbage("its first certificate is a CA's, not a device's")
    if not all(_is_ca(certificate) for certificate in certificates[1:]):
        raise _garbage("it holds more than one certificate that is not a CA's")


def _is_ca(certificate: library.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(library.BasicConstraints).value.ca
    except library.ExtensionNotFound:
        return False


def _check_key(leaf: library.Certificate, request: library.CertificateSigningRequest) -> None:
    if leaf.public_key() != request.public_key():
        detail = "its public key is not the one that was asked for"
        raise NotAccepted(FailureReason.CERTIFICATE_OTHER_KEY, detail)


def _check_subject(subject: library.Name, wanted: library.Name) -> None:
    if subject in (wanted, AWS_IOT_DEFAULT):
        return
    name = _common_names(subject)
    if not name or name != _common_names(wanted):
        detail = f"its subject is {_text(subject)}, {_text(wanted)} was asked for"
        raise NotAccepted(FailureReason.CERTIFICATE_OTHER_SUBJECT, detail)


def _common_names(name: library.Name) -> list[str | bytes]:
    return [attribute.value for attribute in name.get_attributes_for_oid(NameOID.COMMON_NAME)]


def _text(name: library.Name) -> str:
    return repr(name.rfc4514_string()[:120])


def _check_window(leaf: library.Certificate, now: datetime, clock_trusted: bool) -> None:
    begins, ends = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    if ends <= begins:
        raise _garbage(f"it ends at {ends.isoformat()}, before it begins")
    if not clock_trusted:
        return
    if begins > now + TOLERANCE:
        detail = f"it begins at {begins.isoformat()}, and it is {now.isoformat()}"
        raise NotAccepted(FailureReason.CERTIFICATE_NOT_YET_VALID, detail)
    if ends <= now:
        detail = f"it ended at {ends.isoformat()}, and it is {now.isoformat()}"
        raise NotAccepted(FailureReason.CERTIFICATE_EXPIRED, detail)


def _garbage(detail: str) -> NotAccepted:
    return NotAccepted(FailureReason.CERTIFICATE_GARBAGE, detail)
