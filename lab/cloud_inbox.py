"""What the cloud receives from devices' monitors: each message checked as a backend must.

A message counts only for the thing whose certificate authenticated the connection, and
an alert only if its signature verifies against that registered certificate. The check is
made with a library of its own (joserfc), so that it proves something about the device's
code.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from lab.account.account import Account
from lab.iot_core.iot_core import IotCore
from lab.iot_core.message import Message
from lab.timeline import Timeline
from rotation_protocol import topics

ALGORITHMS = ["ES256", "ES384", "ES512", "RS256"]


class SignatureError(Exception):
    """An alert's signature does not verify; says why."""


class CloudInbox:
    """Records ``alert-received`` and ``health-received`` (source "cloud") in the timeline."""

    def __init__(self, iot_core: IotCore, account: Account, timeline: Timeline) -> None:
        self._account = account
        self._timeline = timeline
        self._unsubscribe: list[Callable[[], None]] = [
            iot_core.observe(topics.ALERTS, self._alert),
            iot_core.observe(topics.HEALTH, self._health),
        ]

    def close(self) -> None:
        """Receive nothing more."""
        for unsubscribe in self._unsubscribe:
            unsubscribe()

    def _alert(self, message: Message) -> None:
        fields = json.loads(message.payload)
        try:
            verify(fields, self._registered_certificate(message))
            signature = "verified"
        except SignatureError as error:
            signature = f"NOT VERIFIED: {error}"
        self._timeline.record(
            "cloud",
            "alert-received",
            thing=fields["thingName"],
            severity=fields["severity"],
            type=fields["type"],
            daysRemaining=fields.get("daysRemaining"),
            threshold=fields["threshold"],
            certificateId=fields.get("certificateId"),
            principal=message.principal,
            signature=signature,
        )

    def _health(self, message: Message) -> None:
        fields = json.loads(message.payload)
        self._timeline.record(
            "cloud",
            "health-received",
            thing=fields["thingName"],
            status=fields["status"],
            runtime=fields["runtime"],
            nextCheckAt=fields.get("nextCheckAt"),
            principal=message.principal,
            not_ok=[c["name"] for c in fields["checks"] if c["status"] != "ok"],
        )

    def _registered_certificate(self, message: Message) -> x509.Certificate:
        registered = self._account.registry.certificate(message.principal or "")
        if registered is None:
            raise SignatureError("the sender's certificate is not registered")
        return x509.load_pem_x509_certificate(registered.pem.encode())


def verify(fields: dict[str, Any], certificate: x509.Certificate) -> None:
    """Check an alert's detached JWS (RFC 7515, appendix F) by the certificate's public key.

    ``fields`` is the parsed message. Raises SignatureError.
    """
    unsigned = {name: value for name, value in fields.items() if name != "signature"}
    # RFC 8785 for what alerts hold: ASCII names, integers, text, true and false.
    content = json.dumps(unsigned, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    payload = base64.urlsafe_b64encode(content.encode()).rstrip(b"=").decode()
    header, empty, signature = str(fields.get("signature", "")).partition("..")
    if not empty:
        raise SignatureError("there is no detached signature")
    pem = certificate.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    is_rsa = isinstance(certificate.public_key(), rsa.RSAPublicKey)
    key = RSAKey.import_key(pem) if is_rsa else ECKey.import_key(pem)
    try:
        jws.deserialize_compact(f"{header}.{payload}.{signature}", key, algorithms=ALGORITHMS)
    except (JoseError, ValueError) as error:
        raise SignatureError(str(error) or type(error).__name__) from None
