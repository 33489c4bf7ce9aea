"""A factory with a CA of its own, and devices that present its certificates for the first time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from lab.account.authority import Authority
from lab.fleet.account import Account
from lab.fleet.registry import BASE, Certificate
from rotation_cloud.ports import AwsError, RecordChanged, Registered
from rotation_cloud.registration import BeingRegistered, Terms, register

CA_ID = "c" * 64
POLICY = "certkeeper-core-device"
TERMS = Terms(POLICY)
SAW = "saw-1"
DAY = 24 * 3600


@cache
def authority(name: str = "Factory CA") -> Authority:
    return Authority.create(name)


def subject(*attributes: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in attributes])


def common_name(value: str) -> x509.Name:
    return subject((NameOID.COMMON_NAME, value))


class Factory:
    """An account that knows the CA, and what becomes of its devices."""

    def __init__(self, terms: Terms = TERMS) -> None:
        self.account = Account()
        self.account.clock.time = datetime.now(UTC).timestamp()
        self.terms = terms
        self.dead_letters: list[str] = []
        pem = authority().certificate_pem
        ca = Registered(f"{BASE}:cacert/{CA_ID}", pem, "ACTIVE")
        self.account.registrar.cas[CA_ID] = ca

    def device(
        self,
        name: x509.Name | str = SAW,
        *,
        of: Authority | None = None,
        ends: timedelta = timedelta(days=365),
        ca_id: str = CA_ID,
    ) -> str:
        """A new certificate that AWS IoT has registered PENDING_ACTIVATION; its id."""
        now = datetime.fromtimestamp(self.account.clock.time, UTC)
        pem = (of or authority()).issue_device_certificate(
            ec.generate_private_key(ec.SECP256R1()).public_key(),
            common_name(name) if isinstance(name, str) else name,
            not_before=now - timedelta(days=30),
            not_after=now + ends,
        )
        return self.register(pem, ca_id)

    def register(self, pem: str, ca_id: str = CA_ID) -> str:
        parsed = x509.load_pem_x509_certificate(pem.encode())
        certificate_id = parsed.fingerprint(hashes.SHA256()).hex()
        arn = f"{BASE}:cert/{certificate_id}"
        self.account.registry.certificates[arn] = Certificate(
            arn, is_active=False, is_pending=True, policies=set(), pem=pem, ca_id=ca_id
        )
        return certificate_id

    def present(self, certificate_id: str) -> bool:
        """The device tries to connect once: the event, with Lambda's retries; whether it may."""
        if self.of(certificate_id).is_pending:
            self._invoked(lambda: register(self.account.cloud, self.terms, event(certificate_id)))
        return self.of(certificate_id).is_active

    def of(self, certificate_id: str) -> Certificate:
        return self.account.registry.certificates[f"{BASE}:cert/{certificate_id}"]

    def admitted(self, certificate_id: str, thing: str = SAW) -> bool:
        """Whether it is ACTIVE, and has what it needs."""
        found = self.of(certificate_id)
        return (
            found.is_active
            and found.things == {thing: "EXCLUSIVE_THING"}
            and POLICY in (found.policies)
        )

    def refusals(self) -> Iterator[str]:
        """The reasons that people were told."""
        for one in self.account.notices.told:
            if one["status"] == "REGISTRATION_REFUSED":
                yield one["reason"]

    def _invoked(self, function: Callable[[], None]) -> None:
        for wait in (60, 120, None):
            try:
                return function()
            except (AwsError, RecordChanged, BeingRegistered) as error:
                if wait is None:
                    self.dead_letters.append(str(error))
                else:
                    self.account.clock.sleep(wait)
        return None


def event(certificate_id: str) -> dict[str, Any]:
    """What AWS IoT publishes; all but the certificate's id might be anybody's invention."""
    return {
        "certificateId": certificate_id,
        "caCertificateId": "0" * 64,
        "timestamp": 1,
        "certificateStatus": "PENDING_ACTIVATION",
        "awsAccountId": "123456789012",
        "certificateRegistrationTimestamp": "1",
    }
