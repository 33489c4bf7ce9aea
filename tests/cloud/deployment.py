"""The template with everything that it can deploy, for what has to hold for every function."""

from __future__ import annotations

from pathlib import Path

from lab.cloud.iam_actions import Place
from lab.cloud.template import TEMPLATE, Template

PLACE = Place("eu-west-1", "123456789012")
#: Parameters with which nothing is left out.
EVERYTHING = {
    "PrivateCaArn": PLACE.arn("acm-pca:GetCertificate", "certificate-authority", "12345678"),
    "SignerFunctionArn": PLACE.arn("lambda:InvokeFunction", "function", "signer"),
    "RegistersDevices": "true",
    "RegistrationThings": "create",
    "NotificationEmail": "on-call@example.com",
    "ArtifactBucket": "artifacts",
    "TokenExchangeRoleName": "GreengrassV2TokenExchangeRole",
}


def deployed(issuer: str = "aws-iot", path: Path = TEMPLATE) -> Template:
    """The template, with these certificates' signer."""
    return Template({**EVERYTHING, "Issuer": issuer}, path=path)


FUNCTIONS = sorted(deployed().functions())
