"""The IoT policy of a core device: what its nucleus needs, and CertKeeper's topics.

Least privilege: one device's own client ids and topics. Nothing about client devices,
shadows over HTTPS or components other than CertKeeper.
"""

from __future__ import annotations

import json
from typing import Any

from rotation_protocol import topics

# The role alias that Greengrass's installer makes.
DEFAULT_ROLE_ALIAS = "GreengrassCoreTokenExchangeRoleAlias"

ALERT_TOPIC = "greengrass/alerts/certificates"
HEALTH_TOPIC = "greengrass/health/certificates"

# https://docs.aws.amazon.com/iot/latest/apireference/API_CreatePolicy.html
POLICY_MAX_CHARACTERS = 2048


def policy_characters(document: str) -> int:
    """How many characters of a policy document count: all but white space."""
    return len("".join(document.split()))


def core_device_policy(
    thing_name: str,
    *,
    region: str,
    account_id: str,
    role_alias: str = DEFAULT_ROLE_ALIAS,
    topic_prefix: str = topics.PREFIX,
) -> dict[str, Any]:
    """The policy document for the certificates of the core device ``thing_name``.

    The thing's name is spelled out, because thing policy variables do not work for core
    devices. Where the guide writes ``thing*``, which lets press-1 be press-10, this allows
    the name itself and ``name#...``, the suffix of a nucleus's further connections. Raises
    ValueError if the document is longer than AWS IoT takes, from names of about 58 characters.

    https://docs.aws.amazon.com/greengrass/v2/developerguide/device-auth.html
    """
    arn = f"arn:aws:iot:{region}:{account_id}:"
    own = f"$aws/things/{thing_name}/"
    document = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "iot:Connect",
                "Resource": [f"{arn}client/{thing_name}", f"{arn}client/{thing_name}#*"],
            },
            {
                "Effect": "Allow",
                "Action": ["iot:Publish", "iot:Receive"],
                "Resource": [
                    f"{arn}topic/{own}jobs/*",
                    f"{arn}topic/{own}shadow/*",
                    f"{arn}topic/{topic_prefix}/things/{thing_name}/certificate/*",
                ],
            },
            {
                "Effect": "Allow",
                "Action": "iot:Publish",
                "Resource": [
                    f"{arn}topic/{own}greengrass/health/json",
                    f"{arn}topic/{own}greengrassv2/health/json",
                    f"{arn}topic/{ALERT_TOPIC}",
                    f"{arn}topic/{HEALTH_TOPIC}",
                ],
            },
            {
                "Effect": "Allow",
                "Action": "iot:Subscribe",
                "Resource": [
                    f"{arn}topicfilter/{own}jobs/*",
                    f"{arn}topicfilter/{own}shadow/*",
                    f"{arn}topicfilter/{topic_prefix}/things/{thing_name}/certificate/*",
                ],
            },
            {
                "Effect": "Allow",
                "Action": "iot:AssumeRoleWithCertificate",
                "Resource": f"{arn}rolealias/{role_alias}",
            },
            {
                "Effect": "Allow",
                "Action": [
                    "greengrass:GetComponentVersionArtifact",
                    "greengrass:GetDeploymentConfiguration",
                    "greengrass:ListThingGroupsForCoreDevice",
                    "greengrass:ResolveComponentCandidates",
                ],
                "Resource": "*",
            },
        ],
    }
    characters = policy_characters(json.dumps(document))
    if characters > POLICY_MAX_CHARACTERS:
        raise ValueError(
            f"the policy of {thing_name!r} would have {characters} characters, AWS IoT takes "
            f"{POLICY_MAX_CHARACTERS}: use a shorter thing name, or split the policy in two"
        )
    return document
