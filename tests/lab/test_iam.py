"""What a role allows, as IAM evaluates it, and what comes of a call that it does not allow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.cloud.backend import Backend
from lab.cloud.iam_actions import Place, UnknownCall, need_of
from lab.cloud.intrinsics import TemplateError
from lab.cloud.permissions import Permissions, permissions
from lab.cloud.template import TEMPLATE
from lab.lab import Lab
from rotation_cloud import aws

PLACE = Place("eu-west-1", "123456789012")
ARN = "arn:aws:iot:eu-west-1:123456789012:"


def of(*statements: dict[str, Any]) -> Permissions:
    return permissions("Greet", [{"Statement": list(statements)}])


def allow(action: Any, resource: Any, effect: str = "Allow") -> dict[str, Any]:
    return {"Effect": effect, "Action": action, "Resource": resource}


@pytest.mark.parametrize(
    ("action", "resource", "is_allowed"),
    [
        ("iot:DescribeThing", f"{ARN}thing/press-7", True),
        ("IOT:describething", f"{ARN}thing/press-7", True),
        ("iot:DescribeThing", f"{ARN}thing/", True),
        ("iot:DescribeThing", f"{ARN}cert/1", False),
        ("iot:DescribeThing", "*", False),
        ("iot:DescribeThingGroup", f"{ARN}thing/press-7", False),
        ("iot:GetA", "anything", True),
        ("iot:GetAB", "anything", False),
        ("iot:DeleteThing", f"{ARN}thing/PRESS-7", False),
    ],
)
def test_actions_and_resources(action: str, resource: str, is_allowed: bool) -> None:
    """Both have to match whole; an action's case does not count, a resource's does."""
    role = of(
        allow("iot:DescribeThing", f"{ARN}thing/*"),
        allow(["iot:Get?"], "*"),
        allow("iot:DeleteThing", f"{ARN}thing/press-?"),
    )
    assert role.allow(action, resource) is is_allowed


def test_denial_outweighs() -> None:
    """What one statement denies no other allows, and nothing is allowed by itself."""
    role = of(allow("iot:*", "*"), allow("iot:Delete*", "*", "Deny"))
    assert role.allow("iot:GetThing", "x")
    assert not role.allow("iot:DeleteThing", "x")
    assert not of().allow("iot:GetThing", "x")


@pytest.mark.parametrize(
    "policy",
    [
        "AWSLambdaBasicExecutionRole",
        {"SQSPollerPolicy": {"QueueName": "q"}},
        {
            "Statement": [
                {**allow("iot:*", "*"), "Condition": {"Bool": {"aws:SecureTransport": "true"}}}
            ]
        },
        {"Statement": [{"Effect": "Allow", "NotAction": "iot:*", "Resource": "*"}]},
        {"Statement": [{"Effect": "Allow", "Action": "iot:*"}]},
        {"Statement": [allow("iot:*", f"{ARN}thing/${{aws:username}}")]},
        {"Statement": [allow("iot:*", "*", "Maybe")]},
        {"Statement": "all"},
    ],
)
def test_what_is_not_understood_is_refused(policy: Any) -> None:
    """Nothing is taken for a permission that is not understood whole."""
    with pytest.raises(TemplateError):
        permissions("Greet", [policy])


@pytest.mark.parametrize(
    ("call", "parameters", "needed"),
    [
        (
            ("iot", "UpdateCertificate"),
            {"certificateId": "c1"},
            [("iot:UpdateCertificate", f"{ARN}cert/c1")],
        ),
        (
            ("iot", "AttachPolicy"),
            {"target": f"{ARN}cert/c1", "policyName": "p"},
            [("iot:AttachPolicy", f"{ARN}cert/c1")],
        ),
        (
            ("iot", "ListThingPrincipalsV2"),
            {"thingName": "press-7"},
            [("iot:ListThingPrincipals", "*")],
        ),
        (
            ("iot", "CreateJob"),
            {"jobId": "j", "targets": [f"{ARN}thing/a", f"{ARN}thing/b"]},
            [("iot:CreateJob", f"{ARN}{each}") for each in ("job/j", "thing/a", "thing/b")],
        ),
        (
            ("iot-data", "Publish"),
            {"topic": "a/b"},
            [("iot:Publish", f"{ARN}topic/a/b")],
        ),
        (
            ("events", "PutEvents"),
            {"Entries": [{"EventBusName": "one"}, {"EventBusName": "two"}]},
            [
                ("events:PutEvents", f"arn:aws:events:eu-west-1:123456789012:event-bus/{name}")
                for name in ("one", "two")
            ],
        ),
    ],
)
def test_what_a_call_needs(
    call: tuple[str, str], parameters: dict[str, Any], needed: list[tuple[str, str]]
) -> None:
    """The action is the reference's, on each resource that the parameters name."""
    assert need_of(*call).of_call(PLACE, parameters) == needed


def test_unknown_call_is_refused() -> None:
    """A call that the table does not know is neither allowed nor denied: it is an error."""
    with pytest.raises(UnknownCall, match="DeleteTopicRule"):
        need_of("iot", "DeleteTopicRule")


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as opened:
        yield opened


def backend(lab: Lab, template: Path) -> Backend:
    return Backend(
        lab.account,
        lab.iot_core,
        lab.timeline,
        lab.data_plane.url,
        template=template,
        retry_delay=lambda attempt: 0.0,
    )


@pytest.fixture
def edited(tmp_path: Path) -> Path:
    """The template where CommitFunction may not read the table."""
    text = TEMPLATE.read_text("utf-8")
    before, after = text.split("  CommitFunction:\n")
    assert "[dynamodb:GetItem, dynamodb:PutItem]" in after
    after = after.replace("[dynamodb:GetItem, dynamodb:PutItem]", "dynamodb:PutItem", 1)
    path = tmp_path / "template.yaml"
    path.write_text(f"{before}  CommitFunction:\n{after}")
    for folder in ("functions", "statemachines"):
        (tmp_path / folder).symlink_to(TEMPLATE.parent / folder)
    return path


EVENT = {
    "thingName": "press-7",
    "topic": "certkeeper/things/press-7/certificate/commit",
    "clientId": "press-7",
    "principal": "f" * 64,
    "jobId": "job-1",
}


@pytest.mark.parametrize("is_allowed", [True, False])
def test_call_that_the_role_does_not_allow_fails(lab: Lab, edited: Path, is_allowed: bool) -> None:
    """Without its permission a call is not made: the function is told AccessDenied, as by AWS."""
    with backend(lab, TEMPLATE if is_allowed else edited) as deployed:
        deployed.invoke("CommitFunction", EVENT)
        deployed.idle()
    denied = [entry.details for entry in lab.timeline.find("access-denied")]
    told = [str(entry.details["message"]) for entry in lab.timeline.find("notification")]
    if is_allowed:
        assert (denied, told) == ([], [])
        return
    table = "arn:aws:dynamodb:eu-west-1:123456789012:table/certkeeper-RotationTable"
    assert denied == [{"function": "CommitFunction", "action": "dynamodb:GetItem", "on": table}]
    assert "AccessDeniedException" in told[0]


def test_others_calls_are_not_the_functions(lab: Lab, edited: Path) -> None:
    """Whoever calls AWS beside the functions is not held to their roles."""
    with backend(lab, edited):
        assert aws.client("iot").list_things()["things"] == []
    assert lab.timeline.find("access-denied") == []
