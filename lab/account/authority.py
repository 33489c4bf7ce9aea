"""Certificate authorities, and keys written as AWS IoT hands them out.

Real X.509 certificates in the shapes that a Greengrass core device meets: the root
behind AWS's servers, AWS IoT's own authority for device certificates, and an
operator's. Nothing is kept and nothing is revoked here: which certificates an
account accepts is its registry's business.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey

KEY_ALGORITHMS: dict[str, Callable[[], PrivateKey]] = {
    "RSA-2048": lambda: rsa.generate_private_key(65537, 2048),
    "RSA-3072": lambda: rsa.generate_private_key(65537, 3072),
    "ECDSA-P256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ECDSA-P384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ECDSA-P521": lambda: ec.generate_private_key(ec.SECP521R1()),
}

# What AWS IoT certifies: from two minutes ago until the end of 2049.
# https://docs.aws.amazon.com/cli/latest/reference/iot/describe-certificate.html (example)
AWS_IOT_NOT_AFTER = datetime.datetime(2049, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)
AWS_IOT_BACKDATING = datetime.timedelta(minutes=2)

# The window of the real Amazon Root CA 1, which the lab's authorities take for theirs.
ROOT_NOT_BEFORE = datetime.datetime(2015, 5, 26, tzinfo=datetime.UTC)
ROOT_NOT_AFTER = datetime.datetime(2038, 1, 17, tzinfo=datetime.UTC)

# https://docs.aws.amazon.com/iot/latest/apireference/API_CreateCertificateFromCsr.html
CSR_MAX_CHARACTERS = 4096
_RSA_MIN_BITS = 2048
_AWS_IOT_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)

_COMMON_NAME_MAX = 64  # RFC 5280, ub-common-name


class CsrRefused(ValueError):
    """A certificate signing request that AWS IoT does not take; the message says why."""


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key, both PEM."""

    certificate_pem: str
    private_key_pem: str = field(repr=False)


def generate_private_key(algorithm: str) -> PrivateKey:
    """A new key of one of KEY_ALGORITHMS; any other name is a ValueError."""
    if algorithm not in KEY_ALGORITHMS:
        raise ValueError(
            f"unknown key algorithm {algorithm!r}: expected one of {', '.join(KEY_ALGORITHMS)}"
        )
    return KEY_ALGORITHMS[algorithm]()


def private_key_pem(key: PrivateKey) -> str:
    """The key, unencrypted, as AWS IoT hands it out: RSA in PKCS#1, EC in PKCS#8."""
    form = (
        serialization.PrivateFormat.TraditionalOpenSSL
        if isinstance(key, rsa.RSAPrivateKey)
        else serialization.PrivateFormat.PKCS8
    )
    pem = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    return pem.decode("ascii")


def csr_pem(key: PrivateKey, subject: x509.Name) -> str:
    """A certificate signing request (PKCS#10, PEM) for the key, signed by it."""
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, _digest(key))
    return csr.public_bytes(serialization.Encoding.PEM).decode("ascii")


def common_name(value: str) -> x509.Name:
    """A subject that is one CN, cut to the 64 characters that a CN may have."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, value[:_COMMON_NAME_MAX])])


# The subject of AWS IoT's certificates when nobody asks for another.
AWS_IOT_DEFAULT_SUBJECT = common_name("AWS IoT Certificate")


class Authority:
    """A certificate authority with a self-signed certificate.

    The private key stays inside: it signs, it is never given away.
    """

    def __init__(
        self,
        name: x509.Name,
        key_algorithm: str = "ECDSA-P256",
        *,
        not_before: datetime.datetime = ROOT_NOT_BEFORE,
        not_after: datetime.datetime = ROOT_NOT_AFTER,
    ) -> None:
        self._key = generate_private_key(key_algorithm)
        usage = _key_usage(key_cert_sign=True, crl_sign=True)
        self.certificate = (
            _builder(name, name, self._key.public_key(), not_before, not_after)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .sign(self._key, _digest(self._key))
        )

    @classmethod
    def create(
        cls,
        common_name: str,
        key_algorithm: str = "ECDSA-P256",
        *,
        organization: str = "CertKeeper lab",
        not_before: datetime.datetime = ROOT_NOT_BEFORE,
        not_after: datetime.datetime = ROOT_NOT_AFTER,
    ) -> Authority:
        """An authority named C=US, O=``organization``, CN=``common_name``, as Amazon's roots are.

        ``key_algorithm`` is one of KEY_ALGORITHMS; the window is that of Amazon Root CA 1
        unless it is given.
        """
        attributes = [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
        return cls(x509.Name(attributes), key_algorithm, not_before=not_before, not_after=not_after)

    @classmethod
    def create_aws_iot(cls, key_algorithm: str = "ECDSA-P256") -> Authority:
        """AWS IoT's own authority: its name is one OU that spells out the whole address."""
        unit = "Amazon Web Services O=Amazon.com Inc. L=Seattle ST=Washington C=US"
        name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit)])
        return cls(name, key_algorithm, not_after=AWS_IOT_NOT_AFTER)

    @property
    def certificate_pem(self) -> str:
        """The authority's certificate, to be trusted or registered."""
        return _pem(self.certificate)

    def issue_device_certificate(
        self,
        public_key: PublicKey,
        subject: x509.Name = AWS_IOT_DEFAULT_SUBJECT,
        *,
        not_before: datetime.datetime | None = None,
        not_after: datetime.datetime | None = None,
    ) -> str:
        """A device certificate (PEM) for the key, with the extensions that AWS IoT sets.

        The window is AWS IoT's unless it is given, in aware datetimes; a window that
        ends before it begins is a ValueError.
        """
        if not_before is None:
            not_before = datetime.datetime.now(datetime.UTC) - AWS_IOT_BACKDATING
        if not_after is None:
            not_after = AWS_IOT_NOT_AFTER
        builder = _builder(subject, self.certificate.subject, public_key, not_before, not_after)
        return self._sign_leaf(builder)

    def issue_device_certificate_from_csr(
        self,
        csr: str,
        *,
        not_before: datetime.datetime | None = None,
        not_after: datetime.datetime | None = None,
    ) -> str:
        """A device certificate (PEM) for the key and the subject of a PKCS#10 request (PEM).

        Raises CsrRefused for what CreateCertificateFromCsr refuses: more than 4096
        characters, no well-formed request, a signature that is not by its own key,
        a key that is not RSA from 2048 bits or ECC on NIST P-256, P-384 or P-521.
        """
        key, subject = _accepted_csr(csr)
        return self.issue_device_certificate(
            key, subject, not_before=not_before, not_after=not_after
        )

    def issue_server_certificate(
        self,
        key_algorithm: str = "ECDSA-P256",
        *,
        not_before: datetime.datetime | None = None,
        not_after: datetime.datetime | None = None,
    ) -> Pair:
        """A TLS server's pair for localhost and 127.0.0.1; its window is the authority's
        own unless it is given.
        """
        key = generate_private_key(key_algorithm)
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        builder = _builder(
            common_name("localhost"),
            self.certificate.subject,
            key.public_key(),
            not_before or self.certificate.not_valid_before_utc,
            not_after or self.certificate.not_valid_after_utc,
        )
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        builder = builder.add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
        )
        return Pair(self._sign_leaf(builder), private_key_pem(key))

    def _sign_leaf(self, builder: x509.CertificateBuilder) -> str:
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        certificate = (
            builder.add_extension(issuer, critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(digital_signature=True), critical=True)
            .sign(self._key, _digest(self._key))
        )
        return _pem(certificate)


def _accepted_csr(csr: str) -> tuple[PublicKey, x509.Name]:
    """The key and the subject of a request that AWS IoT would certify."""
    if len(csr) > CSR_MAX_CHARACTERS:
        raise CsrRefused(f"it has {len(csr)} characters, at most {CSR_MAX_CHARACTERS} are taken")
    try:
        request = x509.load_pem_x509_csr(csr.encode())
        key, subject, signed = request.public_key(), request.subject, request.is_signature_valid
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CsrRefused("it is not a well-formed PKCS#10 request in PEM") from error
    if not signed:
        raise CsrRefused("its signature is not by its own key")
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < _RSA_MIN_BITS:
            raise CsrRefused(f"its RSA key has {key.key_size} bits, fewer than {_RSA_MIN_BITS}")
        return key, subject
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, _AWS_IOT_CURVES):
        return key, subject
    raise CsrRefused("its key is neither RSA nor ECC on NIST P-256, P-384 or P-521")


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: PublicKey,
    not_before: datetime.datetime,
    not_after: datetime.datetime,
) -> x509.CertificateBuilder:
    if not_before.tzinfo is None or not_after.tzinfo is None:
        raise ValueError("notBefore and notAfter need a time zone")
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _key_usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _digest(key: PrivateKey) -> hashes.SHA256 | hashes.SHA384 | hashes.SHA512:
    """SHA-256, or the digest that matches the strength of a larger curve."""
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.key_size > 256:
        return hashes.SHA384() if key.curve.key_size == 384 else hashes.SHA512()
    return hashes.SHA256()


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")
