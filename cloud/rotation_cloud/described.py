"""What AWS IoT says of a certificate: one call, for whoever asks."""

from __future__ import annotations

from typing import Any

from rotation_cloud.aws_errors import translated
from rotation_cloud.ports import Registered


def described(iot: Any, certificate_id: str) -> dict[str, Any]:
    """The description; ``iot`` is boto3's client. Raises NotFound, AwsError.

    https://docs.aws.amazon.com/iot/latest/apireference/API_DescribeCertificate.html
    """
    with translated("DescribeCertificate"):
        found = iot.describe_certificate(certificateId=certificate_id)
    description: dict[str, Any] = found["certificateDescription"]
    return description


def registered(description: dict[str, Any]) -> Registered:
    """What is needed of the description of a certificate, or of a CA's."""
    return Registered(
        arn=description["certificateArn"],
        pem=description["certificatePem"],
        status=description["status"],
        ca_id=description.get("caCertificateId", ""),
        created=description["creationDate"].timestamp(),
    )
