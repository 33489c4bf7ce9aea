"""X.509 certificates and private keys, read, compared and signed with, through ``cryptography``.

What it takes in is a file of limited size; what it gives back are core's plain values.
A key never leaves it: it is loaded, used and dropped.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from certkeeper.core.certificate import CertificateFacts
from rotation_protocol.reasons import ReadProblem

#: A bundle of every public root CA has some 230 KB.
MAX_CERTIFICATE_FILE = 1024 * 1024
MAX_KEY_FILE = 64 * 1024

_CURVES = {"secp256r1": "P256", "secp384r1": "P384", "secp521r1": "P521"}
#: The library's types, for whoever passes its values on.
Certificate = x509.Certificate
PrivateKey = PrivateKeyTypes

#: RFC 7518 section 3.4: algorithm, hash, and bytes of each of r and s.
_JWS_EC: dict[str, tuple[str, hashes.HashAlgorithm, int]] = {
    "secp256r1": ("ES256", hashes.SHA256(), 32),
    "secp384r1": ("ES384", hashes.SHA384(), 48),
    "secp521r1": ("ES512", hashes.SHA512(), 66),
}
#: What the library raises for a certificate that is not one, now and when its parts are read:
#: a version that X.509 has not; a name with a value of a kind that it may not hold (TypeError).
_MALFORMED = (ValueError, TypeError, x509.InvalidVersion)


class CertificateError(Exception):
    """A certificate file that cannot be used: which of the known problems, and its detail."""

    def __init__(self, problem: ReadProblem, detail: str = "") -> None:
        super().__init__(detail)
        self.problem = problem
        self.detail = detail


class PrivateKeyError(Exception):
    """A private key that cannot be used; says why, and never a byte of it. ``denied``: its file
    may not be read."""

    def __init__(self, why: str, denied: bool = False) -> None:
        super().__init__(why)
        self.denied = denied


def read_certificates(path: Path) -> list[Certificate]:
    """The certificates in a PEM or DER file, in order; at least one.

    Raises CertificateError.
    """
    content = _read(path, MAX_CERTIFICATE_FILE)
    if not content.strip(b"\0 \t\r\n"):
        raise CertificateError(ReadProblem.EMPTY, f"{path} is empty")
    try:
        if b"-----BEGIN" in content:
            return x509.load_pem_x509_certificates(content)
        return [x509.load_der_x509_certificate(content)]
    except _MALFORMED as error:
        detail = f"{path}: {_first_line(error)}"
        raise CertificateError(ReadProblem.NOT_A_CERTIFICATE, detail) from None


def facts_of(certificate: Certificate) -> CertificateFacts:
    """What the monitor wants to know of a certificate. Raises CertificateError."""
    try:
        return CertificateFacts(
            certificate_id=certificate_id(certificate),
            subject=certificate.subject.rfc4514_string(),
            issuer=certificate.issuer.rfc4514_string(),
            serial_number=f"{certificate.serial_number:x}",
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
            key_algorithm=key_algorithm(_public_key(certificate)),
        )
    except _MALFORMED as error:
        raise CertificateError(ReadProblem.NOT_A_CERTIFICATE, _first_line(error)) from None


def certificate_id(certificate: Certificate) -> str:
    """AWS IoT's certificateId: the lowercase hex SHA-256 of the DER."""
    return sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()


def with_issuer_end(
    facts: CertificateFacts, certificate: Certificate, known: Iterable[Certificate]
) -> CertificateFacts:
    """``facts`` with the notAfter of the CA that signed it, if that CA is among ``known``.

    Where one CA has several certificates, the one that lasts longest counts.
    """
    ends = [
        issuer.not_valid_after_utc
        for issuer in known
        if issuer != certificate and _issued(certificate, issuer)
    ]
    return replace(facts, issuer_not_after=max(ends)) if ends else facts


def _issued(certificate: Certificate, issuer: Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def key_algorithm(key: PublicKeyTypes | None) -> str:
    """The name of a key's algorithm as in settings; another type's name where it has none there."""
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA-{key.key_size}"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"ECDSA-{_CURVES.get(key.curve.name, key.curve.name)}"
    return "unknown" if key is None else type(key).__name__.replace("PublicKey", "").strip("_")


def load_private_key(path: Path) -> PrivateKey:
    """The private key in a PEM file without a passphrase. Raises PrivateKeyError."""
    try:
        content = _read(path, MAX_KEY_FILE)
    except CertificateError as error:
        raise PrivateKeyError(error.detail, error.problem is ReadProblem.DENIED) from None
    try:
        return serialization.load_pem_private_key(content, password=None)
    except TypeError:
        raise PrivateKeyError(f"{path} is encrypted with a passphrase") from None
    except (ValueError, UnsupportedAlgorithm):
        # The library's own message is dropped: it may quote the file.
        raise PrivateKeyError(f"{path} holds no valid private key in PEM") from None


def is_pair(certificate: Certificate, key: PrivateKey) -> bool:
    """Whether ``key`` is the private key of the certificate."""
    public = _public_key(certificate)
    return public is not None and _spki(public) == _spki(key.public_key())


def sign_detached(content: bytes, key: PrivateKey, key_id: str | None = None) -> str:
    """A JWS over ``content`` with detached payload (RFC 7515 appendix F): ``header..signature``.

    ES256, ES384 or ES512 by the key's curve, RS256 for RSA (RFC 7518). Raises PrivateKeyError for a
    key of another type.
    """
    if isinstance(key, rsa.RSAPrivateKey):
        header = _jws_header("RS256", key_id)
        signature = key.sign(_signing_input(header, content), padding.PKCS1v15(), hashes.SHA256())
    elif isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _JWS_EC:
        algorithm, digest, size = _JWS_EC[key.curve.name]
        header = _jws_header(algorithm, key_id)
        r, s = decode_dss_signature(key.sign(_signing_input(header, content), ec.ECDSA(digest)))
        signature = r.to_bytes(size, "big") + s.to_bytes(size, "big")
    else:
        raise PrivateKeyError(f"a key of type {key_algorithm(key.public_key())} cannot sign alerts")
    return f"{header}..{_base64url(signature)}"


def _jws_header(algorithm: str, key_id: str | None) -> str:
    fields = {"alg": algorithm} if key_id is None else {"alg": algorithm, "kid": key_id}
    return _base64url(json.dumps(fields, separators=(",", ":")).encode())


def _signing_input(header: str, content: bytes) -> bytes:
    return f"{header}.{_base64url(content)}".encode()


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _public_key(certificate: Certificate) -> PublicKeyTypes | None:
    try:
        return certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return None


def _spki(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _read(path: Path, most: int) -> bytes:
    try:
        if path.exists() and not path.is_file():  # opening a pipe would wait for ever
            raise CertificateError(ReadProblem.UNREADABLE, f"{path} is not a file")
        with path.open("rb") as file:
            content = file.read(most + 1)
    except FileNotFoundError:
        raise CertificateError(ReadProblem.MISSING, f"{path} does not exist") from None
    except PermissionError:
        raise CertificateError(ReadProblem.DENIED, f"{path} may not be read") from None
    except OSError as error:
        raise CertificateError(
            ReadProblem.UNREADABLE, f"{path}: {error.strerror or error}"
        ) from None
    if len(content) > most:
        raise CertificateError(ReadProblem.TOO_LARGE, f"{path} has more than {most} bytes")
    return content


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:120]
