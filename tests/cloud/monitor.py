"""A device's monitor as the backend hears it: alerts that its real key signs, health messages."""

from __future__ import annotations

import datetime
import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from certkeeper.edge.x509 import sign_detached
from lab.fleet.account import Account
from lab.fleet.registry import BASE, SHARED, THING, Certificate
from rotation_cloud import alerts, health
from rotation_cloud.alerts import Policy
from rotation_cloud.documents import INVENTORY
from rotation_cloud.inventory import Entry
from rotation_cloud.ports import AwsError, RecordChanged
from rotation_cloud.telling import StillTelling
from rotation_protocol.codec import alert_signing_bytes, encode_alert, encode_health
from rotation_protocol.messages import Alert, CertificateHealth, Health, ReadinessCheck
from rotation_protocol.reasons import (
    AlertType,
    CheckStatus,
    DeadlineReason,
    ReadinessCheckName,
)

DAY = 24 * 3600
START = datetime.datetime(2026, 11, 22, 4, 0, tzinfo=datetime.UTC)
#: Subjects of what people are told.
FORGED = "SECURITY: press-7: messages are not believed"
ENDS_IN_SIX = "CRITICAL: press-7: certificate ends in 6 days"
TEMPLATE = f"{BASE}:jobtemplate/certkeeper-rotate"
SigningKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
KEYS: dict[str, Callable[[], SigningKey]] = {
    "RSA-2048": lambda: rsa.generate_private_key(65537, 2048),
    "ECDSA-P256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ECDSA-P384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ECDSA-P521": lambda: ec.generate_private_key(ec.SECP521R1()),
}
Pair = tuple[SigningKey, str]


@cache
def pair(name: str = "own", algorithm: str = "ECDSA-P256") -> Pair:
    """A key and a certificate (PEM) for it, the same for the same name."""
    key = KEYS[algorithm]()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(START - datetime.timedelta(days=300))
        .not_valid_after(START + datetime.timedelta(days=6))
        .sign(key, hashes.SHA256())
    )
    return key, certificate.public_bytes(Encoding.PEM).decode()


def certificate_id(of: Pair) -> str:
    """As AWS IoT names the certificate."""
    der = x509.load_pem_x509_certificate(of[1].encode()).public_bytes(Encoding.DER)
    return hashlib.sha256(der).hexdigest()


def brackets(depth: int) -> list[Any]:
    """A list in a list in a list, and so on."""
    nested: list[Any] = []
    for _ in range(depth):
        nested = [nested]
    return nested


@contextmanager
def as_in_lambda() -> Iterator[None]:
    """With Python's own limit of recursion, which libraries of the lab raise."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def register(account: Account, of: Pair, thing: str = THING) -> str:
    """The certificate, ACTIVE and attached to the thing; its id."""
    name = certificate_id(of)
    arn = f"{BASE}:cert/{name}"
    account.registry.certificates[arn] = Certificate(arn, pem=of[1], things={thing: SHARED})
    return name


class Monitor:
    """One device with one registered certificate; ``dead_letters`` are events given up."""

    def __init__(self, account: Account, algorithm: str = "ECDSA-P256") -> None:
        self.account = account
        self.policy = Policy(job_template_arn=TEMPLATE)
        self.pair = pair("own", algorithm)
        self.principal = register(account, self.pair)
        self.dead_letters: list[str] = []
        account.clock.time = START.timestamp()

    @property
    def now(self) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(int(self.account.clock.time), datetime.UTC)

    def alert(self, **changes: Any) -> Alert:
        """Of a certificate that ends in six days, unless ``changes`` say otherwise; unsigned."""
        end = START + datetime.timedelta(days=6, hours=12)
        alert = Alert(
            type=AlertType.EXPIRING,
            thing_name=THING,
            role="core-device",
            source="/greengrass/v2/thingCert.crt",
            severity="CRITICAL",
            critical=True,
            threshold=7,
            checked_at=self.now,
            next_check_at=self.now + datetime.timedelta(days=1),
            component_version="0.1.0",
            certificate_id=self.principal,
            subject="CN=press-7",
            not_after=end,
            deadline=end,
            deadline_reason=DeadlineReason.NOT_AFTER,
            days_remaining=6,
            key_algorithm="ECDSA-P256",
        )
        return replace(alert, **changes)

    def signed(self, alert: Alert | None = None, by: Pair | None = None) -> Alert:
        """The alert with the device's signature, or another key's."""
        alert = alert or self.alert()
        key = (by or self.pair)[0]
        return replace(alert, signature=sign_detached(alert_signing_bytes(alert), key))

    def event(self, message: Alert | Health, **fields: Any) -> dict[str, Any]:
        """What the rule hands over; ``fields`` over it."""
        encoded = encode_alert(message) if isinstance(message, Alert) else encode_health(message)
        return {
            **json.loads(encoded),
            "clientId": THING,
            "principal": self.principal,
            "receivedAt": int(self.account.clock.time * 1000),
            **fields,
        }

    def health(self, **changes: Any) -> Health:
        """Of the same certificate."""
        alert = self.alert()
        core = CertificateHealth(
            role="core-device",
            source=alert.source,
            state="critical",
            certificate_id=self.principal,
            not_after=alert.not_after,
            deadline=alert.deadline,
            deadline_reason=alert.deadline_reason,
            days_remaining=6,
            key_algorithm="ECDSA-P256",
        )
        health = Health(
            thing_name=THING,
            status="critical",
            checked_at=self.now,
            next_check_at=self.now + datetime.timedelta(days=1),
            component_version="0.1.0",
            runtime="lite",
            waiting_alerts=1,
            certificates=(core,),
            certificates_left_out=0,
            checks=(
                ReadinessCheck(ReadinessCheckName.CLOCK, CheckStatus.OK, "synchronized"),
                ReadinessCheck(ReadinessCheckName.STORE_LINKS, CheckStatus.FAIL, "none", "?"),
            ),
        )
        return replace(health, **changes)

    def sends(self, message: Alert | Health, **fields: Any) -> None:
        """The message arrives, and is served as Lambda serves it."""
        self.deliver(self.event(message, **fields))

    def deliver(self, event: dict[str, Any]) -> None:
        """An event, up to three times, one minute and two apart."""
        for wait in (60, 120, None):
            try:
                self.serve(event)
                return
            except (AwsError, RecordChanged, StillTelling) as error:
                if wait is None:
                    self.dead_letters.append(str(error))
                else:
                    self.account.clock.sleep(wait)

    def serve(self, event: dict[str, Any]) -> None:
        """Once."""
        if event.get("type") == "certificates.health":
            health.receive(self.account.cloud, event)
        else:
            alerts.receive(self.account.cloud, self.policy, event)

    @property
    def entry(self) -> Entry:
        """The device in the inventory."""
        return Entry.of(self.account.documents.items.get((THING, INVENTORY)))

    @property
    def subjects(self) -> list[str]:
        """What people were told."""
        return [subject for subject, _, _ in self.account.alerts.told]

    def reasons(self) -> list[str]:
        """Why messages were not believed, by the security events."""
        return [one.reason for one in self.account.audit.events if not one.succeeded]
