"""What AWS IoT says of a certificate: one call, for whoever asks."""

from __future__ import annotations

from typing import Any

from rotation_cloud.aws_errors import translated


def described(iot: Any, certificate_id: str) -> dict[str, Any]:
    """The description; ``iot`` is boto3's client. Raises NotFound, AwsError.

    https://docs.aws.amazon.com/iot/latest/apireference/API_DescribeCertificate.html
    """
    with translated("DescribeCertificate"):
        found = iot.describe_certificate(certificateId=certificate_id)
    description: dict[str, Any] = found["certificateDescription"]
    return description
