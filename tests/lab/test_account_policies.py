"""The policy of a core device allows its nucleus and CertKeeper what they need, and no more."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase

import pytest

from lab.account.policies import POLICY_MAX_CHARACTERS, core_device_policy, policy_characters

ARN = "arn:aws:iot:eu-west-1:123456789012:"


def allows(action: str, resource: str) -> bool:
    """Whether press-7's policy has a statement for it; no statement denies, so this decides."""
    policy = core_device_policy("press-7", region="eu-west-1", account_id="123456789012")
    for statement in policy["Statement"]:
        assert statement["Effect"] == "Allow"
        actions, resources = statement["Action"], statement["Resource"]
        actions = [actions] if isinstance(actions, str) else actions
        resources = [resources] if isinstance(resources, str) else resources
        if action in actions and any(fnmatchcase(resource, pattern) for pattern in resources):
            return True
    return False


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("iot:Connect", "client/press-7"),
        ("iot:Connect", "client/press-7#2"),
        ("iot:Connect", "client/press-7#endpoint-switch"),
        ("iot:Publish", "topic/$aws/things/press-7/jobs/$next/get"),
        ("iot:Receive", "topic/$aws/things/press-7/jobs/notify-next"),
        ("iot:Subscribe", "topicfilter/$aws/things/press-7/jobs/+/update/accepted"),
        ("iot:Publish", "topic/$aws/things/press-7/shadow/name/x/update"),
        ("iot:Subscribe", "topicfilter/$aws/things/press-7/shadow/name/x/update/accepted"),
        ("iot:Publish", "topic/$aws/things/press-7/greengrass/health/json"),
        ("iot:Publish", "topic/$aws/things/press-7/greengrassv2/health/json"),
        ("iot:Publish", "topic/greengrass/alerts/certificates"),
        ("iot:Publish", "topic/greengrass/health/certificates"),
        ("iot:Publish", "topic/certkeeper/things/press-7/certificate/create"),
        ("iot:Receive", "topic/certkeeper/things/press-7/certificate/create/accepted"),
        ("iot:Subscribe", "topicfilter/certkeeper/things/press-7/certificate/+/+"),
        ("iot:AssumeRoleWithCertificate", "rolealias/GreengrassCoreTokenExchangeRoleAlias"),
    ],
)
def test_core_device_may_do_what_it_needs(action: str, resource: str) -> None:
    """Each thing that a nucleus or CertKeeper does is allowed."""
    assert allows(action, ARN + resource)


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("iot:Connect", "client/press-70"),
        ("iot:Connect", "client/press"),
        ("iot:Publish", "topic/$aws/things/press-70/jobs/$next/get"),
        ("iot:Subscribe", "topicfilter/$aws/things/+/jobs/notify"),
        ("iot:Subscribe", "topicfilter/#"),
        ("iot:Subscribe", "topicfilter/certkeeper/things/+/certificate/+/+"),
        ("iot:Publish", "topic/certkeeper/things/press-70/certificate/create"),
        ("iot:Subscribe", "topicfilter/greengrass/alerts/certificates"),
        ("iot:Receive", "topic/greengrass/alerts/certificates"),
        ("iot:Publish", "topic/greengrass/alerts/certificates/more"),
        ("iot:RetainPublish", "topic/greengrass/alerts/certificates"),
        ("iot:AssumeRoleWithCertificate", "rolealias/another"),
        ("iot:UpdateThingShadow", "thing/press-7"),
    ],
)
def test_core_device_may_do_nothing_else(action: str, resource: str) -> None:
    """Another device's client ids and topics, and what nobody needs, are not allowed."""
    assert not allows(action, ARN + resource)


def test_policy_names_greengrass_actions_one_by_one() -> None:
    """Only the four data plane actions of the minimal policy are allowed on everything."""
    policy = core_device_policy("press-7", region="eu-west-1", account_id="123456789012")
    everywhere = [s for s in policy["Statement"] if s["Resource"] == "*"]
    assert [statement["Action"] for statement in everywhere] == [
        [
            "greengrass:GetComponentVersionArtifact",
            "greengrass:GetDeploymentConfiguration",
            "greengrass:ListThingGroupsForCoreDevice",
            "greengrass:ResolveComponentCandidates",
        ]
    ]


def test_policy_of_a_long_name_fits_until_it_cannot() -> None:
    """The policy stays within AWS's 2048 characters, and a name that is too long is an error."""
    longest = core_device_policy("a" * 58, region="eu-west-1", account_id="123456789012")
    assert policy_characters(json.dumps(longest)) <= POLICY_MAX_CHARACTERS
    with pytest.raises(ValueError, match="AWS IoT takes 2048"):
        core_device_policy("a" * 128, region="eu-west-1", account_id="123456789012")
