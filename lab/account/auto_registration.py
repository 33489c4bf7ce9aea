"""Just-in-time registration: a certificate of a registered CA, presented for the first time.

It is registered PENDING_ACTIVATION, and so the connection is refused; an event says so, at every
further try too, until somebody activates it. Left out: that the device has to send SNI.
https://docs.aws.amazon.com/iot/latest/developerguide/auto-register-device-cert.html
"""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from moto.iot.models import FakeCertificate, iot_backends

from lab.account.moto_registration import issuer_of

_PENDING = "PENDING_ACTIVATION"


class AutoRegistration:
    """Of one account and region; called on the lab's loop."""

    def __init__(self, account_id: str, region: str) -> None:
        self._account_id = account_id
        self._region = region

    def presented(self, der: bytes) -> tuple[str, bytes] | None:
        """Topic and payload of the event to publish for the certificate (DER), if there is one."""
        backend = iot_backends[self._account_id][self._region]
        certificate_id = hashlib.sha256(der).hexdigest()
        found: Any = backend.certificates.get(certificate_id) or self._registered(der, backend)
        if found is None or found.status != _PENDING or found.ca_certificate_id is None:
            return None
        event = {
            "certificateId": certificate_id,
            "caCertificateId": found.ca_certificate_id,
            "timestamp": round(time.time() * 1000),
            "certificateStatus": _PENDING,
            "awsAccountId": self._account_id,
            "certificateRegistrationTimestamp": str(round(found.creation_date.timestamp() * 1000)),
        }
        topic = f"$aws/events/certificates/registered/{found.ca_certificate_id}"
        return topic, json.dumps(event).encode()

    def _registered(self, der: bytes, backend: Any) -> FakeCertificate | None:
        """The certificate, registered now if a CA with auto-registration signed it."""
        try:
            certificate = x509.load_der_x509_certificate(der)
        except ValueError:
            return None
        ca = issuer_of(certificate, backend)
        if ca is None or ca.status != "ACTIVE" or not ca.auto_registration:
            return None
        made: FakeCertificate = backend.register_certificate(
            certificate_pem=certificate.public_bytes(serialization.Encoding.PEM).decode(),
            ca_certificate_pem=ca.certificate_pem,
            set_as_active=False,
            status=_PENDING,
        )
        made.certificate_mode = ca.certificate_mode
        return made
