"""A device's keys, its requests for certificates, and what its certificates are worth.

Keys and requests are real, since the backend verifies them; each key is a function of the
thing and a number, so that no two runs differ. Certificates are entries of the registry.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from certkeeper.core.certificate import CertificateFacts
from lab.cloud.quotas import Quotas
from lab.fleet.iot_core import IotCore
from lab.fleet.registry import BASE, Registry

#: When AWS IoT's own certificates end (facts of AWS IoT: X.509 client certificates).
AWS_END = datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)
_CURVE = ec.SECP256R1()
_PEM = "PEM of "


class DeviceCertificates:
    """See store.Authority; of one thing."""

    def __init__(self, thing: str, registry: Registry, iot_core: IotCore, quotas: Quotas) -> None:
        self._thing = thing
        self._registry = registry
        self._iot_core = iot_core
        self._quotas = quotas
        self._keys = 0
        self._requested: dict[str, str] = {}

    def new_key(self) -> tuple[str, str]:
        self._keys += 1
        number = hashlib.sha256(f"{self._thing} {self._keys}".encode()).digest()
        private = ec.derive_private_key(int.from_bytes(number[:31], "big") + 1, _CURVE)
        spki = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self._thing)])
        request = x509.CertificateSigningRequestBuilder().subject_name(subject)
        csr = request.sign(private, hashes.SHA256()).public_bytes(Encoding.PEM).decode()
        key = hashlib.sha256(spki).hexdigest()
        self._requested = {csr: key}
        return key, csr

    def certificate_in(self, pem: str) -> str | None:
        return pem.rpartition("/")[2] if pem.startswith(_PEM) else None

    def is_for(self, certificate: str, key: str) -> bool:
        found = self._registry.certificates.get(f"{BASE}:cert/{certificate}")
        # What has left the registry is the pair that it was.
        return found is None or found.key == key

    def is_answer_to(self, certificate: str, csr: str) -> bool:
        return csr in self._requested and self.is_for(certificate, self._requested[csr])

    def tried(self, certificate: str) -> str:
        """The credentials provider's answer; throttled, it proves nothing."""
        if self._iot_core.is_away:
            return "unreachable"
        if not self._quotas.take("iot-data", "AssumeRoleWithCertificate"):
            return "unclear"
        return "accepted" if self._iot_core.lets_in(self._thing, certificate) else "refused"

    def facts(self, certificate: str) -> CertificateFacts | None:
        """What is in the certificate; None for one that has left the registry."""
        found = self._registry.certificates.get(f"{BASE}:cert/{certificate}")
        if found is None:
            return None
        return CertificateFacts(
            certificate_id=certificate,
            subject="CN=AWS IoT Certificate",
            issuer="OU=Amazon Web Services O=Amazon.com Inc. L=Seattle ST=Washington C=US",
            serial_number=certificate[:16],
            not_before=datetime.fromtimestamp(int(found.created), UTC),
            not_after=AWS_END,
            key_algorithm="ECDSA-P256",
        )
