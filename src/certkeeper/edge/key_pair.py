"""New key pairs, and the requests (PKCS#10, RFC 2986) for their certificates.

It decides nothing of when or where: a key is made, written as PEM for the nucleus, and
signs its own request. Whoever calls drops the key. No message holds a byte of one.
"""

from __future__ import annotations

from typing import Union

from cryptography import x509 as library
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

from certkeeper.core import algorithms
from certkeeper.edge.x509 import key_algorithm

PrivateKey = Union[rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey]
_Digest = Union[hashes.SHA256, hashes.SHA384, hashes.SHA512]

#: What CreateCertificateFromCsr takes, in characters.
#: https://docs.aws.amazon.com/iot/latest/apireference/API_CreateCertificateFromCsr.html
MAX_CSR = 4096
_MAX_COMMON_NAME = 64  # RFC 5280, ub-common-name
_RSA_BITS = {algorithms.RSA_2048: 2048, algorithms.RSA_3072: 3072}
_CURVES: dict[str, ec.EllipticCurve] = {
    algorithms.ECDSA_P256: ec.SECP256R1(),
    algorithms.ECDSA_P384: ec.SECP384R1(),
    algorithms.ECDSA_P521: ec.SECP521R1(),
}
_DIGESTS: dict[str, _Digest] = {
    "SHA256": hashes.SHA256(),
    "SHA384": hashes.SHA384(),
    "SHA512": hashes.SHA512(),
}
_AUTOMATIC = {
    algorithms.RSA_2048: "SHA256WITHRSA",
    algorithms.RSA_3072: "SHA256WITHRSA",
    algorithms.ECDSA_P256: "ECDSA-WITH-SHA256",
    algorithms.ECDSA_P384: "ECDSA-WITH-SHA384",
    algorithms.ECDSA_P521: "ECDSA-WITH-SHA512",
}
#: What the library raises for a subject that it cannot read (edge/x509.py).
_MALFORMED = (ValueError, TypeError)


class KeyNotSupported(Exception):
    """A key or a request of the wanted kind cannot be made; says why."""


def choose(wanted_key: str, wanted_signing: str, current_key: str) -> tuple[str, str]:
    """The key and the signing algorithm that the settings mean, for a device whose current key
    is of ``current_key`` (a name as of ``edge.x509.key_algorithm``).

    Raises KeyNotSupported.
    """
    chosen = current_key if wanted_key == algorithms.SAME else wanted_key
    if chosen not in algorithms.KEY_ALGORITHMS:
        raise KeyNotSupported(
            f"a key of type {chosen} is not made: set keyAlgorithm to one of "
            + ", ".join(algorithms.KEY_ALGORITHMS)
        )
    signing = _AUTOMATIC[chosen] if wanted_signing == algorithms.AUTOMATIC else wanted_signing
    if not algorithms.signs_with(signing, chosen):
        raise KeyNotSupported(f"{signing} cannot be made with a key of type {chosen}")
    return chosen, signing


def generate(algorithm: str) -> PrivateKey:
    """A new key of one of ``algorithms.KEY_ALGORITHMS``. Raises KeyNotSupported."""
    try:
        if algorithm in _RSA_BITS:
            return rsa.generate_private_key(65537, _RSA_BITS[algorithm])
        if algorithm in _CURVES:
            return ec.generate_private_key(_CURVES[algorithm])
    except UnsupportedAlgorithm:
        raise KeyNotSupported(f"the library here makes no key of type {algorithm}") from None
    raise KeyNotSupported(f"a key of type {algorithm} is not made")


def key_pem(key: PrivateKey) -> bytes:
    """The key, unencrypted, in the form in which AWS IoT hands out its own, and which every
    nucleus reads: RSA as PKCS#1 (RFC 8017), EC as PKCS#8 (RFC 5958)."""
    form = (
        serialization.PrivateFormat.TraditionalOpenSSL
        if isinstance(key, rsa.RSAPrivateKey)
        else serialization.PrivateFormat.PKCS8
    )
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def csr_pem(
    key: PrivateKey, subject: library.Name, signing_algorithm: str = algorithms.AUTOMATIC
) -> str:
    """A request for a certificate of this key with this subject, signed by the key.

    ``signing_algorithm`` is one of ``algorithms.SIGNING_ALGORITHMS``, or "auto". Raises
    KeyNotSupported for one that the key cannot sign with, and for a request that is longer than
    AWS IoT takes.
    """
    own = key_algorithm(key.public_key())
    _, signing = choose(own, signing_algorithm, own)
    digest, pss = _digest_and_padding(signing)
    builder = library.CertificateSigningRequestBuilder().subject_name(subject)
    try:
        request = builder.sign(key, digest, rsa_padding=pss)
    except (*_MALFORMED, UnsupportedAlgorithm) as error:
        raise KeyNotSupported(f"no request can be signed ({type(error).__name__})") from None
    pem = request.public_bytes(serialization.Encoding.PEM).decode("ascii")
    if len(pem) > MAX_CSR:
        raise KeyNotSupported(f"the request has {len(pem)} characters, AWS IoT takes {MAX_CSR}")
    return pem


def subject_of(certificate: library.Certificate, thing_name: str) -> library.Name:
    """The certificate's subject, as odd as it is, an empty one too; the thing's name as its common
    name where the library cannot read it."""
    try:
        return certificate.subject
    except _MALFORMED:
        name = thing_name[:_MAX_COMMON_NAME]
        return library.Name([library.NameAttribute(NameOID.COMMON_NAME, name)] if name else [])


def _digest_and_padding(signing: str) -> tuple[_Digest, padding.PSS | None]:
    if signing.startswith("ECDSA-WITH-"):
        return _DIGESTS[signing[len("ECDSA-WITH-") :]], None
    name, _, scheme = signing.partition("WITH")
    digest = _DIGESTS[name]
    if scheme == "RSAANDMGF1":  # RSASSA-PSS, RFC 4055 section 3.1: a salt as long as the digest
        return digest, padding.PSS(padding.MGF1(digest), padding.PSS.DIGEST_LENGTH)
    return digest, None
