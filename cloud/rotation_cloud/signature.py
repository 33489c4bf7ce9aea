"""An alert's signature: a JWS in compact form with detached payload (RFC 7515, appendix F).

``header..signature``, where the header is ``{"alg":...}`` and nothing else, and the algorithm the
one of the certificate's key: ES256, ES384 and ES512 by its curve, RS256 for RSA (RFC 7518).
Whatever else a header may say is refused.
"""

from __future__ import annotations

import base64
import binascii
import json

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

#: Algorithm, hash, and bytes of each of the two numbers (RFC 7518, section 3.4), by the curve.
_CURVES: dict[str, tuple[str, hashes.HashAlgorithm, int]] = {
    "secp256r1": ("ES256", hashes.SHA256(), 32),
    "secp384r1": ("ES384", hashes.SHA384(), 48),
    "secp521r1": ("ES512", hashes.SHA512(), 66),
}


def is_by(certificate_pem: str, signature: str, content: bytes) -> bool:
    """Whether the key of the certificate (PEM) has made the signature over the content."""
    header, _, made = signature.partition("..")
    signed = f"{header}.{base64.urlsafe_b64encode(content).rstrip(b'=').decode()}".encode()
    try:
        key = x509.load_pem_x509_certificate(certificate_pem.encode()).public_key()
        return _verify(key, _algorithm(header), _decoded(made), signed)
    except (ValueError, UnsupportedAlgorithm, InvalidSignature):
        return False


def _verify(key: object, algorithm: str, made: bytes, signed: bytes) -> bool:
    """False for an algorithm that is not the key's. Raises InvalidSignature."""
    if isinstance(key, rsa.RSAPublicKey) and algorithm == "RS256":
        key.verify(made, signed, padding.PKCS1v15(), hashes.SHA256())
        return True
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES:
        name, digest, size = _CURVES[key.curve.name]
        if (algorithm, len(made)) == (name, 2 * size):
            numbers = (int.from_bytes(half, "big") for half in (made[:size], made[size:]))
            key.verify(encode_dss_signature(*numbers), signed, ec.ECDSA(digest))
            return True
    return False


def _algorithm(header: str) -> str:
    try:
        fields = json.loads(_decoded(header))
    except RecursionError:
        return ""
    if not isinstance(fields, dict) or set(fields) != {"alg"}:
        return ""
    return str(fields["alg"])


def _decoded(text: str) -> bytes:
    """base64url without padding (RFC 7515, section 2). Raises ValueError."""
    padded = text.encode("ascii") + b"=" * (-len(text) % 4)
    try:
        return base64.b64decode(padded, altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None
