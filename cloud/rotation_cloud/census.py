"""AWS IoT as the reconciler asks it: the ports Census and JobEvents.

Leaves out what every rotation asks (``aws.py``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from rotation_cloud.aws_errors import translated
from rotation_cloud.described import described
from rotation_cloud.ports import Listed, NotFound

#: The largest page: https://docs.aws.amazon.com/iot/latest/apireference/API_ListCertificates.html
_PAGE = 250


class IotCensus:
    """See ports.Census."""

    def __init__(self, iot: Any) -> None:
        self._iot = iot

    def certificates(self) -> Iterator[Listed]:
        pages = iter(self._iot.get_paginator("list_certificates").paginate(pageSize=_PAGE))
        while True:
            with translated("ListCertificates"):
                page = next(pages, None)
            if page is None:
                return
            for one in page.get("certificates", []):
                yield Listed(one["certificateArn"], one["status"], one["creationDate"].timestamp())

    def status(self, certificate_id: str) -> str:
        try:
            return str(described(self._iot, certificate_id)["status"])
        except NotFound:
            return ""

    def public_key(self, certificate_id: str) -> str:
        return public_key(self._iot, certificate_id)


class IotJobEvents:
    """See ports.JobEvents.

    https://docs.aws.amazon.com/iot/latest/apireference/API_UpdateEventConfigurations.html
    """

    _KIND = "JOB_EXECUTION"

    def __init__(self, iot: Any) -> None:
        self._iot = iot

    def are_on(self) -> bool:
        with translated("DescribeEventConfigurations"):
            found = self._iot.describe_event_configurations()
        configured = found.get("eventConfigurations", {}).get(self._KIND, {})
        return bool(configured.get("Enabled", False))

    def switch(self, on: bool) -> None:
        # Kinds of events that are not named stay as they are.
        with translated("UpdateEventConfigurations"):
            self._iot.update_event_configurations(eventConfigurations={self._KIND: {"Enabled": on}})


def public_key(iot: Any, certificate_id: str) -> str:
    """As Census.public_key, with boto3's client."""
    try:
        pem = described(iot, certificate_id)["certificatePem"]
        key = x509.load_pem_x509_certificate(pem.encode()).public_key()
    except (NotFound, ValueError, UnsupportedAlgorithm):
        return ""
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).hexdigest()
