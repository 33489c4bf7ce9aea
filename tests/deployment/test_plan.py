"""What the new deployment holds: everything of its base, and what was asked for."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.session import get_session

from deployment import plan
from deployment.plan import merged
from deployment.ports import CannotDeploy, Deployment, Revision

OURS = "community.greengrass.CertificateKeeper"

#: One of everything that a deployment can say.
WHOLE: dict[str, Any] = {
    "deploymentName": "Presses, hall 3",
    "components": {
        "com.example.PressControl": {
            "componentVersion": "3.2.0",
            "configurationUpdate": {"merge": '{"speed": 3}', "reset": ["/mode"]},
            "runWith": {"posixUser": "press:press", "systemResourceLimits": {"cpus": 1.5}},
        },
        OURS: {
            "componentVersion": "0.1.0",
            "configurationUpdate": {
                "merge": '{"maxAgeDays": 365, "rotateWindow": {"cron": "x", "minutes": 60}}',
                "reset": ["/schedule"],
            },
            "runWith": {"posixUser": "root"},
        },
    },
    "deploymentPolicies": {
        "failureHandlingPolicy": "DO_NOTHING",
        "componentUpdatePolicy": {"timeoutInSeconds": 300, "action": "NOTIFY_COMPONENTS"},
        "configurationValidationPolicy": {"timeoutInSeconds": 60},
    },
    "iotJobConfiguration": {
        "jobExecutionsRolloutConfig": {"maximumPerMinute": 10},
        "abortConfig": {
            "criteriaList": [
                {
                    "failureType": "FAILED",
                    "action": "CANCEL",
                    "thresholdPercentage": 5.5,
                    "minNumberOfExecutedThings": 10,
                }
            ]
        },
        "timeoutConfig": {"inProgressTimeoutInMinutes": 60},
    },
    "parentTargetArn": "arn:aws:iot:eu-central-1:123456789012:thinggroup/all",
    "tags": {"team": "press", "cost": "42"},
}


def deployment(content: dict[str, Any] | None = None, *unknown: str) -> Deployment:
    return Deployment(WHOLE if content is None else content, "job-1", "ACTIVE", True, unknown)


def revision(
    number: int, status: str = "INACTIVE", *, latest: bool = False, parent: str | None = None
) -> Revision:
    created = datetime(2026, 11, number, tzinfo=UTC)
    return Revision(f"id-{number}", number, status, latest, created, parent)


# -- what goes over -----------------------------------------------------------------------


def test_carried_is_all_that_can_be_carried() -> None:
    """What goes over is all that GetDeployment tells and CreateDeployment takes."""
    model = get_session().get_service_model("greengrassv2")
    answer = model.operation_model("GetDeployment").output_shape
    request = model.operation_model("CreateDeployment").input_shape
    assert answer is not None
    assert request is not None
    told, taken = set(answer.members), set(request.members)
    assert set(plan.CARRIED) == (told & taken) - {"targetArn"}
    assert taken - told == {"clientToken"}


def test_only_the_version_changes() -> None:
    """A new version leaves all else as it is, to the byte, and the base itself too."""
    before = copy.deepcopy(WHOLE)
    content = plan.with_component(plan.kept(deployment()), OURS, "0.2.0", {})
    assert before == WHOLE
    before["components"][OURS]["componentVersion"] = "0.2.0"
    assert content == before


def test_configuration_is_merged_into_what_is_merged() -> None:
    """The change goes into the merge that is there; reset and the user stay."""
    change = {"rotateWindow": {"minutes": 90}, "thresholds": [9]}
    content = plan.with_component(plan.kept(deployment()), OURS, "0.1.0", change)
    ours = content["components"][OURS]
    assert json.loads(ours["configurationUpdate"].pop("merge")) == {
        "maxAgeDays": 365,
        "rotateWindow": {"cron": "x", "minutes": 90},
        "thresholds": [9],
    }
    assert ours == {
        "componentVersion": "0.1.0",
        "configurationUpdate": {"reset": ["/schedule"]},
        "runWith": {"posixUser": "root"},
    }


def test_a_component_that_was_not_there() -> None:
    """A deployment without the component gets it, beside the others."""
    content = {"components": {"com.example.PressControl": {"componentVersion": "3.2.0"}}}
    made = plan.with_component(plan.kept(deployment(content)), OURS, "0.1.0", {"maxAgeDays": 1})
    assert made["components"] == {
        "com.example.PressControl": {"componentVersion": "3.2.0"},
        OURS: {"componentVersion": "0.1.0", "configurationUpdate": {"merge": '{"maxAgeDays": 1}'}},
    }


def test_merge_that_is_no_object() -> None:
    """A merge in the deployment that cannot be merged into is an error, and nothing is lost."""
    for text in ("[1]", "{", '"x"'):
        content = {"components": {OURS: {"configurationUpdate": {"merge": text}}}}
        with pytest.raises(CannotDeploy, match="not a JSON object"):
            plan.with_component(content, OURS, "0.1.0", {"maxAgeDays": 1})


def test_tags_of_aws_stay_behind() -> None:
    """Tags that AWS keeps for itself cannot be sent; the others go over, and it is said."""
    base = deployment({"tags": {"aws:cloudformation:stack-name": "fleet", "team": "press"}})
    assert plan.kept(base) == {"components": {}, "tags": {"team": "press"}}
    assert "CloudFormation" in plan.notes(base)[0]
    only = deployment({"tags": {"aws:cloudformation:stack-name": "fleet"}})
    assert "tags" not in plan.kept(only)
    assert plan.notes(deployment()) == []


def test_settings_that_would_be_lost() -> None:
    """What boto3 does not know would be lost: within a setting that is an error, beside one a
    note."""
    with pytest.raises(CannotDeploy, match=r"iotJobConfiguration\.retries.*newer boto3"):
        plan.kept(deployment(None, "iotJobConfiguration.retries"))
    outside = deployment(None, "deploymentHealth")
    assert plan.kept(outside) == WHOLE
    assert "deploymentHealth" in plan.notes(outside)[0]


# -- merging ------------------------------------------------------------------------------


def test_merging() -> None:
    """Objects are merged key by key; all else is replaced as a whole, and null is a value."""
    base = {"a": {"b": 1, "c": [1, 2]}, "d": 1, "e": {"f": 1}, "g": [1]}
    change: dict[str, Any] = {"a": {"c": [3]}, "d": None, "e": 5, "g": {"h": 1}, "new": {"x": {}}}
    before = json.dumps(base)
    assert merged(base, change) == {
        "a": {"b": 1, "c": [3]},
        "d": None,
        "e": 5,
        "g": {"h": 1},
        "new": {"x": {}},
    }
    assert json.dumps(base) == before


def test_merging_again() -> None:
    """To merge a change twice is to merge it once; into nothing, it is the change."""
    base = {"a": {"b": 1}, "c": 2}
    change: dict[str, Any] = {"a": {"b": {"d": [1]}, "e": None}, "c": {}}
    once = merged(base, change)
    assert merged(once, change) == once
    assert merged({}, change) == change


# -- which revision -----------------------------------------------------------------------


def test_the_latest_is_the_base() -> None:
    """Without a word the new deployment is built on the latest; on none if there is none."""
    revisions = [revision(3, "ACTIVE", latest=True), revision(2)]
    latest = plan.latest_of(revisions, None)
    assert latest is revisions[0]
    assert plan.base_of(latest, revisions, None) is latest
    assert plan.latest_of([], None) is None
    assert plan.base_of(None, [], None) is None


@pytest.mark.parametrize("status", ["ACTIVE", "COMPLETED", "FAILED", "INACTIVE"])
def test_a_latest_that_was_not_canceled(status: str) -> None:
    """Only a canceled deployment makes a person choose: one that failed is to be mended."""
    latest = revision(3, status, latest=True)
    assert plan.base_of(latest, [latest], None) is latest


def test_a_canceled_latest() -> None:
    """What was canceled is built on only if it is named."""
    latest = revision(3, "CANCELED", latest=True)
    with pytest.raises(CannotDeploy, match="--base id-3"):
        plan.base_of(latest, [latest], None)
    assert plan.base_of(latest, [latest], "id-3") is latest


def test_a_named_base() -> None:
    """Any revision can be named; one that the group has not got is an error with those it has."""
    revisions = [revision(3, "ACTIVE", latest=True), revision(2), revision(1)]
    assert plan.base_of(revisions[0], revisions, "id-1") is revisions[2]
    with pytest.raises(CannotDeploy, match=r"id-9 is no deployment .*id-3 \(3\), id-2 \(2\)"):
        plan.base_of(revisions[0], revisions, "id-9")


def test_a_group_with_two_deployments() -> None:
    """Where the group has its own deployment and a subdeployment, a person says which."""
    own = revision(3, "ACTIVE", latest=True)
    sub = revision(1, "ACTIVE", latest=True, parent="arn:all")
    with pytest.raises(CannotDeploy, match=r"id-3 \(parent: none\); id-1 \(parent: arn:all\)"):
        plan.latest_of([own, sub], None)
    assert plan.latest_of([own, sub], "id-1") is sub
    assert plan.latest_of([own, sub], "id-3") is own


@pytest.mark.parametrize("status", ["INACTIVE", "CANCELED", "COMPLETED"])
def test_earlier_revisions(status: str) -> None:
    """What came before is told by the numbers, whatever AWS calls a revision that was replaced."""
    revisions = [
        revision(4, "ACTIVE", latest=True),
        revision(3, status),
        revision(2, status, parent="arn:all"),
        revision(1, status),
    ]
    assert plan.earlier(revisions[0], revisions) == [revisions[1], revisions[3]]


# -- versions -----------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["0.1.0", "10.20.30", "1.0.0-rc.1", "1.0.0-0a+build.5"])
def test_versions(version: str) -> None:
    """Semantic versions are taken."""
    assert plan.version_problem(version) is None


@pytest.mark.parametrize("version", ["1.0", "01.0.0", "latest", "", "1.0.0.0", "1.0.0-" + "x" * 64])
def test_no_versions(version: str) -> None:
    """Anything else is refused before AWS is asked."""
    assert "is not a version" in str(plan.version_problem(version))


def test_a_version_with_a_v() -> None:
    """The usual slip gets its remedy."""
    assert plan.version_problem("v0.1.0") == "'v0.1.0' is not a version: write 0.1.0"
