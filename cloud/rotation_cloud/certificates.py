"""What is asked of X.509 certificates here, wherever they come from."""

from __future__ import annotations

from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

#: What the library raises for a part of a certificate that it cannot read or verify.
MALFORMED = (
    *(ValueError, TypeError, UnsupportedAlgorithm),
    *(x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType),
)
#: How far another clock may be ahead of ours.
TOLERANCE = timedelta(minutes=5)


def is_ca(certificate: x509.Certificate) -> bool:
    """Whether it may sign others (RFC 5280, 4.2.1.9). Raises MALFORMED."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def is_valid(certificate: x509.Certificate, now: datetime) -> bool:
    """Whether its window contains ``now`` (aware)."""
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return begins <= now + TOLERANCE and now < ends
