"""The policy that the template has for core devices: what they need, of their own thing only."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lab.account.policies import POLICY_MAX_CHARACTERS, policy_characters
from lab.cloud.device_policy import core_device_policy
from lab.cloud.template import Template
from lab.iot_core.policy import evaluate
from rotation_protocol import topics

REGION, ACCOUNT = "eu-west-1", "123456789012"
ARN = f"arn:aws:iot:{REGION}:{ACCOUNT}:"
POLICY = core_device_policy(region=REGION, account_id=ACCOUNT)

#: What a nucleus or CertKeeper does over MQTT, for the thing in the braces.
OVER_MQTT = (
    ("iot:Connect", "client/{}"),
    ("iot:Connect", "client/{}#2"),
    ("iot:Connect", "client/{}#endpoint-switch"),
    ("iot:Publish", "topic/" + topics.jobs("{}", "$next/get")),
    ("iot:Publish", "topic/" + topics.jobs("{}", "job-1/update")),
    ("iot:Receive", "topic/" + topics.jobs("{}", "notify-next")),
    ("iot:Receive", "topic/" + topics.jobs("{}", "job-1/update/accepted")),
    ("iot:Subscribe", "topicfilter/" + topics.jobs("{}", "+/update/+")),
    ("iot:Subscribe", "topicfilter/" + topics.jobs("{}", "+/get/+")),
    ("iot:Subscribe", "topicfilter/" + topics.jobs("{}", "notify-namespace-aws-gg-deployment")),
    ("iot:Publish", "topic/$aws/things/{}/shadow/name/x/update"),
    ("iot:Receive", "topic/$aws/things/{}/shadow/name/x/update/delta"),
    ("iot:Subscribe", "topicfilter/$aws/things/{}/shadow/name/x/update/accepted"),
    ("iot:Publish", "topic/$aws/things/{}/greengrass/health/json"),
    ("iot:Publish", "topic/$aws/things/{}/greengrassv2/health/json"),
    *(
        ("iot:Publish", "topic/" + topics.rotation(topics.PREFIX, "{}", action))
        for action in (topics.CREATE, topics.COMMIT, topics.REQUEST)
    ),
    *(
        ("iot:Receive", "topic/" + topics.rotation(topics.PREFIX, "{}", f"{action}/{answer}"))
        for action in (topics.CREATE, topics.COMMIT, topics.REQUEST)
        for answer in ("accepted", "rejected")
    ),
    ("iot:Subscribe", "topicfilter/" + topics.rotation(topics.PREFIX, "{}", "+/+")),
)


def allows(
    action: str, resource: str, thing: str | None = "press-7", policy: dict[str, Any] = POLICY
) -> bool:
    """Whether the policy allows it on a connection with this value of the thing's variable."""
    values = {"iot:Connection.Thing.ThingName": thing}
    return evaluate([policy], action, ARN + resource, values).allowed


@pytest.mark.parametrize(("action", "resource"), OVER_MQTT)
def test_own_thing_only(action: str, resource: str) -> None:
    """A device may do it in the name of its own thing, and of no other."""
    assert allows(action, resource.format("press-7"))
    for other in ("press-70", "press", "press-7-2", "+", "*"):
        assert not allows(action, resource.format(other))


@pytest.mark.parametrize(("action", "resource"), OVER_MQTT)
def test_certificate_of_no_thing(action: str, resource: str) -> None:
    """A connection that is no thing's may do nothing of it."""
    assert not allows(action, resource.format("press-7"), thing=None)


@pytest.mark.parametrize("topic", [topics.ALERTS, topics.HEALTH])
def test_what_is_published_for_everybody(topic: str) -> None:
    """Alerts and health messages go out, and no device reads another one's."""
    assert allows("iot:Publish", f"topic/{topic}")
    assert not allows("iot:Publish", f"topic/{topic}/more")
    for action, kind in (("Subscribe", "topicfilter"), ("Receive", "topic")):
        assert not allows(f"iot:{action}", f"{kind}/{topic}")
    assert not allows("iot:RetainPublish", f"topic/{topic}")


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("iot:AssumeRoleWithCertificate", "rolealias/GreengrassV2TokenExchangeRoleAlias"),
        ("greengrass:GetComponentVersionArtifact", "anything"),
        ("greengrass:GetDeploymentConfiguration", "anything"),
        ("greengrass:ListThingGroupsForCoreDevice", "anything"),
        ("greengrass:ResolveComponentCandidates", "anything"),
    ],
)
def test_over_https(action: str, resource: str) -> None:
    """Over HTTPS the thing's variable has no value, and what a nucleus does there is allowed."""
    assert allows(action, resource, thing=None)


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("iot:AssumeRoleWithCertificate", "rolealias/another"),
        ("iot:Subscribe", "topicfilter/#"),
        ("iot:Subscribe", "topicfilter/$aws/things/+/jobs/notify"),
        ("iot:Subscribe", "topicfilter/$aws/events/#"),
        ("iot:Publish", "topic/$aws/events/certificates/registered/x"),
        ("iot:UpdateThingShadow", "thing/press-7"),
        ("greengrass:PutCertificateAuthorities", "anything"),
        ("iotjobsdata:UpdateJobExecution", "thing/press-7"),
    ],
)
def test_nothing_else(action: str, resource: str) -> None:
    """What nobody needs is not allowed."""
    assert not allows(action, resource)


def test_parameters() -> None:
    """Topic prefix, role alias and the things with shadows are the deployment's."""
    policy = core_device_policy(
        region=REGION,
        account_id=ACCOUNT,
        TopicPrefix="awslabs",
        RoleAlias="mine",
        ShadowThings="press-*",
    )
    create = topics.rotation(topics.PEER_PREFIX, "press-7", topics.CREATE)
    assert allows("iot:Publish", f"topic/{create}", policy=policy)
    assert allows("iot:AssumeRoleWithCertificate", "rolealias/mine", policy=policy)
    for action in ("Get", "Update", "Delete"):
        assert allows(f"iot:{action}ThingShadow", "thing/press-7", None, policy)
        assert not allows(f"iot:{action}ThingShadow", "thing/saw-7", None, policy)


def test_it_fits() -> None:
    """The longest prefix, long names, and a region with a long name fit in 2048 characters."""
    policy = core_device_policy(
        region="ap-southeast-1",
        account_id=ACCOUNT,
        TopicPrefix="p" * 32,
        RoleAlias="r" * 64,
        ShadowThings="s" * 64,
    )
    assert policy_characters(json.dumps(policy)) <= POLICY_MAX_CHARACTERS


def policy_of_the_role(**parameters: str) -> list[dict[str, Any]]:
    boundary = "What CertKeeper's functions may do at most"
    found = Template(parameters).managed_policies()
    return [policy for policy in found if policy["Description"] != boundary]


def test_token_exchange_role() -> None:
    """Devices may read the component's artifacts in the bucket, and nothing else there."""
    assert policy_of_the_role() == []
    (policy,) = policy_of_the_role(ArtifactBucket="parts")
    assert policy["PolicyDocument"]["Statement"] == [
        {
            "Effect": "Allow",
            "Action": "s3:GetObject",
            "Resource": "arn:aws:s3:::parts/community.greengrass.CertificateKeeper/*",
        }
    ]
    assert "Roles" not in policy
    (policy,) = policy_of_the_role(ArtifactBucket="parts", TokenExchangeRoleName="role")
    assert policy["Roles"] == ["role"]
